"""The renderer on the CPU in one pass: all layers of a strip of pixels while it is in cache, compiled by Numba.

PyTorch computes layer by layer over all pixels, and the activations of narrow layers go through memory in between;
here a strip of pixels goes through all layers at once, `nova_gym.kernels.tile`. Two more things save time: coordinates
lie on a grid, so the first layer is a sum of a part that depends on the column alone and one that depends on the row
alone, which costs H + W instead of H · W; and GELU is a polynomial within a clamp, `nova_gym.kernels.gelu`.

`nova_gym.model.inr` calls this and checks it against PyTorch in its tests; nothing else should.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.threads import in_parts
from nova_gym.kernels.tile import BYTES, FLOATS, HIDDEN, STRIP, gelu_strip, layer_strip

if TYPE_CHECKING:
    from nova_gym.model.config import INRConfig


_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


@cache
def _kernel(width: int, layers: int, waves: int, channels: int, as_bytes: bool) -> Callable[..., None]:
    """Compiles the renderer for one size of network: all loops over channels have constant lengths.

    Args:
        width, layers, channels: of the coordinate network.
        waves: features of one coordinate, 1 + 2F.
        as_bytes: write (B, H, W, C) uint8 instead of (B, C, H, W) float32.
    """
    features, kind = 2 * waves, BYTES if as_bytes else FLOATS
    first_size = width * (features + 1)
    hidden_size = width * (width + 1)
    last_layer = first_size + (layers - 1) * hidden_size
    tile = next(outputs for outputs in (4, 3, 2, 1) if width % outputs == 0)

    @compiled(nogil=True, fastmath=True)
    def render_rows(weights, x_features, y_features, out, start, stop):
        """Rows `start` to `stop` of all frames, counted one frame after the other."""
        columns, rows = x_features.shape[1], y_features.shape[1]
        padded = (columns + STRIP - 1) // STRIP * STRIP
        by_column, by_row = np.zeros(width * padded, np.float32), np.empty(width * rows, np.float32)
        one, other = np.empty(width * STRIP, np.float32), np.empty(width * STRIP, np.float32)
        drawn = np.empty(channels * STRIP, out.dtype)
        frame = -1
        for row in range(start, stop):
            if row // rows != frame:
                frame = row // rows
                w = weights[frame]
                for j in range(width):
                    for x in range(columns):
                        total = w[width * features + j]
                        for k in range(waves):
                            total += w[j * features + 2 * k] * x_features[k, x]
                        by_column[j * padded + x] = total
                    for y in range(row - frame * rows, min(rows, stop - frame * rows)):
                        total = _ZERO
                        for k in range(waves):
                            total += w[j * features + 2 * k + 1] * y_features[k, y]
                        by_row[j * rows + y] = total
            y = row - frame * rows
            for left in range(0, padded, STRIP):
                for j in range(width):
                    gelu_strip(by_column, j * padded + left, by_row[j * rows + y], one, j * STRIP)
                at = first_size
                for _ in range(layers - 1):
                    for j in range(0, width, tile):
                        bias = at + width * width + j
                        layer_strip(w, at + j * width, bias, one, other, j * STRIP, width, tile, HIDDEN)
                    one, other = other, one
                    at += hidden_size
                layer_strip(w, last_layer, last_layer + channels * width, one, drawn, 0, width, channels, kind)
                count = min(STRIP, columns - left)
                if as_bytes:
                    line = out[frame, y].reshape(-1)
                    for k in range(count * channels):
                        line[left * channels + k] = drawn[k]
                else:
                    for j in range(channels):
                        for x in range(count):
                            out[frame, j, y, left + x] = min(max(drawn[j * STRIP + x] + _HALF, _ZERO), _ONE)

    return render_rows


def probe() -> None:
    """Draws the smallest frame: raises whatever a broken compiler raises."""
    axis = torch.zeros(1, 1)
    render(torch.zeros(1, 5), axis, axis, SimpleNamespace(width=1, layers=1, channels=1), True)


def render(weights: Tensor, x_features: Tensor, y_features: Tensor, config: INRConfig, as_bytes: bool) -> Tensor:
    """Renders frames on a grid.

    Args:
        weights: (B, D) float32 on the CPU.
        x_features: (1 + 2F, W) float32, the features of each column's x: x itself, then sine and cosine by octave.
        y_features: (1 + 2F, H) float32, the same of each row's y.
        config: sizes of the network, at least one hidden layer.
        as_bytes: what to return.

    Returns:
        (B, C, H, W) float32 in [0, 1], or (B, H, W, C) uint8.
    """
    count, height, width = len(weights), y_features.shape[1], x_features.shape[1]
    if as_bytes:
        out = torch.empty((count, height, width, config.channels), dtype=torch.uint8)
    else:
        out = torch.empty((count, config.channels, height, width))
    kernel = _kernel(config.width, config.layers, len(x_features), config.channels, as_bytes)
    arrays = [t.detach().contiguous().numpy() for t in (weights, x_features, y_features)]
    in_parts(lambda start, stop: kernel(*arrays, out.numpy(), start, stop), count * height)
    return out


@compiled(nogil=True, fastmath=True)
def _combine_rows(base, basis, states, out, start, stop):
    """Rows `start` to `stop` of base + states @ basis."""
    whole = states.shape[1] // 4 * 4
    for n in range(start, stop):
        out[n] = base
    for k in range(0, whole, 4):  # four rows of the basis serve all states while they are in cache
        b0, b1, b2, b3 = basis[k], basis[k + 1], basis[k + 2], basis[k + 3]
        for n in range(start, stop):
            s0, s1, s2, s3, y = states[n, k], states[n, k + 1], states[n, k + 2], states[n, k + 3], out[n]
            for j in range(len(base)):
                y[j] += (s0 * b0[j] + s1 * b1[j]) + (s2 * b2[j] + s3 * b3[j])
    for k in range(whole, states.shape[1]):
        for n in range(start, stop):
            for j in range(len(base)):
                out[n, j] += states[n, k] * basis[k, j]


def combine(base: Tensor, basis: Tensor, states: Tensor) -> Tensor:
    """`base + states @ basis`, without waking PyTorch's threads, which would hold back the renderer's.

    Args:
        base: (D,) float32 on the CPU.
        basis: (K, D) float32.
        states: (B, K) float32.

    Returns:
        (B, D) float32.
    """
    out = torch.empty(len(states), len(base))
    arrays = [t.detach().contiguous().numpy() for t in (base, basis, states)]
    in_parts(lambda start, stop: _combine_rows(*arrays, out.numpy(), start, stop), len(states))
    return out
