"""Doubt of a step on the CPU as one compiled call: `nova_gym.model.doubt`, which stays the reference.

A step changes few cells, and few are looked at. Those of many dreams go through the network together.
"""

from __future__ import annotations

import numpy as np

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.memo import CHUNK
from nova_gym.kernels.products import FIELDS, LINE, OUTPUTS, apply

#: Where the layers stand: three of the network, and what tells distances to the codes apart.
NETWORK, CODES = 0, 3
LAYERS = 4
#: As in `nova_gym.model.doubt`.
LEAST, LARGEST = np.float32(-20.0), np.float32(12.0)
_ONE, _ZERO, _TINY = np.float32(1.0), np.float32(0.0), np.float32(1e-12)


@compiled(error_model="numpy")
def _add(one, other):
    """The logarithm of the sum of two exponentials."""
    most = max(one, other)
    return most + np.log1p(np.exp(min(one, other) - most))


@compiled(error_model="numpy")
def _sigmoid(logit):
    return _ONE / (_ONE + np.exp(-logit))


@compiled(error_model="numpy")
def _look(width, state, following, lively, listed):
    """Lists cells that changed or that often do, dream by dream; returns how many there are."""
    found = 0
    for n in range(len(state)):
        for cell in range(lively.shape[1]):
            if lively[n, cell] or state[n, cell * width] != following[n, cell * width]:
                listed[0, found], listed[1, found] = n, cell
                found += 1
    return found


@compiled(error_model="numpy")
def _read(sizes, state, following, acted, n, cell, inputs):
    """Writes what the network reads of a cell."""
    columns, rank, width, reach = sizes
    lines, row, column, at = state.shape[1] // width // columns, cell // columns, cell % columns, 0
    for y in range(row - reach // 2, row + reach // 2 + 1):
        for x in range(column - reach // 2, column + reach // 2 + 1):
            inside, there = 0 <= y < lines and 0 <= x < columns, (y * columns + x) * width
            for i in range(rank):
                inputs[at + i] = state[n, there + i] if inside else _ZERO
            at += rank
    own = cell * width
    for i in range(rank):
        inputs[at + i] = following[n, own + i] - state[n, own + i]
    at += rank
    for i in range(rank, width):
        inputs[at + i - rank] = state[n, own + i]
    at += width - rank
    for i in range(acted.shape[1]):
        inputs[at + i] = acted[n, i]


@compiled(error_model="numpy")
def _around(sizes, state, following, novelty, marks, n, cell):
    """The largest novelty around a cell before the step, and the largest doubt of what changed around it."""
    columns, _, width, reach = sizes
    lines, row, column = state.shape[1] // width // columns, cell // columns, cell % columns
    strange, moved = _ZERO, _ZERO
    for y in range(max(row - reach // 2, 0), min(row + reach // 2 + 1, lines)):
        for x in range(max(column - reach // 2, 0), min(column + reach // 2 + 1, columns)):
            other = y * columns + x
            strange = max(strange, novelty[n, other])
            if state[n, other * width] != following[n, other * width]:
                moved = max(moved, marks[n, other])
    return strange, moved


@compiled(error_model="numpy", nogil=True)
def follow(model, sizes, given, results, start, stop):
    """What is believed of the dreams from `start` to `stop` after a step, as `Doubt.step` has it.

    Args:
        model: the layers, (4, 7) int64; packed weights, (W,) float32; the codes, (n, K) float32, which of them are
            lively, (n,) bool, and the logarithms of their errors, (n,) float32; the weights of steps and of frames,
            float32; logarithms of the ordinary squared distance and of the error that a squared distance makes, (2,)
            float32.
        sizes: cells of a line, K, K + M, cells that the network sees in a line.
        given: states before and after the step, (N, cells · (K + M)) float32; actions as numbers, (N, actions)
            float32; of the belief before it: lively, novelty and doubt map, (N, cells); start, most and total, (N,).
        results: written to: lively, novelty and doubt map, (N, cells); most, total and doubt, (N,).
    """
    layers, packed, codes, code_lively, log_errors, step_weights, frame_weights, scales = model
    state, following, acted = given[0][start:stop], given[1][start:stop], given[2][start:stop]
    lively, novelty, marks = given[3][start:stop], given[4][start:stop], given[5][start:stop]
    begun, most, total = given[6][start:stop], given[7][start:stop], given[8][start:stop]
    width, inputs = sizes[2], sizes[1] * (sizes[3] ** 2 + 1) + sizes[2] - sizes[1] + acted.shape[1]
    for n in range(len(state)):
        for cell in range(lively.shape[1]):
            results[0][start + n, cell] = lively[n, cell]
            results[1][start + n, cell] = novelty[n, cell]
            results[2][start + n, cell] = marks[n, cell]
    listed, flat = np.empty((2, lively.size), np.int64), following.reshape(-1)
    found = _look(width, state, following, lively, listed)
    largest = np.full(len(state), LEAST)
    read = np.empty(CHUNK * inputs, np.float32)
    first, second = np.empty((2, CHUNK * layers[NETWORK, OUTPUTS]), np.float32)
    unlike = np.empty(CHUNK * layers[NETWORK + 2, OUTPUTS], np.float32)
    far = np.empty(CHUNK * layers[CODES, OUTPUTS], np.float32)
    reads, middles, ends, fars, owns = np.empty((5, CHUNK), np.int64)
    for begin in range(0, found, CHUNK):
        many = min(CHUNK, found - begin)
        for k in range(many):
            n, cell = listed[0, begin + k], listed[1, begin + k]
            reads[k], middles[k], ends[k] = k * inputs, k * layers[NETWORK, OUTPUTS], k * layers[NETWORK + 2, OUTPUTS]
            fars[k], owns[k] = k * layers[CODES, OUTPUTS], (n * lively.shape[1] + cell) * width
            _read(sizes, state, following, acted, n, cell, read[reads[k] : reads[k] + inputs])
        apply(layers[NETWORK], packed, read, reads, first, middles, many, True)
        apply(layers[NETWORK + 1], packed, first, middles, second, middles, many, True)
        apply(layers[NETWORK + 2], packed, second, middles, unlike, ends, many, False)
        apply(layers[CODES], packed, flat, owns, far, fars, many, False)
        for k in range(many):
            n, cell = listed[0, begin + k], listed[1, begin + k]
            code = np.argmin(far[fars[k] : fars[k] + len(codes)])
            square = _ZERO
            for i in range(sizes[1]):
                square += (flat[owns[k] + i] - codes[code, i]) ** 2
            new = np.log1p(square * np.exp(-scales[0]))
            error = _add(log_errors[code], scales[1] + np.log(max(square, _TINY)))
            strange, moved = _around(sizes, state, following, novelty, marks, n, cell)
            logit = step_weights[0] * min(max(unlike[ends[k]], -LARGEST), LARGEST) + step_weights[1] * new
            logit += step_weights[2] * strange + step_weights[3] * error + step_weights[4]
            largest[n] = max(largest[n], logit)
            changed = state[n, cell * width] != following[n, cell * width]
            results[0][start + n, cell] = code_lively[code]
            results[1][start + n, cell] = new
            results[2][start + n, cell] = max(_sigmoid(logit), moved if changed else marks[n, cell])
    for n in range(len(state)):
        worst, summed = max(most[n], largest[n]), _add(total[n], largest[n])
        logit = frame_weights[0] * worst + frame_weights[1] * summed + frame_weights[2] * largest[n] + frame_weights[3]
        results[3][start + n], results[4][start + n] = worst, summed
        results[5][start + n] = _ONE - (_ONE - begun[n]) * _sigmoid(-logit)


def probe() -> None:
    """Follows one dream of one cell by layers of nothing: raises whatever a broken compiler raises."""
    layers = np.zeros((LAYERS, FIELDS), np.int64)
    layers[:, OUTPUTS] = LINE
    one, cells = np.zeros(1, np.float32), np.zeros((1, 1), np.float32)
    flags = np.ones((1, 1), np.bool_)
    weights = np.zeros(5, np.float32), np.zeros(4, np.float32), np.zeros(2, np.float32)
    model = layers, np.zeros(LINE, np.float32), cells, flags[0], one, *weights
    follow(model, (1, 1, 1, 1), (cells, cells, cells, flags, cells, cells, one, one, one),
           (flags.copy(), cells.copy(), cells.copy(), one.copy(), one.copy(), one.copy()), 0, 1)  # fmt: skip
