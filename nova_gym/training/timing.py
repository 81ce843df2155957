"""Steps and batches that follow the time that a stage has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nova_gym.training.presets import Recipe
from nova_gym.training.stage import Stage

#: Passes that a step's time is measured by, the first of which may take longer.
TRIALS = 3


def batch_in_time(stage: Stage, seconds: float | None, measured: Callable[[int], None]) -> int:
    """The recipe's batch, or less where so many seconds would not be enough for the recipe's steps.

    The steps of a smaller batch take less time, so about as many are made, but for the smallest batch that a stage
    learns well from. The time of a step is measured, without learning from it.

    Args:
        stage: about to begin.
        seconds: that it has, None without a limit.
        measured: makes the pass of this number, forward and back.
    """
    recipe = stage.recipe
    if seconds is None:
        return recipe.batch
    taken = []
    for trial in range(TRIALS):
        began = time.monotonic()
        measured(trial)
        taken.append(time.monotonic() - began)
    stage.zero_grad(set_to_none=True)
    stage.memory = {}
    share = seconds / min(taken) / recipe.steps
    return min(recipe.batch, max(stage.least, round(recipe.batch * share)))


def recipe_in_time(recipe: Recipe, state: dict[str, Any]) -> Recipe:
    """A stage's recipe, with the number of steps that its time allows, where that is limited.

    Args:
        recipe: the stage's.
        state: how far it has come: `step`, `seconds`; `budget`, the seconds that it has; `most` steps.
    """
    step, spent, budget = state["step"], state["seconds"], state.get("budget")
    if budget is None or not spent:
        return recipe
    steps = max(step + (spent < budget), round(step * budget / spent))
    steps = min(steps, state.get("most") or steps)
    return replace(recipe, steps=steps, warmup=min(recipe.warmup, steps // 10))
