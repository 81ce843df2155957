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

#: Of SOAP: the longest side of a matrix that gets new axes, and steps between two of them.
LARGEST_SIDE, NEW_AXES_EVERY = 512, 50


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up to the peak, then a cosine down to `final` of it."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(parameters: Iterable[Parameter], recipe: Recipe) -> Optimizer:
    """The optimiser that a recipe names, at its peak learning rate.

    SOAP (arXiv 2409.11321) is Adam along the axes in which a layer's gradients vary most: a step costs about twice as
    much, and dynamics come to a third of AdamW's error in as much time (`benchmarks/NOTES.md`).

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
    """SOAP that keeps the mean gradient along the axes too, instead of turning it anew at every step: the same steps, a
    quarter fewer matrix products.

    It relies on the order in which `SOAP.step` works: it turns a gradient, takes that into the mean (the tensor
    `exp_avg` itself), and then turns the mean. A mean that came as a copy would be turned anew, as the library does;
    any other order would go wrong. So `setup.cfg` allows only releases with which
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
