"""The renderer on the CPU in one pass: all layers of a row of pixels while it is in cache, compiled by Numba.

PyTorch computes layer by layer over all pixels, and the activations of layers 12 wide go through memory in between;
here a block of pixels goes through all layers at once. Two more things save time: coordinates lie on a grid, so the
first layer is a sum of a part that depends on the column alone and one that depends on the row alone, which costs
H + W instead of H · W; and GELU is a polynomial within a clamp, which LLVM turns into vector code.

`nova_gym.inr` calls this and checks it against PyTorch in its tests; nothing else should.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

import numpy as np
import torch
from numba import njit
from torch import Tensor

from nova_gym.config import INRConfig

#: Pixels of a row that go through all layers together; their activations fill half of a first-level cache.
_BLOCK = 128

#: GELU(x) = x (1/2 + c P(c²)), c = x clamped to ±4.5: half of erf(c/√2) as an odd polynomial through Chebyshev nodes.
#: The error is below 2e-5 |x|.
_CLAMP = np.float32(4.5)
_HALF = np.float32(0.5)


def _gelu_coefficients(degree: int = 9) -> tuple[np.float32, ...]:
    from numpy.polynomial import Polynomial, chebyshev
    from scipy.special import erf

    top = float(_CLAMP) ** 2

    def half_erf(square: np.ndarray) -> np.ndarray:
        x = np.sqrt(np.maximum(square, 1e-12))
        return 0.5 * erf(x / np.sqrt(2.0)) / x

    fitted = chebyshev.Chebyshev.interpolate(half_erf, degree, domain=[0.0, top])
    return tuple(np.float32(c) for c in fitted.convert(kind=Polynomial).coef)


_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9 = _gelu_coefficients()


@njit(fastmath=True, inline="always")
def _gelu(x):
    c = min(max(x, -_CLAMP), _CLAMP)
    t = c * c
    odd = _C0 + t * (_C1 + t * (_C2 + t * (_C3 + t * (_C4 + t * (_C5 + t * (_C6 + t * (_C7 + t * (_C8 + t * _C9))))))))
    return x * (_HALF + c * odd)


@cache
def _kernel(width: int, layers: int, waves: int, channels: int, as_bytes: bool) -> Callable[..., None]:
    """Compiles the renderer for one size of network: all loops over channels have constant lengths.

    Args:
        width, layers, channels: of the coordinate network.
        waves: features of one coordinate, 1 + 2F.
        as_bytes: write (B, H, W, C) uint8 instead of (B, C, H, W) float32.
    """
    features = 2 * waves
    first_size = width * (features + 1)
    hidden_size = width * (width + 1)

    @njit(nogil=True, fastmath=True)
    def render_rows(weights, x_features, y_features, out, start, stop):
        """Rows `start` to `stop` of all frames, counted one frame after the other."""
        columns, rows = x_features.shape[1], y_features.shape[1]
        blocks = (columns + _BLOCK - 1) // _BLOCK
        length = ((columns + blocks - 1) // blocks + 7) // 8 * 8  # whole vectors
        by_column = np.zeros((width, blocks * length), np.float32)
        by_row = np.empty(width, np.float32)
        one, other = np.empty(width * length, np.float32), np.empty(width * length, np.float32)
        last_layer = first_size + (layers - 1) * hidden_size
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
                        by_column[j, x] = total
            y = row - frame * rows
            for j in range(width):
                total = np.float32(0.0)
                for k in range(waves):
                    total += w[j * features + 2 * k + 1] * y_features[k, y]
                by_row[j] = total
            for block in range(blocks):
                left = block * length
                for j in range(width):
                    shift = by_row[j]
                    for p in range(length):
                        one[j * length + p] = _gelu(by_column[j, left + p] + shift)
                at = first_size
                for _ in range(layers - 1):
                    for j in range(width):
                        bias = w[at + width * width + j]
                        for p in range(length):
                            total = bias
                            for i in range(width):
                                total += w[at + j * width + i] * one[i * length + p]
                            other[j * length + p] = total
                    for k in range(width * length):
                        one[k] = _gelu(other[k])
                    at += hidden_size
                right = min(left + length, columns)
                for j in range(channels):
                    bias = w[last_layer + channels * width + j] + _HALF
                    for p in range(length):
                        total = bias
                        for i in range(width):
                            total += w[last_layer + j * width + i] * one[i * length + p]
                        other[p] = min(max(total, np.float32(0.0)), np.float32(1.0))
                    if as_bytes:
                        for x in range(left, right):
                            out[frame, y, x, j] = np.uint8(other[x - left] * np.float32(255.0) + _HALF)
                    else:
                        for x in range(left, right):
                            out[frame, j, y, x] = other[x - left]

    with suppress(RuntimeError):  # no folder to keep the compiled code in: then every process compiles
        render_rows.enable_caching()
    return render_rows


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
    total, threads = count * height, torch.get_num_threads()
    share = -(-total // threads)
    parts = [(start, min(start + share, total)) for start in range(0, total, share)] if share else []
    # threads of our own: two threads, such as a player and its painter, may not enter a parallel loop of Numba at once
    waiting = [_pool(threads).submit(kernel, *arrays, out.numpy(), *part) for part in parts[1:]]
    for part in parts[:1]:
        kernel(*arrays, out.numpy(), *part)
    for future in waiting:
        future.result()
    return out


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="nova-gym-render")


if hasattr(os, "register_at_fork"):  # a forked process has the pool, but none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
