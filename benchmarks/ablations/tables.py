"""Figures of sides beside each other: as JSON and as tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from nova_gym.benchmarks.ablations.generation import Figures
from nova_gym.benchmarks.tables import interval, number
from nova_gym.measures import mean


def beside(columns: dict[str, Figures], references: dict[str, Figures] | None = None) -> dict[str, Any]:
    """Means over clips with 95 % intervals, medians, and by how much the first side is above each other one.

    Args:
        columns: by side, then by figure, one number for each clip; the same figures and clips in all of them.
        references: more of these, which nothing is subtracted from.

    Returns:
        By column, then by figure; JSON-ready. Differences are taken clip by clip.
    """
    first, *others = columns
    differences = {
        f"{first} − {other}": {name: columns[first][name] - values for name, values in columns[other].items()}
        for other in others
    }
    return {
        column: {name: {**mean(values).to_dict(), "median": float(np.median(values))} for name, values in rows.items()}
        for column, rows in (columns | (references or {}) | differences).items()
    }


def columns_and_rows(figures: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """What `beside` gave as a table, a column a side, or a line a side where there are more of these than figures."""
    names = list(next(iter(figures.values())))
    if len(figures) > len(names):
        return ["", *names], [[side, *(_cell(name, rows[name]) for name in names)] for side, rows in figures.items()]
    return ["", *figures], [[name, *(_cell(name, rows[name]) for rows in figures.values())] for name in names]


def _cell(name: str, figure: dict[str, float]) -> str:
    form = ".2f" if "PSNR" in name or "pixels" in name else ".2e" if "error" in name else ".4f"
    if "median" in name:
        return f"{number(figure['median'], form)}, mean {interval(figure, form)}"
    return interval(figure, form)
