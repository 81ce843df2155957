"""The renderer as one graph of tensor operations, for export: the size of the frame is an input of the graph.

`nova_gym.model.inr` draws with lists of cells and pixels that depend on the size. Here every cell is drawn on equally
many lines of pixels, a few more than it needs, and each pixel is then taken from its cell.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nova_gym.model.inr import fourier_features, unflatten
from nova_gym.model.world_model import WorldModel


class Lines(NamedTuple):
    """The pixels of a frame along one axis; R cells, P pixels, m lines a cell.

    Attributes:
        coordinates: (R, m) float32, the lines of each cell as it sees them.
        first, second: (P,) int64 in [0, R · m), the line that draws a pixel, and the one that is blended in.
        share: (P,) float32 in [0, 1), what the second contributes.
    """

    coordinates: Tensor
    first: Tensor
    second: Tensor
    share: Tensor


def lines_of(pixels: Tensor, cells: int, strip: int) -> Lines:
    """The lines of an axis, by the rules of `nova_gym.model.axes`.

    Args:
        pixels: () int64, of the frame along this axis.
        cells: of the field along this axis; may be symbolic.
        strip: training pixels of a cell where neighbouring cells are blended, 0 where they are not.
    """
    pixel, cell, rows = torch.arange(_size(pixels)), torch.arange(cells), torch.full((), cells)
    place, whole = (2 * pixel + 1) * rows, 2 * pixels  # whole numbers, so that no pixel is rounded
    lower = place // whole
    count = pixels // rows + 2
    start = -((rows - cell * whole) // (2 * rows))  # the first pixel whose centre is in the cell
    share = torch.zeros_like(pixel, dtype=torch.float32)
    if strip:
        beyond = (place - lower * whole) * strip
        before = (beyond < pixels) & (lower > 0)
        after = (beyond > whole * strip - pixels) & (lower < rows - 1)
        share = torch.where(before, (beyond + pixels) / whole, share)
        share = torch.where(after, (beyond - whole * strip + pixels) / whole, share)
        lower = lower - before.to(torch.int64)
        count = count + pixels // (rows * strip)
        start = -((rows * strip + pixels - cell * whole * strip) // (2 * rows * strip))
    line = start[:, None] + torch.arange(_size(count))
    coordinates = ((2 * line + 1) * rows - whole * cell[:, None]) / pixels - 1.0
    index = [
        drawing * count + torch.minimum((pixel - start[drawing]).clamp(min=0), count - 1)
        for drawing in (lower, torch.minimum(lower + 1, rows - 1))
    ]
    return Lines(coordinates, index[0], index[1], share)


def _size(count: Tensor) -> int:
    """A number of pixels or lines as a size of tensors; in an exported graph it stays open."""
    size = count.item()
    torch._check(size >= 1)
    return size


class Draw(nn.Module):
    """States and a size in pixels → frames.

    Args:
        model: whose frames.
        detail: whether to draw with its second renderer, for frames larger than its own.
    """

    def __init__(self, model: WorldModel, detail: bool = False) -> None:
        super().__init__()
        part = model.detail if detail else model
        renderer = model.renderer(*model.config.frame_size)
        self.renderer = renderer._replace(config=part.config if detail else model.config.inr, mask=None)
        self.detailed, self.base, self.basis = detail, part.base, part.basis

    def forward(self, state: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """Draws.

        Args:
            state: (B, K + M, rows, cols) float32.
            height, width: () int64, of the frames in pixels.

        Returns:
            (B, C, height, width) float32 in [0, 1].
        """
        sides = zip((height, width), state.shape[2:], self.renderer.cell, strict=True)
        y, x = (lines_of(size, cells, side if self.renderer.blend else 0) for size, cells, side in sides)
        drawn = self._cells(state, y.coordinates, x.coordinates, height, width)
        for dimension, lines in ((2, y), (3, x)):
            pixels = drawn.index_select(dimension, lines.first)
            if self.renderer.blend:
                share = lines.share[:, None] if dimension == 2 else lines.share
                pixels = pixels * (1.0 - share) + drawn.index_select(dimension, lines.second) * share
            drawn = pixels
        return drawn.clamp(0.0, 1.0)

    def _cells(self, state: Tensor, y: Tensor, x: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """Every cell on its own lines (rows, m) and (cols, n): (B, C, rows · m, cols · n), not clipped."""
        config, (batch, _, rows, cols) = self.renderer.config, state.shape
        weights = self.base + state[:, : len(self.basis)].permute(0, 2, 3, 1) @ self.basis
        layers = unflatten(weights.flatten(0, 2), config)
        matrix, bias = (part.unflatten(0, (batch, rows, cols)) for part in layers[0])
        by_row = matrix[..., 1::2] @ self._features(y, height, rows, 1)[None, :, None]
        by_column = matrix[..., ::2] @ self._features(x, width, cols, 0)[None, None]
        hidden = (bias[..., None, None] + by_row[..., None] + by_column[..., None, :]).flatten(0, 2).flatten(2)
        for matrix, bias in layers[1:]:
            hidden = torch.baddbmm(bias[..., None], matrix, F.gelu(hidden))
        drawn = hidden.view(batch, rows, cols, config.channels, y.shape[1], x.shape[1]) + 0.5
        return drawn.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

    def _features(self, lines: Tensor, pixels: Tensor, cells: int, axis: int) -> Tensor:
        """(cells, 1 + 2F, m): the Fourier features of one coordinate (0: x, 1: y) along lines (cells, m)."""
        flat = lines.flatten()[:, None].expand(-1, 2)
        features = fourier_features(flat, self.renderer.config.frequencies)[::2]
        if self.detailed:  # octaves that this many pixels a cell cannot sample are off, as in `inr.nyquist_mask`
            side = torch.clamp(pixels / cells, min=float(self.renderer.cell[1 - axis]))
            octave = torch.arange(self.renderer.config.frequencies)
            keep = (2.0**octave < side / 2).to(torch.float32)
            features = features * torch.cat([torch.ones(1), keep.repeat_interleave(2)])[:, None]
        return features.unflatten(1, lines.shape).movedim(1, 0)
