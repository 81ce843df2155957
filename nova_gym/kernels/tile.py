"""The innermost part of `kernels.render` in vector instructions: some outputs of a layer for a strip of pixels.

LLVM makes vectors of a plain loop as well, but one at a time: it then waits for each GELU to end and loads all of its
constants again for the next. Here several outputs of several vectors are under way at once, as many as there are
registers, and each loaded number is used for all of them. Written in LLVM's own terms, so any processor can run it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.extending import intrinsic

from nova_gym.kernels.gelu import CLAMP, COEFFICIENTS, SQUARINGS

#: What Numba compiles for: the processor, unless `NUMBA_CPU_FEATURES` says otherwise.
_FEATURES = config.CPU_FEATURES or binding.get_host_cpu_features().flatten()
#: Numbers of a vector, as many as a register holds, and vectors of a strip: with four outputs they keep 20 of AVX-512's
#: 32 registers, or 12 of AVX2's 16. A row of 72 pixels then is one strip wide, or three.
LANES, VECTORS = (16, 5) if "+avx512f" in _FEATURES else (8, 3)
#: Pixels of a strip.
STRIP = LANES * VECTORS

#: What becomes of the outputs.
HIDDEN, FLOATS, BYTES = range(3)

VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)
FAST = ("fast",)


def constant(value: float) -> ir.Constant:
    return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)


def spread(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """A vector that is one number everywhere."""
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), ir.Constant(_INTEGERS, [0] * LANES))


def address(builder: ir.IRBuilder, array: ir.Value, place: ir.Value, offset: int, vector: ir.Type = VECTOR) -> ir.Value:
    """Where a vector stands in an array."""
    return builder.bitcast(builder.gep(array, [builder.add(place, place.type(offset))]), vector.as_pointer())


def product(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, more: ir.Value) -> ir.Value:
    return builder.fadd(builder.fmul(one, other, flags=FAST), more, flags=FAST)


def _bounded(builder: ir.IRBuilder, x: ir.Value, low: float, high: float) -> ir.Value:
    for sign, bound in ((">", low), ("<", high)):
        limit = constant(bound)
        x = builder.select(builder.fcmp_ordered(sign, x, limit, flags=FAST), x, limit)
    return x


def held_size(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """min(|x|, `CLAMP`), by way of integers, whose order is that of such numbers: other units compute it meanwhile."""
    bits = builder.and_(builder.bitcast(x, _INTEGERS), ir.Constant(_INTEGERS, [0x7FFFFFFF] * LANES))
    limit = ir.Constant(_INTEGERS, [int(np.float32(CLAMP).view(np.int32))] * LANES)
    return builder.bitcast(builder.select(builder.icmp_signed("<", bits, limit), bits, limit), VECTOR)


def positive_part(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """max(x, 0), likewise: what has a sign is a negative integer."""
    bits, zero = builder.bitcast(x, _INTEGERS), ir.Constant(_INTEGERS, [0] * LANES)
    return builder.bitcast(builder.select(builder.icmp_signed(">", bits, zero), bits, zero), VECTOR)


def _gelu(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """`nova_gym.kernels.gelu`, which says how."""
    size = held_size(builder, x)
    tail = constant(COEFFICIENTS[0])
    for coefficient in COEFFICIENTS[1:]:
        tail = product(builder, tail, size, constant(coefficient))
    for _ in range(SQUARINGS):
        tail = builder.fmul(tail, tail, flags=FAST)
    return builder.fsub(positive_part(builder, x), builder.fmul(size, tail, flags=FAST), flags=FAST)


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


def _shuffled(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, lanes: Iterable[int]) -> ir.Value:
    lanes = list(lanes)
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))


@intrinsic(prefer_literal=True)
def layer_strip(typing_context, weights, first, bias, source, target, place, inputs, outputs, kind):
    """Outputs of a layer for one strip.

    Args:
        weights: float32 array with, from `first` on, `inputs` weights of one output after the other, and their biases
            from `bias` on.
        source: float32 array, the strip of each input after the other.
        target: the array to write to from `place` on: float32, the strip of each output after the other, or for
            `BYTES` uint8, by pixel.
        inputs, outputs, kind: constants; `kind` is one of `HIDDEN`, with GELU, `FLOATS`, as they are, and `BYTES`.
    """
    lengths = inputs.literal_value, outputs.literal_value

    def code(context, builder, signature, arguments):
        w, x, y = (data_of(context, builder, signature, arguments, k) for k in (0, 3, 4))
        first, bias, place = arguments[1], arguments[2], arguments[5]
        totals = []
        for j in range(lengths[1]):
            start = builder.load(builder.gep(w, [builder.add(bias, bias.type(j))]))
            totals.append([spread(builder, start)] * VECTORS)
        for i in range(lengths[0]):
            source = place.type(i * STRIP)
            strip = [builder.load(address(builder, x, source, v * LANES), align=4) for v in range(VECTORS)]
            for j, total in enumerate(totals):
                weight = builder.load(builder.gep(w, [builder.add(first, first.type(j * lengths[0] + i))]))
                weight = spread(builder, weight)
                totals[j] = [product(builder, weight, strip[v], total[v]) for v in range(VECTORS)]
        if kind.literal_value == BYTES:
            for v in range(VECTORS):
                pixels = _bytes(builder, [total[v] for total in totals])
                where = address(builder, y, place, v * LANES * lengths[1], pixels.type)
                builder.store(pixels, where, align=1)
            return context.get_dummy_value()
        for j, total in enumerate(totals):
            for v, value in enumerate(total):
                value = _gelu(builder, value) if kind.literal_value == HIDDEN else value
                builder.store(value, address(builder, y, place, j * STRIP + v * LANES), align=4)
        return context.get_dummy_value()

    places = types.intp, types.intp
    return types.void(weights, *places, source, target, types.intp, inputs, outputs, kind), code


@intrinsic
def gelu_strip(typing_context, values, start, shift, target, place):
    """`target` from `place` on = GELU(`values` from `start` on + `shift`), for one strip of float32 numbers."""

    def code(context, builder, signature, arguments):
        x, y = (data_of(context, builder, signature, arguments, k) for k in (0, 3))
        shift = spread(builder, arguments[2])
        for v in range(VECTORS):
            value = builder.load(address(builder, x, arguments[1], v * LANES), align=4)
            value = _gelu(builder, builder.fadd(value, shift, flags=FAST))
            builder.store(value, address(builder, y, arguments[4], v * LANES), align=4)
        return context.get_dummy_value()

    return types.void(values, types.intp, types.float32, target, types.intp), code


def data_of(context, builder, signature, arguments, k) -> ir.Value:
    """Where the numbers of an array argument stand."""
    return context.make_array(signature.args[k])(context, builder, arguments[k]).data
