"""Products of many short rows with the weights of a layer, for `kernels.step`: sums stay in registers.

A row need not lie in one piece. A convolution's window is a few segments of memory, one a line of cells, and is read
where it is: nothing is gathered first. Every row goes through the same instructions in the same order, so its result
depends neither on the other rows nor on how many there are, to the bit.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.gelu import COEFFICIENTS, SQUARINGS
from nova_gym.kernels.tile import LANES, VECTOR, address, constant, data_of, held_size, spread

#: Fields of a layer, int64: where its weights start, the number of segments of a row, the length of each, how far the
#: next lies behind it, and the number of outputs, a multiple of `LINE`. The last two are for `kernels.memo`: where in
#: memory a cell's own numbers lie, from where its window begins, and how many cells the layer sees to each side.
AT, SEGMENTS, LENGTH, JUMP, OUTPUTS, CENTRE, SIGHT = range(7)
FIELDS = 7

#: Outputs of a layer that stand side by side are a multiple of this: a register of AVX-512, or two of AVX2.
LINE = 16
#: Rows of a block. With two lines of outputs they keep 16 of AVX-512's 32 registers for sums, or 12 of AVX2's 16.
ROWS = 8 if LANES == 16 else 3

#: A sum may be fused with the product before it. Their order is fixed, and no value is promised to be finite: a lost
#: dream has to be noticed.
_FLAGS = ("contract",)
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)


def _term(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, more: ir.Value) -> ir.Value:
    return builder.fadd(builder.fmul(one, other, flags=_FLAGS), more, flags=_FLAGS)


def _gelu(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """`nova_gym.kernels.gelu`, and NaN of NaN."""
    bits = builder.and_(builder.bitcast(x, _INTEGERS), ir.Constant(_INTEGERS, [0x7FFFFFFF] * LANES))
    positive = builder.fmul(builder.fadd(x, builder.bitcast(bits, VECTOR)), constant(0.5))
    held, tail = held_size(builder, x), constant(COEFFICIENTS[0])
    for coefficient in COEFFICIENTS[1:]:
        tail = _term(builder, tail, held, constant(coefficient))
    for _ in range(SQUARINGS):
        tail = builder.fmul(tail, tail)
    return _term(builder, builder.fneg(held), tail, positive)


@intrinsic(prefer_literal=True)
def _block(typing_context, packed, layer, column, source, places, target, goals, first, last, curved, lines):
    """Some outputs of a layer for `ROWS` rows.

    Args:
        packed, layer, source, places, target, goals: as in `apply`.
        column: the first of the outputs.
        first, last: the rows are those from `first` on; what would come after `last` is that one again.
        curved: whether GELU follows.
        lines: a constant, how many times `LINE` outputs.
    """
    vectors = range(lines.literal_value * LINE // LANES)

    def code(context, builder, signature, arguments):
        weights, row, x, start, y, goal = (
            data_of(context, builder, signature, arguments, k) for k in (0, 1, 3, 4, 5, 6)
        )
        column, first, last, curved = arguments[2], *arguments[7:10]
        fields = (AT, SEGMENTS, LENGTH, JUMP, OUTPUTS)
        fields = (builder.load(builder.gep(row, [column.type(field)])) for field in fields)
        at, segments, length, jump, outputs = fields
        at = builder.add(at, column)
        lines_of = [builder.add(first, first.type(n)) for n in range(ROWS)]
        lines_of = [builder.select(builder.icmp_signed("<", n, last), n, last) for n in lines_of]
        begins = [builder.gep(x, [builder.load(builder.gep(start, [n]))]) for n in lines_of]
        bias = builder.add(at, builder.mul(builder.mul(segments, length), outputs))
        biases = [builder.load(address(builder, weights, bias, v * LANES), align=4) for v in vectors]
        totals = [[cgutils.alloca_once_value(builder, value) for value in biases] for _ in begins]
        with cgutils.for_range(builder, segments) as segment:
            pieces = [builder.gep(begin, [builder.mul(segment.index, jump)]) for begin in begins]
            here = builder.add(at, builder.mul(builder.mul(segment.index, length), outputs))
            with cgutils.for_range(builder, length) as loop:
                place = builder.add(here, builder.mul(loop.index, outputs))
                many = [builder.load(address(builder, weights, place, v * LANES), align=4) for v in vectors]
                for piece, sums in zip(pieces, totals, strict=True):
                    number = spread(builder, builder.load(builder.gep(piece, [loop.index])))
                    for weight, total in zip(many, sums, strict=True):
                        builder.store(_term(builder, number, weight, builder.load(total)), total)
        with builder.if_then(curved):
            for total in (total for sums in totals for total in sums):
                builder.store(_gelu(builder, builder.load(total)), total)
        for n, sums in zip(lines_of, totals, strict=True):
            place = builder.add(builder.load(builder.gep(goal, [n])), column)
            for v, total in enumerate(sums):
                builder.store(builder.load(total), address(builder, y, place, v * LANES), align=4)
        return context.get_dummy_value()

    arrays = source, places, target, goals
    return types.void(packed, layer, types.intp, *arrays, types.intp, types.intp, types.boolean, lines), code


@intrinsic
def stays_apart(typing_context):
    """Keeps the function that calls this from being copied into each that calls it, and compiled there again."""

    def code(context, builder, signature, arguments):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), code


@compiled(error_model="numpy")
def apply(layer, packed, source, places, target, goals, count, curved):
    """A layer for many rows.

    Args:
        layer: (7,) int64, the fields of the layer.
        packed: float32, flat: weights (inputs, outputs) and then biases (outputs,) of each layer.
        source: float32, flat; row n begins at `places[n]`.
        target: float32, flat, written to: the outputs of row n begin at `goals[n]`.
        count: number of rows; none is fine.
        curved: whether GELU follows.
    """
    stays_apart()
    outputs, last = layer[OUTPUTS], count - 1
    for column in range(0, outputs, 2 * LINE):
        wide = column + 2 * LINE <= outputs
        for first in range(0, count, ROWS):
            if wide:
                _block(packed, layer, column, source, places, target, goals, first, last, curved, 2)
            else:
                _block(packed, layer, column, source, places, target, goals, first, last, curved, 1)


def padded(outputs: int) -> int:
    """How many outputs a layer is computed with; those beyond its own are 0."""
    return -(-outputs // LINE) * LINE
