"""Doubt of a step on the CPU as one compiled call: `nova_gym.model.doubt`, which stays the reference.

A step changes few cells, and few are looked at. Those of many dreams go through the network together. What a cell that
stays as it is is read as repeats again and again, in one dream and in many, so what the network made of it is kept.
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
#: How many cells that stay as they are the memo holds.
KEPT = 1024
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
def _look(width, state, following, lively, changed, listed):
    """Lists cells that changed or that often do, dream by dream; returns how many there are.

    Args:
        changed: (N, cells) bool, written to.
        listed: (2, N · cells) int64, written to: dream and cell.
    """
    found = 0
    for n in range(len(state)):
        for cell in range(lively.shape[1]):
            changed[n, cell] = state[n, cell * width] != following[n, cell * width]
            if lively[n, cell] or changed[n, cell]:
                listed[0, found], listed[1, found] = n, cell
                found += 1
    return found


@compiled(error_model="numpy")
def _read(sizes, state, following, acted, cell, inputs):
    """Writes what the network reads of a cell of one dream."""
    columns, rank, width, reach = sizes
    lines, row, column, at = len(state) // width // columns, cell // columns, cell % columns, 0
    for y in range(row - reach // 2, row + reach // 2 + 1):
        for x in range(column - reach // 2, column + reach // 2 + 1):
            if 0 <= y < lines and 0 <= x < columns:
                there = (y * columns + x) * width
                for i in range(rank):
                    inputs[at + i] = state[there + i]
            else:
                for i in range(rank):
                    inputs[at + i] = _ZERO
            at += rank
    own = cell * width
    for i in range(rank):
        inputs[at + i] = following[own + i] - state[own + i]
    at += rank
    for i in range(rank, width):
        inputs[at + i - rank] = state[own + i]
    at += width - rank
    for i in range(len(acted)):
        inputs[at + i] = acted[i]


@compiled(error_model="numpy")
def _place(bits):
    """Where in the memo something stands."""
    mixed = np.int32(0)
    for i in range(len(bits)):
        mixed += bits[i] * np.int32(2 * i * i + 40503 * i + 1)
    mixed ^= mixed >> np.int32(15)
    return np.int64(mixed & np.int32(KEPT - 1))


@compiled(error_model="numpy")
def _known(bits, kept):
    """Whether that is what stands there."""
    differs = np.int32(0)
    for i in range(len(bits)):
        differs |= bits[i] ^ kept[i]
    return differs == 0


@compiled(error_model="numpy")
def _unlike(layers, packed, read, memo, changed, listed, begin, many, hidden, out, places, unlike):
    """The network for some of the cells that are listed, whose inputs are there: how implausible each is.

    Args:
        read: (CHUNK, inputs) float32.
        memo: (KEPT, inputs) float32, and (KEPT,) float32 what the network made of them.
        hidden, out: (2, n) and (n,) float32 to work in; places: (4, CHUNK) int64 to work in.
        unlike: (CHUNK,) float32, written to.
    """
    bits, kept, wide, last = read.view(np.int32), memo[0].view(np.int32), layers[0, OUTPUTS], layers[2, OUTPUTS]
    missing = 0
    for k in range(many):
        places[3, k] = -1
        if not changed[listed[0, begin + k], listed[1, begin + k]]:
            place = _place(bits[k])
            if _known(bits[k], kept[place]):
                unlike[k] = memo[1][place]
                continue
            places[3, k] = place
        places[0, missing], places[1, missing], places[2, missing] = k * read.shape[1], missing * wide, missing * last
        missing += 1
        unlike[k] = np.nan
    apply(layers[0], packed, read.reshape(-1), places[0], hidden[0], places[1], missing, True)
    apply(layers[1], packed, hidden[0], places[1], hidden[1], places[1], missing, True)
    apply(layers[2], packed, hidden[1], places[1], out, places[2], missing, False)
    for m in range(missing):
        k = places[0, m] // read.shape[1]
        unlike[k] = min(max(out[places[2, m]], -LARGEST), LARGEST)
        if places[3, k] >= 0:
            for i in range(read.shape[1]):
                kept[places[3, k], i] = bits[k, i]
            memo[1][places[3, k]] = unlike[k]


@compiled(error_model="numpy")
def _around(columns, reach, novelty, marks, changed, cell):
    """The largest novelty around a cell before the step, and the largest doubt of what changed around it."""
    lines, row, column = len(novelty) // columns, cell // columns, cell % columns
    strange, moved = _ZERO, _ZERO
    for y in range(max(row - reach // 2, 0), min(row + reach // 2 + 1, lines)):
        for x in range(max(column - reach // 2, 0), min(column + reach // 2 + 1, columns)):
            other = y * columns + x
            strange = max(strange, novelty[other])
            if changed[other]:
                moved = max(moved, marks[other])
    return strange, moved


@compiled(error_model="numpy", nogil=True)
def follow(model, sizes, memo, given, results, start, stop):
    """What is believed of the dreams from `start` to `stop` after a step, as `Doubt.step` has it.

    Args:
        model: the layers, (4, 7) int64; packed weights, (W,) float32; the codes, (n, K) float32, which of them are
            lively, (n,) bool, and the logarithms of their errors, (n,) float32; the weights of steps and of frames,
            float32; logarithms of the ordinary squared distance and of the error that a squared distance makes, (2,)
            float32.
        sizes: cells of a line, K, K + M, cells that the network sees in a line.
        memo: as in `_unlike`, of these weights, first all NaN; no other thread may use it.
        given: states before and after the step, (N, cells · (K + M)) float32; actions as numbers, (N, actions)
            float32; of the belief before it: lively, novelty and doubt map, (N, cells); start, most and total, (N,).
        results: written to: lively, novelty and doubt map, (N, cells); most, total and doubt, (N,).
    """
    layers, packed, codes, code_lively, log_errors, step_weights, frame_weights, scales = model
    columns, rank, width, reach = sizes
    state, following, acted = given[0][start:stop], given[1][start:stop], given[2][start:stop]
    lively, novelty, marks = given[3][start:stop], given[4][start:stop], given[5][start:stop]
    new_lively, new_novelty, new_marks = results[0][start:stop], results[1][start:stop], results[2][start:stop]
    new_lively[:], new_novelty[:], new_marks[:] = lively, novelty, marks
    changed, listed, cells = np.empty(lively.shape, np.bool_), np.empty((2, lively.size), np.int64), lively.shape[1]
    found = _look(width, state, following, lively, changed, listed)
    flat, largest, ordinary = following.reshape(-1), np.full(len(state), LEAST), np.exp(-scales[0])
    read, unlike = np.empty((CHUNK, memo[0].shape[1]), np.float32), np.empty(CHUNK, np.float32)
    hidden = np.empty((2, CHUNK * layers[NETWORK, OUTPUTS]), np.float32)
    out = np.empty(CHUNK * layers[NETWORK + 2, OUTPUTS], np.float32)
    away, far = layers[CODES, OUTPUTS], np.empty(CHUNK * layers[CODES, OUTPUTS], np.float32)
    places, fars, owns = np.empty((4, CHUNK), np.int64), np.empty(CHUNK, np.int64), np.empty(CHUNK, np.int64)
    for begin in range(0, found, CHUNK):
        many = min(CHUNK, found - begin)
        for k in range(many):
            n, cell = listed[0, begin + k], listed[1, begin + k]
            fars[k], owns[k] = k * away, (n * cells + cell) * width
            _read(sizes, state[n], following[n], acted[n], cell, read[k])
        _unlike(layers, packed, read, memo, changed, listed, begin, many, hidden, out, places, unlike)
        apply(layers[CODES], packed, flat, owns, far, fars, many, False)
        for k in range(many):
            n, cell, code = listed[0, begin + k], listed[1, begin + k], 0
            for other in range(1, len(codes)):
                if far[fars[k] + other] < far[fars[k] + code]:
                    code = other
            square = _ZERO
            for i in range(rank):
                square += (flat[owns[k] + i] - codes[code, i]) ** 2
            new = np.log1p(square * ordinary)
            error = _add(log_errors[code], scales[1] + np.log(max(square, _TINY)))
            strange, moved = _around(columns, reach, novelty[n], marks[n], changed[n], cell)
            logit = step_weights[0] * unlike[k] + step_weights[1] * new + step_weights[2] * strange
            logit += step_weights[3] * error + step_weights[4]
            largest[n] = max(largest[n], logit)
            new_lively[n, cell], new_novelty[n, cell] = code_lively[code], new
            new_marks[n, cell] = max(_sigmoid(logit), moved if changed[n, cell] else marks[n, cell])
    for n in range(len(state)):
        most, total = max(given[7][start + n], largest[n]), _add(given[8][start + n], largest[n])
        logit = frame_weights[0] * most + frame_weights[1] * total + frame_weights[2] * largest[n] + frame_weights[3]
        results[3][start + n], results[4][start + n] = most, total
        results[5][start + n] = _ONE - (_ONE - given[6][start + n]) * _sigmoid(-logit)


def probe() -> None:
    """Follows one dream of one cell by layers of nothing: raises whatever a broken compiler raises."""
    layers = np.zeros((LAYERS, FIELDS), np.int64)
    layers[:, OUTPUTS] = LINE
    one, cells = np.zeros(1, np.float32), np.zeros((1, 1), np.float32)
    flags = np.ones((1, 1), np.bool_)
    weights = np.zeros(5, np.float32), np.zeros(4, np.float32), np.zeros(2, np.float32)
    model = layers, np.zeros(LINE, np.float32), cells, flags[0], one, *weights
    memo = np.zeros((KEPT, 3), np.float32), np.zeros(KEPT, np.float32)
    given = cells, cells, cells, flags, cells, cells, one, one, one
    results = flags.copy(), cells.copy(), cells.copy(), one.copy(), one.copy(), one.copy()
    follow(model, (1, 1, 1, 1), memo, given, results, 0, 1)
