"""Doubt of a step on the CPU as one compiled call: `nova_gym.model.doubt`, which stays the reference.

A step changes few cells, and few are looked at. Those of many dreams go through the network together. What a cell that
stays as it is is read as repeats again and again, in one dream and in many, so what was made of it is kept.
"""

from __future__ import annotations

import numpy as np

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.gelu import CLAMP, COEFFICIENTS
from nova_gym.kernels.memo import CHUNK
from nova_gym.kernels.products import FIELDS, LINE, OUTPUTS, apply

#: Where the layers stand: three of the network, what tells distances to the codes apart, and what makes of a cell the
#: weights of its coordinate network.
NETWORK, CODES, WEIGHTS = 0, 3, 4
LAYERS = 5
#: As in `nova_gym.model.doubt`.
LEAST, LARGEST = np.float32(-20.0), np.float32(12.0)
#: How many cells that stay as they are the memo holds.
KEPT = 1024
#: What is made of a cell: implausibility, which the memo keeps, and of those that change novelty, how far it has
#: strayed, and whether such cells often change.
UNLIKE, NOVELTY, STRAYED, LIVELY = range(4)
MADE = 4
_ONE, _ZERO, _HALF, _LEAST_ERROR = np.float32(1.0), np.float32(0.0), np.float32(0.5), np.float32(1e-6)
_CLAMP, _COEFFICIENTS = np.float32(CLAMP), tuple(map(np.float32, COEFFICIENTS))


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
    columns, rank, width, reach, _ = sizes
    lines, row, column, at = len(state) // width // columns, cell // columns, cell % columns, 0
    for y in range(row - reach // 2, row + reach // 2 + 1):
        for x in range(column - reach // 2, column + reach // 2 + 1):
            place, to = (y * columns + x) * width, inputs[at : at + rank]
            if 0 <= y < lines and 0 <= x < columns:
                there = state[place : place + rank]
                for i in range(rank):
                    to[i] = there[i]
            else:
                for i in range(rank):
                    to[i] = _ZERO
            at += rank
    now, then = state[cell * width : (cell + 1) * width], following[cell * width : (cell + 1) * width]
    rest = inputs[at:]
    for i in range(rank):
        rest[i] = then[i] - now[i]
    for i in range(rank, width):
        rest[i] = now[i]
    rest = rest[width:]
    for i in range(len(acted)):
        rest[i] = acted[i]


@compiled(error_model="numpy")
def _place(sizes, state, acted, cell):
    """Where in the memo a cell of one dream stands: by the first number of each cell around it, and by the action.

    Args:
        state: (cells · (K + M),) int32, the bits of the state.
        acted: (actions,) int32, the bits of the action.
    """
    columns, _, width, reach, _ = sizes
    lines, row, column, mixed = len(state) // width // columns, cell // columns, cell % columns, np.int32(0)
    for y in range(row - reach // 2, row + reach // 2 + 1):
        for x in range(column - reach // 2, column + reach // 2 + 1):
            mixed *= np.int32(31)
            if 0 <= y < lines and 0 <= x < columns:
                mixed += state[(y * columns + x) * width]
    for i in range(len(acted)):
        mixed = mixed * np.int32(31) + acted[i]
    mixed ^= (mixed >> np.int32(10)) ^ (mixed >> np.int32(20))
    return np.int64(mixed & np.int32(KEPT - 1))


@compiled(error_model="numpy")
def _known(sizes, state, following, acted, cell, kept):
    """Whether that of a cell which stands in the memo is what `_read` would read, if the cell stays as it is.

    Args:
        state, following: (cells · (K + M),) int32, the bits of the states.
        acted: (actions,) int32, the bits of the action.
        kept: (inputs,) int32, the bits of what stands there.
    """
    columns, rank, width, reach, _ = sizes
    lines, row, column = len(state) // width // columns, cell // columns, cell % columns
    at, differs = 0, np.int32(0)
    for y in range(row - reach // 2, row + reach // 2 + 1):
        for x in range(column - reach // 2, column + reach // 2 + 1):
            place, there = (y * columns + x) * width, kept[at : at + rank]
            if 0 <= y < lines and 0 <= x < columns:
                here = state[place : place + rank]
                for i in range(rank):
                    differs |= here[i] ^ there[i]
            else:
                for i in range(rank):
                    differs |= there[i]
            at += rank
        if differs:
            return False
    now, then = state[cell * width : (cell + 1) * width], following[cell * width : (cell + 1) * width]
    rest = kept[at:]
    for i in range(rank):
        differs |= (now[i] ^ then[i]) | rest[i]  # which is 0 if nothing of the cell has changed
    for i in range(rank, width):
        differs |= now[i] ^ rest[i]
    rest = rest[width:]
    for i in range(len(acted)):
        differs |= acted[i] ^ rest[i]
    return differs == 0


@compiled(error_model="numpy")
def _missing(sizes, memo, state, following, acted, taken, changed, listed, many, read, places, found):
    """What the memo knows of the cells that are listed, and which of them it does not know; returns their number.

    Args:
        acted, taken: actions as numbers, and which of these rows is that of each dream.
        read: (CHUNK, inputs) float32, written to: what the network reads of the cells that are missing.
        places: (2, CHUNK) int64, written to: those that are missing, and where each cell may stand in the memo, or -1.
    """
    bits, after, did = state.view(np.int32), following.view(np.int32), acted.view(np.int32)
    kept, missing = memo[0].view(np.int32), 0
    for k in range(many):
        n, cell = listed[0, k], listed[1, k]
        places[1, k] = -1
        if not changed[n, cell]:
            place = _place(sizes, bits[n], did[taken[n]], cell)
            places[1, k] = place
            if _known(sizes, bits[n], after[n], did[taken[n]], cell, kept[place]):
                found[k, UNLIKE] = memo[1][place]
                continue
        _read(sizes, state[n], following[n], acted[taken[n]], cell, read[missing])
        places[0, missing] = k
        missing += 1
    return missing


@compiled(error_model="numpy")
def _judge(model, sizes, memo, following, read, listed, missing, places, found):
    """Judges the cells that the memo does not know, and puts those that stay as they are into it."""
    layers, packed, codes, lively, _, _, spread, _, drawing = model
    wide, last, away, rank = layers[0, OUTPUTS], layers[2, OUTPUTS], layers[CODES, OUTPUTS], sizes[1]
    hidden, out = np.empty((2, missing * wide), np.float32), np.empty(missing * last, np.float32)
    inputs, moved, total = np.empty((3, missing), np.int64), np.empty((4, missing), np.int64), 0
    for m in range(missing):
        k = places[0, m]
        inputs[0, m], inputs[1, m], inputs[2, m] = m * read.shape[1], m * wide, m * last
        if places[1, k] < 0:
            moved[0, total], moved[1, total] = k, listed[0, k] * following.shape[1] + listed[1, k] * sizes[2]
            moved[2, total], moved[3, total] = total * away, total * layers[WEIGHTS, OUTPUTS]
            total += 1
    apply(layers[NETWORK], packed, read.reshape(-1), inputs[0], hidden[0], inputs[1], missing, True)
    apply(layers[NETWORK + 1], packed, hidden[0], inputs[1], hidden[1], inputs[1], missing, True)
    apply(layers[NETWORK + 2], packed, hidden[1], inputs[1], out, inputs[2], missing, False)
    for m in range(missing):
        k = places[0, m]
        found[k, UNLIKE] = min(max(out[inputs[2, m]], -LARGEST), LARGEST)
        if places[1, k] >= 0:
            memo[0][places[1, k]] = read[m]
            memo[1][places[1, k]] = found[k, UNLIKE]
    flat, far = following.reshape(-1), np.empty(total * away, np.float32)
    weights = np.empty(total * layers[WEIGHTS, OUTPUTS], np.float32)
    apply(layers[CODES], packed, flat, moved[1], far, moved[2], total, False)
    apply(layers[WEIGHTS], packed, flat, moved[1], weights, moved[3], total, False)
    units = np.empty((2, np.max(drawing[0]), drawing[1].shape[1]), np.float32)
    for m in range(total):
        k, code, square = moved[0, m], 0, _ZERO
        distances, own = far[moved[2, m] :], flat[moved[1, m] : moved[1, m] + rank]
        for other in range(1, len(codes)):
            if distances[other] < distances[code]:
                code = other
        nearest = codes[code]
        for i in range(rank):
            square += (own[i] - nearest[i]) ** 2
        apart = _apart(drawing, weights[moved[3, m] :], drawing[2][code], units)
        found[k, NOVELTY] = np.log1p(square * np.exp(-spread[0]))
        found[k, STRAYED] = np.log(max(apart, _LEAST_ERROR))
        found[k, LIVELY] = _ONE if lively[code] else _ZERO


@compiled(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _apart(drawing, weights, picture, units):
    """Mean squared difference between what a coordinate network draws at some points and a picture; 1 for NaN.

    Args:
        drawing: inputs and outputs of its layers, (n, 2) int64; features of the points, (2 + 4F, P) float32.
        weights: (D, …) float32, of the network.
        picture: (C, P) float32.
        units: (2, …, P) float32, written to.
    """
    sizes, features, _ = drawing
    one, other, at, points = units[0], units[1], 0, features.shape[1]
    for layer in range(len(sizes)):
        inputs, outputs = sizes[layer, 0], sizes[layer, 1]
        source = features if layer == 0 else one
        for j in range(outputs):
            to, bias = other[j], weights[at + inputs * outputs + j]
            for p in range(points):
                to[p] = bias
            for i in range(inputs):
                weight, given = weights[at + j * inputs + i], source[i]
                for p in range(points):
                    to[p] += weight * given[p]
            if layer + 1 < len(sizes):
                for p in range(points):
                    size = min(abs(to[p]), _CLAMP)
                    tail = _COEFFICIENTS[0]
                    for coefficient in _COEFFICIENTS[1:]:
                        tail = tail * size + coefficient
                    tail *= tail
                    tail *= tail
                    to[p] = max(to[p], _ZERO) - size * (tail * tail)
        one, other, at = other, one, at + (inputs + 1) * outputs
    total = _ZERO
    for c in range(sizes[-1, 1]):
        for p in range(points):
            value = min(max(one[c, p] + _HALF, _ZERO), _ONE)
            total += (value - picture[c, p]) ** 2
    total /= np.float32(sizes[-1, 1] * points)
    return total if total == total else _ONE


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
        model: the layers, (5, 7) int64; packed weights, (W,) float32; the codes, (n, K) float32, and which of them are
            lively, (n,) bool; the weights of steps and of frames, float32; the logarithm of the ordinary squared
            distance, (1,) float32; the weights of outcomes, (2,) float32; and how cells are drawn, as `_apart` takes
            it, with pictures of the codes, (n, C, P) float32.
        sizes: cells of a line, K, K + M, cells that the network sees in a line, numbers of an action.
        memo: what was read, (KEPT, inputs) float32, first all NaN, and what was made of it, (KEPT,) float32. It is
            of these weights, and no other thread may use it.
        given: states before and after the step, (N, cells · (K + M)) float32; actions as numbers, (n, actions)
            float32, and which of these rows each dream has taken, (N,) int64; of the belief before it: lively, novelty,
            strayed and doubt map, (N, cells); start, most and steps, (N,); how undecided the heads are, (N,).
        results: written to: lively, novelty, strayed and doubt map, (N, cells); most, steps and doubt, (N,).
    """
    columns, _, width, reach, _ = sizes
    step_weights, frame_weights, outcome_weights = model[4], model[5], model[7]
    state, following, acted, taken = given[0][start:stop], given[1][start:stop], given[2], given[3][start:stop]
    lively, novelty = given[4][start:stop], given[5][start:stop]
    strayed, marks = given[6][start:stop], given[7][start:stop]
    new_lively, new_novelty = results[0][start:stop], results[1][start:stop]
    new_strayed, new_marks = results[2][start:stop], results[3][start:stop]
    new_lively[:], new_novelty[:], new_strayed[:], new_marks[:] = lively, novelty, strayed, marks
    changed, listed = np.empty(lively.shape, np.bool_), np.empty((2, lively.size), np.int64)
    total = _look(width, state, following, lively, changed, listed)
    read, largest = np.empty((CHUNK, memo[0].shape[1]), np.float32), np.full(len(state), LEAST)
    places, found = np.empty((2, CHUNK), np.int64), np.empty((CHUNK, MADE), np.float32)
    for begin in range(0, total, CHUNK):
        many, some = min(CHUNK, total - begin), listed[:, begin : begin + CHUNK]
        missing = _missing(sizes, memo, state, following, acted, taken, changed, some, many, read, places, found)
        _judge(model, sizes, memo, following, read, some, missing, places, found)
        for k in range(many):
            n, cell = some[0, k], some[1, k]
            if changed[n, cell]:
                new_lively[n, cell] = found[k, LIVELY] > _ZERO
                new_novelty[n, cell], new_strayed[n, cell] = found[k, NOVELTY], found[k, STRAYED]
            strange, moved = _around(columns, reach, novelty[n], marks[n], changed[n], cell)
            logit = step_weights[0] * found[k, UNLIKE] + step_weights[1] * new_novelty[n, cell]
            logit += step_weights[2] * strange + step_weights[3] * new_strayed[n, cell] + step_weights[4]
            largest[n] = max(largest[n], logit)
            new_marks[n, cell] = max(_sigmoid(logit), moved if changed[n, cell] else marks[n, cell])
    for n in range(len(state)):
        most, steps = max(given[9][start + n], largest[n]), given[10][start + n] + _ONE
        logit = frame_weights[0] * most + frame_weights[1] * np.log(steps)
        logit += frame_weights[2] * largest[n] + frame_weights[3]
        results[4][start + n], results[5][start + n] = most, steps
        right = (_ONE - given[8][start + n]) * _sigmoid(-logit)
        right *= _sigmoid(-outcome_weights[0] * given[11][start + n] - outcome_weights[1])
        results[6][start + n] = _ONE - right


def probe() -> None:
    """Follows one dream of one cell by layers of nothing: raises whatever a broken compiler raises."""
    layers = np.zeros((LAYERS, FIELDS), np.int64)
    layers[:, OUTPUTS] = LINE
    one, cells = np.zeros(1, np.float32), np.zeros((1, 1), np.float32)
    flags = np.ones((1, 1), np.bool_)
    drawing = np.ones((1, 2), np.int64), cells, np.zeros((1, 1, 1), np.float32)
    weights = np.zeros(5, np.float32), np.zeros(4, np.float32), one, np.zeros(2, np.float32), drawing
    model = layers, np.zeros(LINE, np.float32), cells, flags[0], *weights
    memo = np.zeros((KEPT, 3), np.float32), np.zeros(KEPT, np.float32)
    given = cells, cells, cells, np.zeros(1, np.int64), flags, cells, cells, cells, one, one, one, one
    results = flags.copy(), cells.copy(), cells.copy(), cells.copy(), one.copy(), one.copy(), one.copy()
    follow(model, (1, 1, 1, 1, 1), memo, given, results, 0, 1)
