"""The optimiser and its schedule, as a recipe says."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from pytorch_optimizer import SOAP, Muon
from pytorch_optimizer.optimizer.utils.matrix import zero_power_via_newton_schulz_5
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from nova_gym.training.presets import Recipe

#: Learning rate of biases as a share of that of matrices, with Muon.
BIASES = 0.2
#: SOAP turns a side of a weight into the axes of its gradients if it has no more than so many numbers. The
#: axes are found by factorising a square of that side, too large for all weights of a coordinate network at once.
SIDE = 300


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step: linear warm-up to the peak, then a cosine down to the share `final` of it."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(parameters: Iterable[Parameter], recipe: Recipe) -> Optimizer:
    """The optimiser that a recipe names, at its peak learning rate.

    Muon (Jordan 2024, with the scale of arXiv 2502.16982) takes steps of orthogonal matrices for all weights; biases
    are AdamW's. A step costs hardly more than AdamW's, and a recurrent network gets as far in two thirds of the steps
    (`benchmarks/NOTES.md`). Each group of parameters has its `share` of the learning rate.

    SOAP (arXiv 2409.11321) is Adam along the axes of each weight's gradients, which it turns to every tenth step. A
    network that draws whole frames gets much further by it in equal time (`benchmarks/NOTES.md`).

    Raises:
        ValueError: there is no such optimiser.
    """
    options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adamw":
        return AdamW(parameters, **options, fused=True)
    if recipe.optimizer == "soap":
        return SOAP(parameters, **options, max_precondition_dim=SIDE)
    if recipe.optimizer != "muon":
        raise ValueError(f"optimizer is adamw, muon or soap, not {recipe.optimizer!r}")
    parameters = list(parameters)
    matrices, others = ([p for p in parameters if (p.ndim > 1) == wanted] for wanted in (True, False))
    groups = [
        {"params": matrices, "use_muon": True, **options},
        {"params": others, "use_muon": False, "share": BIASES, **options},
    ]
    return _Muon(groups, use_adjusted_lr=True)


class _Muon(Muon):
    """Muon whose matrices are made orthogonal in single precision on the CPU.

    The package does so in bfloat16, for which many processors have no instructions (`benchmarks/NOTES.md`).
    """

    @staticmethod
    def _orthogonalize(group: dict[str, Any], updates: list[Tensor]) -> list[Tensor]:
        if updates[0].device.type != "cpu":
            return Muon._orthogonalize(group, updates)
        steps, weights = group["ns_steps"], group["ns_coeffs"]
        matrices = (update.flatten(1) for update in updates)
        return [zero_power_via_newton_schulz_5(m, steps, weights=weights, dtype=torch.float32) for m in matrices]
