"""Optimisers and their schedule, as a recipe names them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from pytorch_optimizer import SOAP
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from nova_gym.training.presets import Recipe

#: For SOAP: the longest side of a matrix that gets axes of its own, and steps between two updates of these axes.
LARGEST_SIDE, NEW_AXES_EVERY = 512, 50


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step: linear warm-up to the peak, then a cosine down to the share `final` of it."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(parameters: Iterable[Parameter], recipe: Recipe) -> Optimizer:
    """The optimiser that a recipe names, at its peak learning rate.

    SOAP (arXiv 2409.11321) is Adam along the axes in which a layer's gradients vary most. Its steps cost more, but the
    dynamics reach a lower error in the same time than with AdamW (`benchmarks/NOTES.md`).

    Raises:
        ValueError: there is no such optimiser.
    """
    options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adamw":
        return AdamW(parameters, **options, fused=True)
    if recipe.optimizer == "soap":
        return _SOAP(parameters, **options, max_precondition_dim=LARGEST_SIDE, precondition_frequency=NEW_AXES_EVERY)
    raise ValueError(f"optimizer is adamw or soap, not {recipe.optimizer!r}")


class _SOAP(SOAP):
    """SOAP with fewer matrix products: it keeps the mean gradient turned to the axes, instead of turning it every step.

    Its steps are those of the library. It relies on the order of work in `SOAP.step`, which turns a gradient, takes the
    gradient into the mean (the tensor `exp_avg` itself), and then turns the mean. If the mean came as a copy, it would
    be turned as in the library; any other order would give wrong steps. So `setup.cfg` allows only releases with which
    `test_soap_takes_the_steps_of_the_library_that_it_speeds_up` passes.
    """

    def project(self, grad: torch.Tensor, state: dict[str, Any], project_type: str = "forward", **options):
        if project_type != "forward" or not any(map(len, state["Q"])):
            return super().project(grad, state, project_type=project_type, **options)
        if grad is state["exp_avg"] and "turned" in state:  # the gradient itself was turned right before
            return state["turned"].lerp_(self._turned, 1.0 - self.param_groups[0]["betas"][0])
        self._turned = super().project(grad, state, **options)
        if grad is state["exp_avg"]:
            state["turned"] = self._turned
        return self._turned

    def get_orthogonal_matrix_qr(self, state: dict[str, Any], *rest):
        state.pop("turned", None)
        return super().get_orthogonal_matrix_qr(state, *rest)
