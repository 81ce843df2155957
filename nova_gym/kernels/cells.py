"""What `kernels.render` does to a cell before and after the strips of `kernels.tile`, in vector instructions.

Before: the weights of its network from its state, and the first layer along its two axes. After: bytes, and a place in
the frame. Every number is computed in the same way wherever it stands, so a cell is drawn alike to the bit whether it
is drawn alone, with its frame or with a batch.
"""

from __future__ import annotations

from collections.abc import Iterable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nova_gym.kernels.tile import FAST, LANES, VECTORS, address, constant, data_of, product, spread

#: Cells whose weights are made together, so that what is fetched of the basis serves them all.
TOGETHER = 4
#: Vectors of weights that are made at once for so many cells, or for one: their sums fill the registers.
_VECTORS = {TOGETHER: 6 if LANES == 16 else 3, 1: 12}
#: Weights in these vectors.
BLOCK_TOGETHER, BLOCK = (_VECTORS[count] * LANES for count in (TOGETHER, 1))
#: Pixels of a row or a column that go through the first layer at once: those of a cell, mostly.
LINE = 8
_LINE = ir.VectorType(ir.FloatType(), LINE)
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)


@intrinsic(prefer_literal=True)
def weigh(typing_context, base, basis, states, cells, weights, start, count):
    """A block of weights of some cells: `weights` = `base` + `states`[`cells`] @ `basis`, all float32.

    Args:
        base, basis, states: (D,), (K, D) and (cells, K) arrays.
        cells: int64 array of at least `count`.
        weights: array with a row of D numbers for each of them.
        start: the first number of the block; it has `BLOCK_TOGETHER` or `BLOCK`.
        count: a constant, `TOGETHER` or 1.
    """
    some, vectors = range(count.literal_value), range(_VECTORS[count.literal_value])

    def code(context, builder, signature, arguments):
        b, m, z, which, y = (data_of(context, builder, signature, arguments, k) for k in range(5))
        shape = context.make_array(signature.args[1])(context, builder, arguments[1]).shape
        (rank, size), start = cgutils.unpack_tuple(builder, shape), arguments[5]
        rows = [builder.mul(builder.load(builder.gep(which, [rank.type(n)])), rank) for n in some]
        first = [builder.load(address(builder, b, start, v * LANES), align=4) for v in vectors]
        totals = [[cgutils.alloca_once_value(builder, value) for value in first] for _ in some]
        with cgutils.for_range(builder, rank) as loop:
            place = builder.add(builder.mul(loop.index, size), start)
            more = [builder.load(address(builder, m, place, v * LANES), align=4) for v in vectors]
            for row, line in zip(rows, totals, strict=True):
                number = spread(builder, builder.load(builder.gep(z, [builder.add(row, loop.index)])))
                for vector, total in zip(more, line, strict=True):
                    builder.store(product(builder, number, vector, builder.load(total)), total)
        for n, line in enumerate(totals):
            place = builder.add(builder.mul(size, size.type(n)), start)
            for v, total in enumerate(line):
                builder.store(builder.load(total), address(builder, y, place, v * LANES), align=4)
        return context.get_dummy_value()

    return types.void(base, basis, states, cells, weights, types.intp, count), code


@intrinsic(prefer_literal=True)
def first_layer_line(
    typing_context, weights, first, bias, source, place, step, target, there, further, inputs, outputs, biased
):
    """What `LINE` coordinates of one axis add to some units of the first layer.

    Args:
        weights: float32 array; from `first` on, every other one of the first `2 · inputs` belongs to the first unit,
            and so on.
        bias: where the units' biases stand.
        source: float32 array: the features of the coordinates from `place` on, the next feature `step` further.
        target: float32 array: what they add from `there` on, to the next unit `further` further.
        inputs, outputs: constants.
        biased: a constant, 1 to add the biases and 0 to leave them out.
    """
    waves, units = inputs.literal_value, range(outputs.literal_value)

    def code(context, builder, signature, arguments):
        w, x, y = (data_of(context, builder, signature, arguments, k) for k in (0, 3, 6))
        first, place, step, there, further = (arguments[k] for k in (1, 4, 5, 7, 8))
        totals = [ir.Constant(_LINE, [0.0] * LINE) for _ in units]
        for j in units if biased.literal_value else ():
            number = builder.load(builder.gep(w, [builder.add(arguments[2], first.type(j))]))
            totals[j] = spread(builder, number, _LINE)
        for k in range(waves):
            here = builder.add(place, builder.mul(step, step.type(k)))
            feature = builder.load(address(builder, x, here, 0, _LINE), align=4)
            for j in units:
                weight = builder.load(builder.gep(w, [builder.add(first, first.type(2 * (j * waves + k)))]))
                totals[j] = product(builder, spread(builder, weight, _LINE), feature, totals[j])
        for j in units:
            here = builder.add(there, builder.mul(further, further.type(j)))
            builder.store(totals[j], address(builder, y, here, 0, _LINE), align=4)
        return context.get_dummy_value()

    n = types.intp
    return types.void(weights, n, n, source, n, n, target, n, n, inputs, outputs, biased), code


@intrinsic
def add_to_line(typing_context, values, start, shift, target, place):
    """`target` from `place` on = `values` from `start` on + `shift`, for `LINE` float32 numbers."""

    def code(context, builder, signature, arguments):
        x, y = (data_of(context, builder, signature, arguments, k) for k in (0, 3))
        value = builder.load(address(builder, x, arguments[1], 0, _LINE), align=4)
        value = builder.fadd(value, spread(builder, arguments[2], _LINE), flags=FAST)
        builder.store(value, address(builder, y, arguments[4], 0, _LINE), align=4)
        return context.get_dummy_value()

    return types.void(values, types.intp, types.float32, target, types.intp), code


@intrinsic(prefer_literal=True)
def bytes_of_strip(typing_context, values, start, further, target, channels):
    """The bytes of a strip of pixels, by pixel.

    Args:
        values: float32 array, 0 being mid-grey: the strip of the first channel from `start` on, and of the next one
            `further` further.
        target: uint8 array, written from its beginning.
        channels: a constant.
    """
    count = channels.literal_value

    def code(context, builder, signature, arguments):
        x, y = (data_of(context, builder, signature, arguments, k) for k in (0, 3))
        start, further = arguments[1], arguments[2]
        for v in range(VECTORS):
            picked = []
            for channel in range(count):
                here = builder.add(start, builder.mul(further, further.type(channel)))
                picked.append(builder.load(address(builder, x, here, v * LANES), align=4))
            pixels = _bytes(builder, picked)
            builder.store(pixels, address(builder, y, start.type(v * LANES * count), 0, pixels.type), align=1)
        return context.get_dummy_value()

    return types.void(values, types.intp, types.intp, target, channels), code


def _bytes(builder: ir.IRBuilder, channels: list[ir.Value]) -> ir.Value:
    """Values of pixels by channel, 0 being mid-grey, as bytes, all channels of a pixel beside each other."""
    picked = []
    for x in channels:
        scaled = _bounded(builder, product(builder, x, constant(255.0), constant(128.0)), 0.5, 255.5)
        picked.append(builder.trunc(builder.fptosi(scaled, _INTEGERS), ir.VectorType(ir.IntType(8), LANES)))
    joined = picked[0]
    for more in picked[1:]:  # both sides of a shuffle have the same length
        length = joined.type.count
        more = _shuffled(builder, more, more, [*range(LANES), *[0] * (length - LANES)])
        joined = _shuffled(builder, joined, more, range(length + LANES))
    order = [channel * LANES + i for i in range(LANES) for channel in range(len(channels))]
    return _shuffled(builder, joined, joined, order)


def _bounded(builder: ir.IRBuilder, x: ir.Value, low: float, high: float) -> ir.Value:
    for sign, bound in ((">", low), ("<", high)):
        limit = constant(bound)
        x = builder.select(builder.fcmp_ordered(sign, x, limit, flags=FAST), x, limit)
    return x


def _shuffled(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, lanes: Iterable[int]) -> ir.Value:
    lanes = list(lanes)
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))
