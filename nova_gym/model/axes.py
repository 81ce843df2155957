"""Which cells draw a pixel, along one axis of a frame: `nova_gym.model.inr` draws with one such axis each way.

Pixel p of P lies at (p + ½) / P of the frame and belongs to the cell that it falls in. Where neighbouring cells are
blended, a pixel in the strip between the outermost training pixels of two cells, half a training pixel on each side of
their border, is a mixture of both. All positions are whole numbers here, so a pixel lies in the strip or beside it,
and never in it by rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True, eq=False)
class Axis:
    """The pixels of a frame along one axis; the same object for the same sizes.

    Attributes:
        pixels: P, their number.
        cells: the number of cells.
        lower: (P,) int64, the cell that draws a pixel, or the first of two.
        share: (P,) float64 in [0, 1), what the cell after it contributes to the pixel.
    """

    pixels: int
    cells: int
    lower: np.ndarray
    share: np.ndarray

    def coordinates(self, pixels: np.ndarray, cell: np.ndarray | int) -> np.ndarray:
        """float32 coordinates of pixels as a cell sees them: [-1, 1] is the cell."""
        return (((2 * pixels + 1) * self.cells - 2 * self.pixels * cell) / self.pixels - 1.0).astype(np.float32)


@lru_cache(maxsize=64)
def axis_of(pixels: int, cells: int, strip: int) -> Axis:
    """The axis of a frame.

    Args:
        pixels: of the frame along this axis.
        cells: of the field along this axis.
        strip: training pixels of a cell where neighbouring cells are blended, 0 where they are not.
    """
    place = (2 * np.arange(pixels) + 1) * cells  # in units of which 2 · pixels make a cell
    whole = 2 * pixels
    lower = place // whole
    share = np.zeros(pixels)
    if strip:
        beyond = (place - lower * whole) * strip  # how far beyond the border before the pixel, in training pixels
        before = (beyond < pixels) & (lower > 0)
        after = (beyond > whole * strip - pixels) & (lower < cells - 1)
        share[before] = (beyond[before] + pixels) / whole
        share[after] = (beyond[after] - whole * strip + pixels) / whole
        lower[before] -= 1
    return Axis(pixels, cells, lower, share)


@dataclass(frozen=True, eq=False)
class Windows:
    """Cells that see their pixels alike and share none of them, for drawing these cells as one batch.

    Attributes:
        cells: (n,) int64.
        pixels: (n, m) int64, those that each cell draws or helps to draw.
        coordinates: (m,) float32, the same for all these cells.
        shares: (m,) float32, what a cell contributes to its pixels.
    """

    cells: np.ndarray
    pixels: np.ndarray
    coordinates: np.ndarray
    shares: np.ndarray


@lru_cache(maxsize=64)
def windows_of(axis: Axis) -> tuple[Windows, ...]:
    """All cells that have pixels, those of a kind together."""
    alike: dict[tuple[bytes, bytes, int], list] = {}
    for cell in range(axis.cells):
        own = axis.lower == cell
        pixels = np.flatnonzero(own | ((axis.lower == cell - 1) & (axis.share > 0.0)))
        if len(pixels):
            shares = np.where(own, 1.0 - axis.share, axis.share)[pixels].astype(np.float32)
            coordinates = axis.coordinates(pixels, cell)
            parity = cell % 2 if shares.min() < 1.0 else 0  # neighbours share pixels
            key = coordinates.tobytes(), shares.tobytes(), parity
            alike.setdefault(key, []).append((cell, pixels, coordinates, shares))
    groups = (tuple(zip(*group, strict=True)) for group in alike.values())
    return tuple(Windows(np.array(cells), np.stack(pixels), c[0], s[0]) for cells, pixels, c, s in groups)


def touched_pixels(y: Axis, x: Axis, changed: np.ndarray) -> np.ndarray:
    """(B, H, W) bool, the pixels that any of some cells (B, rows, cols) bool draw or help to draw."""
    touched = np.zeros((len(changed), y.pixels, x.pixels), bool)
    for rows in (y.lower, y.lower + (y.share > 0.0)):
        for columns in (x.lower, x.lower + (x.share > 0.0)):
            touched |= changed[:, rows[:, None], columns]
    return touched
