"""The optimiser and its schedule, as a recipe says."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from nova_gym.training.presets import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step: linear warm-up to the peak, then a cosine down to the share `final` of it."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(parameters: Iterable[Parameter], recipe: Recipe) -> Optimizer:
    """AdamW at the recipe's peak learning rate."""
    return AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
