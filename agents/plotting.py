"""Draws the curve of a training: return in the dream and in reality."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from nova_gym.agents.training import Curve
from nova_gym.files import write_atomically


def plot_curve(curve: Curve, path: Path, title: str) -> None:
    """Draws return in the dream and in reality over training as a PNG; needs no display.

    Raises:
        BadInputError: the file cannot be written.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps = [point.steps / 1e6 for point in curve.points]
    axes.plot(steps, [point.dream for point in curve.points], "o-", label="return in the dream")
    axes.plot(steps, [point.reality for point in curve.points], "s-", label="return in reality")
    if all(point.success is not None for point in curve.points):
        axes.plot(steps, [point.success for point in curve.points], "^:", label="success in reality")
    axes.set(xlabel="million steps in the dream", ylim=(0, 1.02), title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
