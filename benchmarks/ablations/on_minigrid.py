"""Compares models on MiniGrid, where a dreamt or edited frame can be compared with the real one."""

from __future__ import annotations

from typing import Any

from nova_gym.benchmarks.ablations.generation import Figures, measure_dynamics
from nova_gym.benchmarks.ablations.sides import Side, Workshop
from nova_gym.benchmarks.disentanglement import RETARGETINGS, find_pairs, measure
from nova_gym.benchmarks.levels import CROSSINGS
from nova_gym.data import load_dataset
from nova_gym.dream import Dream
from nova_gym.envs import evaluate
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.errors import BadInputError

#: Episodes of each level, and their steps; pairs of clips that are edited, and their level.
EPISODES, STEPS = 64, 100
PAIRS, EDITED = 128, CROSSINGS[1]
#: Height and width in pixels of the levels' frames, which one network for the whole frame must have learned from.
FRAME = (72, 72)


def read_minigrid(workshop: Workshop, dataset: str) -> None:
    """Reads a recording of MiniGrid into the workshop, unless it is there.

    Raises:
        BadInputError: there is no such recording, it is of another environment, or its frames are no 9 × 9 tiles.
    """
    if workshop.minigrid:
        return
    workshop.say(f"reading {dataset}")
    clips = load_dataset(dataset)
    recorded, size = clips.metadata.get("reality", {}).get("env_id", "video"), tuple(clips.frames.shape[2:])
    if "MiniGrid" not in recorded or size != FRAME:
        raise BadInputError(f"{dataset!r} holds frames {size} of {recorded}; needed are {FRAME} of a MiniGrid")
    workshop.read_minigrid(clips)


def measure_levels(sides: list[Side], seed: int) -> dict[str, dict[str, Any]]:
    """Shares of exact frames after random actions, by side, then by level and step; JSON-ready."""
    figures: dict[str, dict[str, Any]] = {}
    for side in sides:
        dream, rows = side.dream(), {}
        for level in CROSSINGS:
            for step, measures in evaluate(dream, EPISODES, STEPS, seed, reality=level).open_loop.items():
                rows[f"{level}, step {step}: exact"] = measures["exact"].to_dict()
        figures[side.name] = rows
    return figures


def measure_on_minigrid(source: Side, sides: list[Side], seed: int) -> tuple[dict[str, Figures], dict[str, Any]]:
    """Errors on real clips by side, and the figures of `disentanglement` by side.

    Args:
        source: whose encoder and renderer the sides use.
        sides: with trained dynamics.
        seed: of layouts and walks.
    """
    at_level = dream_at(source.dream(), EDITED)
    pairs = find_pairs(at_level, PAIRS, "random", seed)
    errors, edited = {}, {name: {} for name in RETARGETINGS}
    for side in sides:
        model = side.measured()
        errors[side.name] = measure_dynamics(model, pairs.content)
        for name, parts in measure(Dream(model, {}, at_level.card), pairs).items():
            edited[name][side.name] = parts["all"]
    return errors, edited
