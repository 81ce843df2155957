"""The real levels that a dream of MiniGrid is measured on, and the option that names others."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from nova_gym import Dream
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.envs.reality.minigrid_reality import MiniGridReality

#: Levels with one, two and three walls on 9 × 9 tiles.
CROSSINGS = tuple(f"MiniGrid-SimpleCrossingS9N{walls}-v0" for walls in (1, 2, 3))

#: Called with the number of levels measured and their total.
Progress = Callable[[int, int], None]


def add_reality_option(parser: argparse.ArgumentParser, default: tuple[str, ...] = CROSSINGS) -> None:
    """Adds the option `--reality` to a command, which may be given several times."""
    parser.add_argument(
        "--reality",
        action="append",
        metavar="ID",
        help=f"id of a level to measure on; may be given several times (default: {', '.join(default)})",
    )


def by_level(
    dream: Dream, levels: list[str] | tuple[str, ...], measure: Callable[[Dream], dict[str, Any]]
) -> dict[str, Any]:
    """The figures of a dream at several levels, by id, JSON-ready.

    Raises:
        BadInputError: there is no such level, or the dream cannot dream of it.
    """
    return {level: measure(dream_at(dream, level)) for level in levels}


def reset_unseen(env: gym.Env, reality: MiniGridReality, hold_out: bool, starts: str, rng: np.random.Generator) -> int:
    """Resets until the layout is one that no recording holds, if the level has both kinds; returns the seed.

    Args:
        env: made by `reality.make`.
        reality: of that environment.
        hold_out: whether the level has both kinds (`Reality.can_hold_out`).
        starts: `random` to move goal and agent anywhere; otherwise they are where the level has them.
        rng: of layouts and places.
    """
    while True:
        seed = int(rng.integers(2**31))
        env.reset(seed=seed)
        if starts == "random":
            reality.scatter(env, rng)
        if not hold_out or reality.is_held_out(env):
            return seed
