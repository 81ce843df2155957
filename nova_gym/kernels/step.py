"""A step of dreams on the CPU as one compiled call: no layer waits to be called, and no result leaves the cache.

The same step as `DreamSimulator.step_latent`, which stays the reference: action bridge (of the chosen action alone),
content, motion, dead band, heads, bounds and ends. `nova_gym.model.compiled_step` writes the program that it runs.
"""

from __future__ import annotations

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import nn

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.gelu import CLAMP, COEFFICIENTS, SQUARINGS
from nova_gym.kernels.tile import LANES, VECTOR, data_of, spread

#: All of `fastmath` but the promise that no value is NaN or infinite: a lost dream has to be noticed.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
_EPSILON = np.float32(nn.LayerNorm(1).eps)

_CLAMP, _COEFFICIENTS = np.float32(CLAMP), tuple(map(np.float32, COEFFICIENTS))
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_LARGEST = np.finfo(np.float32).max

#: Dreams and outputs of a layer that are computed at once: with 12 of AVX2's 16 registers for sums, or 16 of AVX-512's
#: 32, the others for what is multiplied.
VECTORS, DREAMS = 4, 4 if LANES == 16 else 3
OUTPUTS = LANES * VECTORS
_FLAGS = tuple(_FAST)

#: What a row of the program does; beside it stand two columns of the work table, a weight and two lengths.
SET, ADD, CHOOSE, NORMALISE, GELU, COPY, HOLD = range(7)

#: Whether the processor turns half precision into single in one instruction.
HALVES = bool(binding.get_host_cpu_features().get("f16c"))


@intrinsic
def _number(typing_context, weight):
    """A packed weight as float32: what it is already, or the half precision whose bits a uint16 holds."""

    def code(context, builder, signature, arguments):
        if weight == types.float32:
            return arguments[0]
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(weight), code


@intrinsic(prefer_literal=True)
def _add_products(typing_context, packed, at, row, work, source, target, width, inputs, dreams, vectors):
    """Adds some outputs of a layer for some dreams, all of them in registers while its inputs go by.

    Args:
        packed: weights; from `at` on stand those of an input, `row` further those of the next.
        work: float32, flat; from `source` on stand the inputs, from `target` on the outputs, those of the next dream
            `width` further.
        inputs: how many.
        dreams, vectors: constants, how many dreams, and how many times `LANES` outputs.
    """
    rows, columns = range(dreams.literal_value), range(vectors.literal_value)
    halves = packed.dtype != types.float32
    stored = ir.VectorType(ir.IntType(16), LANES) if halves else VECTOR

    def code(context, builder, signature, arguments):
        def vector_at(array, place, v, kind=VECTOR):
            return builder.bitcast(builder.gep(array, [builder.add(place, place.type(v * LANES))]), kind.as_pointer())

        w, x = (data_of(context, builder, signature, arguments, k) for k in (0, 3))
        at, row, source, target, width, inputs = (arguments[k] for k in (1, 2, 4, 5, 6, 7))
        further = [builder.mul(width, width.type(n)) for n in rows]
        outputs = [vector_at(x, builder.add(target, further[n]), v) for n in rows for v in columns]
        totals = [cgutils.alloca_once_value(builder, builder.load(place, align=4)) for place in outputs]
        with cgutils.for_range(builder, inputs) as loop:
            first = builder.add(at, builder.mul(loop.index, row))
            weights = [builder.load(vector_at(w, first, v, stored), align=2) for v in columns]
            if halves:
                kind = ir.VectorType(ir.HalfType(), LANES)
                weights = [builder.fpext(builder.bitcast(weight, kind), VECTOR) for weight in weights]
            for n in rows:
                place = builder.add(builder.add(source, further[n]), loop.index)
                number = spread(builder, builder.load(builder.gep(x, [place])))
                for weight, total in zip(weights, totals[n * len(columns) :], strict=False):
                    term = builder.fmul(number, weight, flags=_FLAGS)
                    builder.store(builder.fadd(builder.load(total), term, flags=_FLAGS), total)
        for place, total in zip(outputs, totals, strict=True):
            builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    places = types.intp, types.intp, types.intp
    return types.void(packed, types.intp, types.intp, work, *places, types.intp, dreams, vectors), code


@compiled(error_model="numpy", fastmath=_FAST)
def _run(program, packed, work, actions, choices, band):
    """Runs a program on the work table, all dreams at once.

    Args:
        program: (n, 6) int64: what to do, from which column, to which column, with the weights from where on, and the
            numbers of inputs and outputs.
        packed: all weights; those of a layer are a matrix (inputs, outputs), then its bias.
        work: (N, width) float32, a row for each dream.
        actions: (N,) int64, of so many `choices`.
        band: the dead band.
    """
    flat, width = work.reshape(-1), work.shape[1]
    for kind, source, target, at, inputs, outputs in program:
        if kind in (SET, ADD):
            bias = packed[at + inputs * outputs : at + inputs * outputs + outputs]
            for n in range(len(work)):
                y = work[n, target : target + outputs]
                for j in range(outputs):
                    y[j] = _number(bias[j]) if kind == SET else y[j] + _number(bias[j])
            together = len(work) // DREAMS * DREAMS if outputs % OUTPUTS == 0 else 0
            for j in range(0, outputs if together else 0, OUTPUTS):
                for n in range(0, together, DREAMS):
                    x, y = n * width + source, n * width + target + j
                    _add_products(packed, at + j, outputs, flat, x, y, width, inputs, DREAMS, VECTORS)
            whole = inputs // 4 * 4
            for i in range(0, whole, 4):  # four rows of weights serve all dreams while they are in cache
                w = packed[at + i * outputs : at + (i + 4) * outputs]
                for n in range(together, len(work)):
                    x, y = work[n, source + i : source + i + 4], work[n, target : target + outputs]
                    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
                    for j in range(outputs):
                        total = x0 * _number(w[j]) + x1 * _number(w[outputs + j])
                        y[j] += total + x2 * _number(w[2 * outputs + j]) + x3 * _number(w[3 * outputs + j])
            for i in range(whole, inputs):
                weights = packed[at + i * outputs : at + (i + 1) * outputs]
                for n in range(together, len(work)):
                    x0, y = work[n, source + i], work[n, target : target + outputs]
                    for j in range(outputs):
                        y[j] += x0 * _number(weights[j])
            continue
        for n in range(len(work)):
            x, y = work[n, source : source + inputs], work[n, target : target + outputs]
            if kind == CHOOSE:  # of the outputs of all actions, by rows, those of the dream's own
                for j in range(outputs):
                    first = at + (actions[n] * outputs + j) * (inputs + 1)
                    weights = packed[first : first + inputs + 1]
                    total = _ZERO
                    if 0 <= actions[n] < choices:  # an unknown action is none, as in PyTorch
                        total = _number(weights[inputs])
                        for i in range(inputs):
                            total += _number(weights[i]) * x[i]
                    y[j] = total
            elif kind == NORMALISE:
                gains, shifts = packed[at : at + inputs], packed[at + inputs : at + 2 * inputs]
                mean = square = _ZERO
                for i in range(inputs):
                    mean += x[i]
                mean /= np.float32(inputs)
                for i in range(inputs):
                    square += (x[i] - mean) * (x[i] - mean)
                scale = _ONE / np.sqrt(square / np.float32(inputs) + _EPSILON)
                for i in range(inputs):
                    y[i] = (x[i] - mean) * scale * _number(gains[i]) + _number(shifts[i])
            elif kind == GELU:
                for i in range(inputs):
                    size = abs(x[i])
                    held, tail = min(size, _CLAMP), _ZERO
                    for coefficient in _COEFFICIENTS:
                        tail = tail * held + coefficient
                    for _ in range(SQUARINGS):
                        tail *= tail
                    y[i] = _HALF * (x[i] + size) - held * tail  # not max(x, 0), which would lose a NaN
            elif kind == COPY:
                for i in range(inputs):
                    y[i] = x[i]
            else:  # HOLD: what changed by less than the band did not change, nor did what is NaN, as in PyTorch
                square = _ZERO
                for i in range(inputs):
                    square += (y[i] - x[i]) * (y[i] - x[i])
                if not square / np.float32(inputs) > band:
                    for i in range(inputs):
                        y[i] = x[i]


@compiled(error_model="numpy", fastmath=_FAST, nogil=True)
def advance(
    program,
    packed,
    values,
    layout,
    numbers,
    state,
    latents,
    actions,
    steps,
    following,
    reward,
    ended,
    cut,
    gone,
    counted,
):
    """One step of N dreams, as `DreamSimulator` has it.

    Args:
        program, packed: as in `_run`.
        values: (V,) float32 that the reward takes; none for a regression.
        layout: width of the work table; where latent actions, states after the step and outputs of the heads stand on
            it, termination the last of these; the number of actions.
        numbers: dead band, bound of states, discount of the reward, the horizon it refers to, horizon.
        state: (N, K) float32.
        latents: (N, U) float32, written to if there are actions.
        actions: (N,) int64, or none.
        steps: (N,) int64 since the last reset.
        following: (N, K) float32, written to as are `reward`, (N,) float32, `ended`, `cut` and `gone`, (N,) bool,
            terminated, truncated and lost, and `counted`, (N,) int64, the steps with this one.
    """
    width, at_latents, at_following, at_heads, choices = layout
    bound, discount = np.float32(numbers[1]), np.float32(numbers[2])
    paid_horizon, horizon = np.float32(numbers[3]), numbers[4]
    count, rank = state.shape
    outputs = max(1, len(values))
    work = np.empty((count, width), np.float32)
    for n in range(count):
        for i in range(rank):
            work[n, i] = state[n, i]
        for i in range(latents.shape[1]):
            work[n, at_latents + i] = latents[n, i]
    _run(program, packed, work, actions, choices, np.float32(numbers[0]))
    for n in range(count):
        for i in range(latents.shape[1] if len(actions) else 0):
            latents[n, i] = work[n, at_latents + i]
        y, logits = work[n, at_following : at_following + rank], work[n, at_heads : at_heads + outputs + 1]
        lost = False
        for i in range(rank):
            lost |= not abs(y[i]) < bound  # so that NaN is lost as well
            following[n, i] = min(max(y[i], -bound), bound) if y[i] == y[i] else _ZERO
        counted[n] = steps[n] + 1
        best = 0
        for v in range(1, outputs):
            if logits[v] > logits[best]:
                best = v
        paid = values[best] if len(values) else logits[0]
        if discount != _ZERO:
            paid *= _ONE - discount * np.float32(counted[n]) / paid_horizon
        reward[n] = min(max(paid, -_LARGEST), _LARGEST) if paid == paid else _ZERO
        ended[n] = logits[outputs] > _ZERO
        gone[n] = lost
        cut[n] = lost or (horizon > 0.0 and counted[n] >= horizon)


def probe() -> None:
    """Steps one dream by a program of nothing: raises whatever a broken compiler raises."""
    packed, column = np.zeros(1, np.uint16 if HALVES else np.float32), np.zeros((1, 1), np.float32)
    flags = np.zeros((3, 1), np.bool_)
    program, values, none = np.zeros((0, 6), np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    steps, layout, numbers = np.zeros(1, np.int64), (4, 1, 0, 0, 0), (0.0, 1.0, 0.0, 1.0, 0.0)
    results = column.copy(), np.zeros(1, np.float32), *flags, steps.copy()
    advance(program, packed, values, layout, numbers, column, column.copy(), none, steps, *results)
