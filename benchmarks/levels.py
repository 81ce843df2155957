"""The real levels that a dream of MiniGrid is measured on, and the option that names others."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from nova_gym import Dream
from nova_gym.envs.reality.counterpart import dream_at

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
