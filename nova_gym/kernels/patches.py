"""A frame in patches, the units of work of the renderers: rectangles of pixels that the same cells draw.

Most patches are the pixels of one cell. Where neighbouring cells are blended, the strip between two of them is a patch
of its own that both draw, and where four meet, all four. So no two patches share a pixel, and whichever patches are
drawn, by whichever thread, every pixel comes out alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nova_gym.model.axes import Axis


@dataclass(frozen=True, eq=False)
class Runs:
    """Pixels beside each other that the same cells draw, for kernels; a run has a line for each of its cells, 1 or 2.

    Attributes:
        first, count: (R,) int64, the pixels of each run.
        cell, active: (R,) int64, its first cell and the number of its cells.
        line: (R,) int64, its first line.
        cells: (lines,) int64, the cell of each line.
        coordinates: (lines, L) float32, of the run's pixels as the line's cell sees them; L holds the longest run.
        shares: (lines, L) float32, what this cell contributes to them.
    """

    first: np.ndarray
    count: np.ndarray
    cell: np.ndarray
    active: np.ndarray
    line: np.ndarray
    cells: np.ndarray
    coordinates: np.ndarray
    shares: np.ndarray


@lru_cache(maxsize=64)
def runs_of(axis: Axis) -> Runs:
    """All runs of an axis, first to last."""
    kind = 2 * axis.lower + (axis.share > 0.0)
    first = np.flatnonzero(np.diff(kind, prepend=-1))
    count = np.diff(first, append=axis.pixels)
    cell, active = axis.lower[first], 1 + kind[first] % 2
    line = np.cumsum(active) - active
    cells = np.repeat(cell, active) + np.arange(active.sum()) - np.repeat(line, active)
    coordinates = np.zeros((len(cells), count.max()), np.float32)
    shares = np.zeros_like(coordinates)
    for k, n in enumerate(count):
        pixels = np.arange(first[k], first[k] + n)
        for number in range(line[k], line[k] + active[k]):
            coordinates[number, :n] = axis.coordinates(pixels, cells[number])
            shares[number, :n] = 1.0 - axis.share[pixels] if number == line[k] else axis.share[pixels]
    return Runs(first, count, cell, active, line, cells, coordinates, shares)


def only_run() -> Runs:
    """That of a pixel of a cell."""
    one, line, none = np.ones(1, np.int64), np.zeros((1, 1), np.float32), np.zeros(1, np.int64)
    return Runs(first=none, count=one, cell=none, active=one, line=none, cells=none, coordinates=line, shares=line)


#: Columns of `patches_of`, first for the rows of pixels and then for the columns: first pixel, number of pixels, first
#: cell, number of cells, first line, and how far into its run the patch begins.
FIRST, COUNT, CELL, ACTIVE, LINE, INTO = range(6)
COLUMNS = 6


@lru_cache(maxsize=64)
def patches_of(y_runs: Runs, x_runs: Runs, largest: int, least: int, parts: int) -> np.ndarray:
    """The patches of a frame.

    Args:
        y_runs, x_runs: of its two axes.
        largest: pixels of a patch at most; runs of rows are cut for that, as far as whole rows allow.
        least: pixels below which nothing is cut.
        parts: how many patches to cut large ones into at least, so that as many threads have work.

    Returns:
        (n, 2 · COLUMNS) int64, the patches of a row of cells beside each other, and the pieces of a patch too.
    """
    x = np.stack([x_runs.first, x_runs.count, x_runs.cell, x_runs.active, x_runs.line, np.zeros_like(x_runs.first)], 1)
    widest, patches = int(x_runs.count.max()), []
    for run in zip(y_runs.first, y_runs.count, y_runs.cell, y_runs.active, y_runs.line, strict=True):
        first, count, *cells = (int(number) for number in run)
        pixels = count * widest
        pieces = min(count, max(-(-pixels // largest), min(parts, pixels // least), 1))
        cuts = np.arange(pieces + 1) * count // pieces
        y = [(first + cut, end - cut, *cells, cut) for cut, end in pairwise(cuts)]
        patches.append(np.concatenate([np.tile(y, (len(x), 1)), np.repeat(x, pieces, 0)], 1))
    return np.ascontiguousarray(np.concatenate(patches), np.int64)
