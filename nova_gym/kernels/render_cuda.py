"""The renderer on CUDA in one pass, a Triton kernel: the activations of a pixel never leave the registers.

Triton comes with the CUDA builds of PyTorch and is no dependency of its own; this module is imported only for weights
on a CUDA device, and PyTorch does without it where Triton is missing. As in `kernels.render`, the first layer is a sum
of a part by column and a part by row, which cost next to nothing and are left to PyTorch.

It ran on an H100 with a coarser GELU, up to 2 grey levels off (`benchmarks/NOTES.md`); with the present one, which is
ten times as exact, it ran in Triton's interpreter alone. `python -m nova_gym.benchmarks.on_cuda` tells.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from nova_gym.kernels.gelu import CLAMP, COEFFICIENTS, SQUARINGS

if TYPE_CHECKING:
    from nova_gym.model.config import INRConfig


#: Pixels of one program, and its warps: four pixels a thread, so that a weight is loaded once for four of them.
_BLOCK, _WARPS = 512, 4

_CLAMP = tl.constexpr(CLAMP)
_COEFFICIENTS = tl.constexpr(COEFFICIENTS)
_DEGREE, _SQUARINGS = tl.constexpr(len(COEFFICIENTS) - 1), tl.constexpr(SQUARINGS)


@triton.jit
def _gelu(x):
    size = tl.minimum(tl.abs(x), _CLAMP)
    tail = size * _COEFFICIENTS[0] + _COEFFICIENTS[1]
    for k in tl.static_range(2, _DEGREE + 1):
        tail = tail * size + _COEFFICIENTS[k]
    for _ in tl.static_range(_SQUARINGS):
        tail = tail * tail
    return tl.maximum(x, 0.0) - size * tail


@triton.jit
def _product(weights, bias, values, inputs: tl.constexpr):
    """One output of a layer: `bias` and `weights` point to its bias and to its first weight."""
    total = tl.load(bias) + tl.load(weights) * values[0]
    for i in tl.static_range(1, inputs):
        total += tl.load(weights + i) * values[i]
    return total


@triton.jit
def _render_block(
    weights,
    by_column,
    by_row,
    out,
    height,
    width,
    blocks,
    first_hidden: tl.constexpr,
    units: tl.constexpr,
    layers: tl.constexpr,
    channels: tl.constexpr,
    as_bytes: tl.constexpr,
    block: tl.constexpr,
):
    """Draws `block` pixels of one frame; program p draws block p % blocks of frame p // blocks."""
    frame = (tl.program_id(0) // blocks).to(tl.int64)  # 64 bits: a batch of large frames has more values than 2³¹
    pixel = (tl.program_id(0) % blocks) * block + tl.arange(0, block)
    inside = pixel < height * width
    y = pixel // width
    x = pixel - y * width
    weights += frame * (first_hidden + (layers - 1) * units * (units + 1) + channels * (units + 1))
    by_column += frame * units * width + x
    by_row += frame * units * height + y
    hidden = ()
    for j in tl.static_range(units):
        total = tl.load(by_column + j * width, inside, 0.0) + tl.load(by_row + j * height, inside, 0.0)
        hidden = hidden + (_gelu(total),)  # noqa: RUF005  a sum of tuples is what Triton compiles
    weights += first_hidden
    for _ in range(layers - 1):  # not unrolled: the code of one layer fits the cache of instructions
        following = ()
        for j in tl.static_range(units):
            product = _product(weights + j * units, weights + units * units + j, hidden, units)
            following = following + (_gelu(product),)  # noqa: RUF005
        hidden = following
        weights += units * (units + 1)
    for j in tl.static_range(channels):
        value = _product(weights + j * units, weights + channels * units + j, hidden, units)
        value = tl.minimum(tl.maximum(value + 0.5, 0.0), 1.0)
        if as_bytes:
            place = out + (frame * height * width + pixel) * channels + j
            tl.store(place, (value * 255.0 + 0.5).to(tl.uint8), inside)
        else:
            tl.store(out + (frame * channels + j) * height * width + pixel, value, inside)


def probe() -> None:
    """Draws the smallest frame: raises whatever a broken compiler raises."""
    axis = torch.zeros(1, 1, device="cuda")
    render(torch.zeros(1, 5, device="cuda"), axis, axis, SimpleNamespace(width=1, layers=1, channels=1), True)


def render(weights: Tensor, x_features: Tensor, y_features: Tensor, config: INRConfig, as_bytes: bool) -> Tensor:
    """Renders frames on a grid.

    Args:
        weights: (B, D) float32 on a CUDA device.
        x_features: (1 + 2F, W) float32 there, the features of each column's x: x itself, then sine and cosine by
            octave.
        y_features: (1 + 2F, H) float32 there, the same of each row's y.
        config: sizes of the network, at least one hidden layer.
        as_bytes: what to return.

    Returns:
        (B, C, H, W) float32 in [0, 1], or (B, H, W, C) uint8.
    """
    count, height, width = len(weights), y_features.shape[1], x_features.shape[1]
    if as_bytes:
        out = weights.new_empty((count, height, width, config.channels), dtype=torch.uint8)
    else:
        out = weights.new_empty((count, config.channels, height, width))
    if not count:
        return out
    weights = weights.contiguous()
    features = 2 * len(x_features)
    matrix = weights[:, : config.width * features].unflatten(1, (config.width, features))
    bias = weights[:, config.width * features : config.width * (features + 1), None]
    by_column = torch.baddbmm(bias, matrix[:, :, 0::2], x_features.expand(count, -1, -1))
    by_row = torch.bmm(matrix[:, :, 1::2], y_features.expand(count, -1, -1))
    blocks = triton.cdiv(height * width, _BLOCK)
    with torch.cuda.device_of(weights):
        _render_block[(count * blocks,)](
            weights,
            by_column,
            by_row,
            out,
            height,
            width,
            blocks,
            first_hidden=config.width * (features + 1),
            units=config.width,
            layers=config.layers,
            channels=config.channels,
            as_bytes=as_bytes,
            block=_BLOCK,
            num_warps=_WARPS,
        )
    return out
