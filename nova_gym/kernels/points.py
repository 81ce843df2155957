"""The renderer at any points on the CPU with gradients, for training: forwards and backwards in one pass each.

As in `kernels.render` some pixels go through all layers while they are in cache. Nothing is kept for the way back: it
goes forwards once more, which takes less time than fetching from memory what every unit was at every pixel.

`nova_gym.model.inr` calls this and checks it against PyTorch in its tests; nothing else should.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor
from torch.autograd.function import once_differentiable

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.gelu import CLAMP, COEFFICIENTS, SQUARINGS
from nova_gym.kernels.threads import in_parts
from nova_gym.kernels.tile import (
    FAST,
    FLOATS,
    HIDDEN,
    LANES,
    STRIP,
    VECTORS,
    address,
    constant,
    copy,
    data_of,
    held_size,
    layer_strip,
    positive_part,
    product,
)

if TYPE_CHECKING:
    from nova_gym.model.config import INRConfig


#: Strips that go backwards together: the gradients of weights are then summed up in registers for as long.
_STRIPS = 6
#: Outputs and inputs of a layer whose weights' gradients are summed up at once, in 12 registers; and inputs of a single
#: output, where fewer are left.
_ROWS, _COLUMNS, _ALONE = 4, 3, 12


@intrinsic
def _gelu_and_slope(typing_context, values, target, slopes, place):
    """`target` = GELU(`values`) and `slopes` its derivative, from `place` on, for one strip of float32 numbers."""

    def code(context, builder, signature, arguments):
        x, y, dy = (data_of(context, builder, signature, arguments, k) for k in range(3))
        zero, one = constant(0.0), constant(1.0)
        for v in range(VECTORS):
            value = builder.load(address(builder, x, arguments[3], v * LANES), align=4)
            size = held_size(builder, value)
            root, slope = constant(COEFFICIENTS[0]), zero
            for coefficient in COEFFICIENTS[1:]:  # Horner's rule, and that of the derivative
                slope = product(builder, slope, size, root)
                root = product(builder, root, size, constant(coefficient))
            tail, last = root, one  # the root to the power of 2 ** SQUARINGS, and to one less
            for _ in range(SQUARINGS):
                last = builder.fmul(last, tail, flags=FAST)
                tail = builder.fmul(tail, tail, flags=FAST)
            power = constant(float(2**SQUARINGS))
            slope = builder.fmul(builder.fmul(size, slope, flags=FAST), power, flags=FAST)
            slope = builder.fmul(builder.fadd(root, slope, flags=FAST), last, flags=FAST)
            slope = builder.select(builder.fcmp_ordered("<", size, constant(CLAMP), flags=FAST), slope, zero)
            above = builder.fcmp_ordered(">", value, zero, flags=FAST)
            slope = builder.select(above, builder.fsub(one, slope, flags=FAST), slope)
            total = builder.fsub(positive_part(builder, value), builder.fmul(size, tail, flags=FAST), flags=FAST)
            builder.store(total, address(builder, y, arguments[3], v * LANES), align=4)
            builder.store(slope, address(builder, dy, arguments[3], v * LANES), align=4)
        return context.get_dummy_value()

    return types.void(values, target, slopes, types.intp), code


def _sums(builder: ir.IRBuilder, vectors: list[ir.Value]) -> list[ir.Value]:
    """The sum of the numbers of each vector: all of them at once, halving what is left of each until it is a number."""
    numbers = []
    for first in range(0, len(vectors), LANES):
        some = vectors[first : first + LANES]
        count, size = len(some), LANES
        while size > 1:
            if len(some) % 2:
                some = [*some, some[-1] if len(some) == 1 else constant(0.0)]
            some = [_halves(builder, one, other) for one, other in zip(some[::2], some[1::2], strict=True)]
            size //= 2
        numbers += [builder.extract_element(some[0], ir.IntType(32)(lane)) for lane in range(count)]
    return numbers


def _halves(builder: ir.IRBuilder, one: ir.Value, other: ir.Value) -> ir.Value:
    """Sums of neighbouring numbers, of one vector and then of another."""
    integers = ir.VectorType(ir.IntType(32), LANES)
    even, odd = (
        builder.shuffle_vector(one, other, ir.Constant(integers, list(range(start, 2 * LANES, 2)))) for start in (0, 1)
    )
    return builder.fadd(even, odd, flags=FAST)


@intrinsic(prefer_literal=True)
def _add_outer(typing_context, sums, place, width, one, i, further, other, j, beyond, strips, rows, columns):
    """Adds to `sums` what some rows of one array have in common with some of another: Σ one[i, p] · other[j, p].

    Args:
        sums: float32 array; the sum of the first two rows stands at `place`, those of the next row of `one` `width`
            further.
        one: float32 array, the strip of each row after the other, and `further` further the next strips.
        i: the first of its rows.
        other, j, beyond: the same of the other array.
        strips: how many.
        rows, columns: constants, how many of `one` and of `other`.
    """
    height, breadth = range(rows.literal_value), range(columns.literal_value)

    def code(context, builder, signature, arguments):
        s, x, y = (data_of(context, builder, signature, arguments, k) for k in (0, 3, 6))
        place, width, i, further, j, beyond, strips = (arguments[k] for k in (1, 2, 4, 5, 7, 8, 9))
        first, second = (builder.mul(row, row.type(STRIP)) for row in (i, j))
        totals = [[cgutils.alloca_once_value(builder, constant(0.0)) for _ in breadth] for _ in height]
        with cgutils.for_range(builder, strips) as loop:
            here = builder.add(first, builder.mul(further, loop.index))
            there = builder.add(second, builder.mul(beyond, loop.index))
            for v in range(VECTORS):
                left = [builder.load(address(builder, x, here, k * STRIP + v * LANES), align=4) for k in height]
                right = [builder.load(address(builder, y, there, k * STRIP + v * LANES), align=4) for k in breadth]
                for value, line in zip(left, totals, strict=True):
                    for factor, total in zip(right, line, strict=True):
                        builder.store(product(builder, value, factor, builder.load(total)), total)
        numbers = _sums(builder, [builder.load(total) for line in totals for total in line])
        for k in height:
            row = builder.add(place, builder.mul(width, width.type(k)))
            for m in breadth:
                where = builder.gep(s, [builder.add(row, row.type(m))])
                number = numbers[k * len(breadth) + m]
                builder.store(builder.fadd(builder.load(where), number, flags=FAST), where)
        return context.get_dummy_value()

    n = types.intp
    return types.void(sums, n, n, one, n, n, other, n, n, n, rows, columns), code


@compiled(inner=True, nogil=True, fastmath=True)
def _add_gradient(sums, at, slopes, further, outputs, source, beyond, inputs, strips):
    """Adds to `sums`, from `at` on, the gradient of a layer's weights; biases are those of a last input."""
    whole_rows, whole_columns = outputs - outputs % _ROWS, inputs - inputs % _COLUMNS
    for i in range(0, whole_rows, _ROWS):
        for j in range(0, whole_columns, _COLUMNS):
            place = at + i * inputs + j
            _add_outer(sums, place, inputs, slopes, i, further, source, j, beyond, strips, _ROWS, _COLUMNS)
        for j in range(whole_columns, inputs):
            place = at + i * inputs + j
            _add_outer(sums, place, inputs, slopes, i, further, source, j, beyond, strips, _ROWS, 1)
    whole_columns = inputs - inputs % _ALONE
    for i in range(whole_rows, outputs):
        for j in range(0, whole_columns, _ALONE):
            place = at + i * inputs + j
            _add_outer(sums, place, inputs, slopes, i, further, source, j, beyond, strips, 1, _ALONE)
        for j in range(whole_columns, inputs):
            place = at + i * inputs + j
            _add_outer(sums, place, inputs, slopes, i, further, source, j, beyond, strips, 1, 1)


@cache
def _kernels(width: int, layers: int, features: int, channels: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Compiles both ways for one size of network: all loops over units have constant lengths.

    Args:
        width, layers, channels: of the coordinate network.
        features: 2 + 4F.
    """
    first_size, hidden_size = width * (features + 1), width * (width + 1)
    last_layer = first_size + (layers - 1) * hidden_size
    count = last_layer + channels * (width + 1)
    tile = next(outputs for outputs in (4, 3, 2, 1) if width % outputs == 0)
    room, no_bias = max(width, channels) * STRIP, width * max(width, channels)
    inputs_size, units_size = (features + 1) * STRIP, (width + 1) * STRIP

    @compiled(nogil=True, fastmath=True)
    def forwards(weights, inputs, out, start, stop):
        """Draws frames `start` to `stop` at all points."""
        one, other = np.empty(room, np.float32), np.empty(room, np.float32)
        drawn = np.empty(channels * STRIP, np.float32)
        points = out.shape[2]
        for frame in range(start, stop):
            w = weights[frame]
            for strip in range(len(inputs)):
                source = inputs[strip]
                for j in range(0, width, tile):
                    bias = width * features + j
                    layer_strip(w, j * features, bias, source, one, j * STRIP, features, tile, HIDDEN)
                at = first_size
                for _ in range(layers - 1):
                    for j in range(0, width, tile):
                        bias = at + width * width + j
                        layer_strip(w, at + j * width, bias, one, other, j * STRIP, width, tile, HIDDEN)
                    one, other = other, one
                    at += hidden_size
                layer_strip(w, last_layer, last_layer + channels * width, one, drawn, 0, width, channels, FLOATS)
                left = strip * STRIP
                for j in range(channels):
                    place = (frame * channels + j) * points + left
                    copy(drawn, j * STRIP, out.reshape(-1), place, min(STRIP, points - left))

    @compiled(nogil=True, fastmath=True)
    def backwards(weights, inputs, drawn, gradient, start, stop):
        """The gradient of the weights of frames `start` to `stop` from that of what is drawn."""
        units = np.ones((layers, _STRIPS, units_size), np.float32)  # a last one stays 1: what it is weighed by is bias
        slopes = np.empty((layers, _STRIPS, width * STRIP), np.float32)
        one, other = np.empty((_STRIPS, room), np.float32), np.empty((_STRIPS, room), np.float32)
        values, turned = np.empty(width * STRIP, np.float32), np.zeros(no_bias + width, np.float32)
        sums, points = np.empty(count, np.float32), drawn.shape[2]
        for frame in range(start, stop):
            w = weights[frame]
            sums[:] = 0.0
            for begin in range(0, len(inputs), _STRIPS):
                strips = min(_STRIPS, len(inputs) - begin)
                for s in range(strips):
                    source = inputs[begin + s]
                    for j in range(0, width, tile):
                        bias = width * features + j
                        layer_strip(w, j * features, bias, source, values, j * STRIP, features, tile, FLOATS)
                    for layer in range(layers):
                        for j in range(width):
                            _gelu_and_slope(values, units[layer, s], slopes[layer, s], j * STRIP)
                        at = first_size + layer * hidden_size
                        for j in range(0, width if layer < layers - 1 else 0, tile):
                            bias = at + width * width + j
                            layer_strip(
                                w, at + j * width, bias, units[layer, s], values, j * STRIP, width, tile, FLOATS
                            )
                    left = (begin + s) * STRIP
                    length = min(STRIP, points - left)
                    for j in range(channels):
                        place = (frame * channels + j) * points + left
                        copy(drawn.reshape(-1), place, one[s], j * STRIP, length)
                        one[s, j * STRIP + length : (j + 1) * STRIP] = 0.0
                outputs, at = channels, last_layer
                for layer in range(layers - 1, -1, -1):
                    _add_gradient(sums, at, one, room, outputs, units[layer], units_size, width + 1, strips)
                    for i in range(width):
                        for j in range(outputs):
                            turned[i * outputs + j] = w[at + j * width + i]
                    for s in range(strips):
                        for i in range(0, width, tile):
                            place = i * STRIP
                            if layer < layers - 1:
                                layer_strip(turned, i * width, no_bias, one[s], other[s], place, width, tile, FLOATS)
                            else:
                                row = i * channels
                                layer_strip(turned, row, no_bias, one[s], other[s], place, channels, tile, FLOATS)
                        for k in range(width * STRIP):
                            other[s, k] *= slopes[layer, s, k]
                    one, other = other, one
                    outputs, at = width, at - hidden_size
                _add_gradient(sums, 0, one, room, width, inputs[begin:], inputs_size, features + 1, strips)
            place = 0
            for layer in range(layers + 1):  # biases from among the weights to behind them
                columns, rows = features if layer == 0 else width, channels if layer == layers else width
                for i in range(rows):
                    copy(sums, place + i * (columns + 1), gradient[frame], place + i * columns, columns)
                    gradient[frame, place + rows * columns + i] = sums[place + i * (columns + 1) + columns]
                place += rows * (columns + 1)

    return forwards, backwards


def probe() -> None:
    """Draws the smallest picture and goes back: raises whatever a broken compiler raises."""
    sizes = SimpleNamespace(width=1, layers=1, channels=1, frequencies=0)
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller is in the middle of
        render_at(torch.zeros(1, 5, requires_grad=True), torch.zeros(2, 1), sizes).sum().backward()


def render_at(weights: Tensor, features: Tensor, config: INRConfig) -> Tensor:
    """Evaluates coordinate networks at points.

    Args:
        weights: (B, D) float32 on the CPU.
        features: (2 + 4F, P) float32, the points' Fourier features.
        config: sizes of the network, at least one hidden layer.

    Returns:
        (B, C, P) float32, around 0; its gradient reaches the weights alone, and once.
    """
    points = features.shape[1]
    padded = F.pad(torch.cat([features, features.new_ones(1, points)]), (0, -points % STRIP))
    strips = padded.unflatten(1, (-1, STRIP)).movedim(1, 0).flatten(1).contiguous()
    return _Points.apply(weights, strips, points, config)


class _Points(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights: Tensor, strips: Tensor, points: int, config: INRConfig) -> Tensor:
        weights = weights.contiguous()
        ctx.save_for_backward(weights, strips)
        ctx.config = config
        forwards, _ = _kernels_of(config)
        out = torch.empty(len(weights), config.channels, points)
        arrays = weights.detach().numpy(), strips.numpy(), out.numpy()
        in_parts(lambda start, stop: forwards(*arrays, start, stop), len(weights))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor):
        weights, strips = ctx.saved_tensors
        _, backwards = _kernels_of(ctx.config)
        gradient = torch.empty_like(weights)
        arrays = weights.detach().numpy(), strips.numpy(), slope.contiguous().numpy(), gradient.numpy()
        in_parts(lambda start, stop: backwards(*arrays, start, stop), len(weights))
        return gradient, None, None, None


def _kernels_of(config: INRConfig) -> tuple[Callable[..., None], Callable[..., None]]:
    return _kernels(config.width, config.layers, 2 + 4 * config.frequencies, config.channels)
