"""Measured figures, each with its ratio to the first of its table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nova_gym.benchmarks.speed import Speed


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        value: median of the rounds.
        unit: of the value.
        ratio: ratio to the first figure of the table, median of the rounds.
        low, high: least and largest ratio of a round.
    """

    name: str
    value: float
    unit: str
    ratio: float
    low: float
    high: float


def figures_of(speeds: list[Speed], unit: str) -> list[Figure]:
    """Figures of rates that were measured in turns."""
    return [Figure(s.name, s.median, unit, s.ratio, float(s.ratios.min()), float(s.ratios.max())) for s in speeds]


def figures_beside(values: dict[str, list[float]], unit: str) -> list[Figure]:
    """Figures of values by name, one for each round. All are compared with the first, round by round."""
    base = np.asarray(next(iter(values.values())))
    table = []
    for name, rounds in values.items():
        ratios = np.asarray(rounds) / base
        table.append(
            Figure(
                name, float(np.median(rounds)), unit, float(np.median(ratios)), ratios.min().item(), ratios.max().item()
            )
        )
    return table
