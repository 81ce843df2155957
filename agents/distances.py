"""How far each cell is from a source: shortest ways over a grid, as a differentiable layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Distances(torch.autograd.Function):
    """The least `source` plus costs of a way from each cell: `d = min(source, cost + least d of the four neighbours)`.

    This is value iteration (Tamar et al. 2016, arXiv 1602.02867) for the one question that grids ask, and as in value
    propagation (Nardelli et al. 2018, arXiv 1805.11199) sources and costs are learned. A plain sweep along rows and
    columns carries values any number of cells far, so a few rounds find the solution whatever the size of the grid. The
    gradient is exact: it runs along the shortest ways.

    `Distances.apply(source, cost)` takes two tensors (rows, cols, n) float32, costs above 0, and returns (rows, cols,
    n) float32.
    """

    @staticmethod
    def forward(context: Any, source: Tensor, cost: Tensor) -> Tensor:
        """Sweeps until nothing changes, at the latest after as many rounds as cells (then a number is not finite)."""
        distances = source.clone(memory_format=torch.contiguous_format)
        for _ in range(distances[..., 0].numel()):
            before = distances.clone()
            for axis in (0, 1):
                for here, there in _steps(distances.shape[axis]):
                    way = distances.select(axis, there) + cost.select(axis, here)
                    line = distances.select(axis, here)
                    torch.minimum(line, way, out=line)
            if torch.equal(before, distances):
                break
        context.save_for_backward(source, cost, distances)
        return distances

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Moves the gradient of each cell along its way to the source."""
        source, cost, distances = context.saved_tensors
        onward = distances < source
        lines = []  # in the order of `forward`, so that reversed they take as many rounds
        for axis in (0, 1):
            for here, there in _steps(distances.shape[axis]):
                way = distances.select(axis, there) + cost.select(axis, here)
                free = onward.select(axis, here)
                follows = free & (way == distances.select(axis, here))
                free &= ~follows
                lines.append((axis, here, there, follows.to(gradient.dtype)))
        onward = (distances < source).to(gradient.dtype)
        waiting, passed = gradient.clone(), torch.zeros_like(gradient)
        for _ in range(distances[..., 0].numel()):
            for axis, here, there, follows in reversed(lines):
                moved = waiting.select(axis, here) * follows
                passed.select(axis, here).add_(moved)
                waiting.select(axis, here).sub_(moved)
                waiting.select(axis, there).add_(moved)
            if not (waiting * onward).any():
                break
        return waiting, passed


def _steps(size: int) -> list[tuple[int, int]]:
    """Lines of cells in the order of two sweeps, there and back, each with the line that it looks at."""
    return [(i, i - 1) for i in range(1, size)] + [(i, i + 1) for i in range(size - 2, -1, -1)]
