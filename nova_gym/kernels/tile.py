"""The innermost part of kernels in vector instructions: some outputs of a layer for a strip of pixels.

LLVM makes vectors of a plain loop as well, but one at a time: it then waits for each GELU to end and loads all of its
constants again for the next. Here several outputs of several vectors are under way at once, as many as there are
registers, and each loaded number is used for all of them. Written in LLVM's own terms, so any processor can run it.
"""

from __future__ import annotations

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from nova_gym.kernels.gelu import CLAMP, COEFFICIENTS, SQUARINGS

#: What Numba compiles for: the processor, unless `NUMBA_CPU_FEATURES` says otherwise.
_FEATURES = config.CPU_FEATURES or binding.get_host_cpu_features().flatten()
#: Numbers of a vector, as many as a register holds, and outputs of a layer that are computed at once. With the vectors
#: of a strip they keep 24 of AVX-512's 32 registers, or 12 of AVX2's 16.
LANES, _OUTPUTS = (16, 6) if "+avx512f" in _FEATURES else (8, 3)
VECTORS = 4
#: Pixels of a strip: with AVX-512 a cell of 8 x 8 pixels is one strip, with AVX2 two.
STRIP = LANES * VECTORS

#: What becomes of the outputs: `HIDDEN` passes them through GELU.
HIDDEN, FLOATS = range(2)

VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)
FAST = ("fast",)


def outputs_at_once(outputs: int) -> int:
    """How many of a layer's outputs `layer_strip` is to compute at once: a divisor of them all."""
    return next(count for count in range(_OUTPUTS, 0, -1) if outputs % count == 0)


def constant(value: float) -> ir.Constant:
    return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)


def spread(builder: ir.IRBuilder, value: ir.Value, vector: ir.VectorType = VECTOR) -> ir.Value:
    """A vector that is one number everywhere."""
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), lanes)


def address(builder: ir.IRBuilder, array: ir.Value, place: ir.Value, offset: int, vector: ir.Type = VECTOR) -> ir.Value:
    """Where a vector stands in an array."""
    return builder.bitcast(builder.gep(array, [builder.add(place, place.type(offset))]), vector.as_pointer())


def product(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, more: ir.Value) -> ir.Value:
    return builder.fadd(builder.fmul(one, other, flags=FAST), more, flags=FAST)


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


@intrinsic(prefer_literal=True)
def layer_strip(typing_context, weights, first, bias, source, target, place, inputs, outputs, kind):
    """Outputs of a layer for one strip.

    Args:
        weights: float32 array with, from `first` on, `inputs` weights of one output after the other, and their biases
            from `bias` on.
        source: float32 array, the strip of each input after the other.
        target: float32 array, the strip of each output after the other from `place` on.
        inputs, outputs, kind: constants; `kind` is `HIDDEN`, with GELU, or `FLOATS`, as they are.
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


@intrinsic
def copy(typing_context, source, start, target, place, count):
    """`target` from `place` on = `source` from `start` on, `count` items of the same kind."""

    def code(context, builder, signature, arguments):
        x, y = (data_of(context, builder, signature, arguments, k) for k in (0, 2))
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        x, y = builder.gep(x, [arguments[1]]), builder.gep(y, [arguments[3]])
        cgutils.raw_memcpy(builder, y, x, arguments[4], size)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.intp), code


def data_of(context, builder, signature, arguments, k) -> ir.Value:
    """Where the numbers of an array argument stand."""
    return context.make_array(signature.args[k])(context, builder, arguments[k]).data
