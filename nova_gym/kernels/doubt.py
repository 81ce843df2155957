"""Doubt of a step on the CPU as one compiled call: `nova_gym.model.doubt`, which stays the reference.

A step changes few cells, and few are looked at. Those of many dreams go through the network together. What was made of
a cell's neighbourhood, and of a cell that stays as it is under an action, is kept while the neighbourhood stays the
same: `kernels.step` forgets it as soon as a cell there is another (`kernels.memo.forget`).
"""

from __future__ import annotations

import numpy as np

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.memo import CHUNK
from nova_gym.kernels.products import FIELDS, LINE, OUTPUTS, apply

#: Where the layers stand: what the network makes of a neighbourhood, and of that with all else that it reads; its other
#: two layers; what tells distances to the codes apart; what makes of a cell the weights of its coordinate network; and
#: from there on the layers of that network, each beginning in the weights of a cell.
AROUND, NETWORK, CODES, WEIGHTS, DRAWING = 0, 1, 4, 5, 6
#: As in `nova_gym.model.doubt`.
LEAST, LARGEST = np.float32(-20.0), np.float32(12.0)
#: What is kept of a cell, as bits: from the first on, for each action, its implausibility if it stays as it is then;
#: and what the network makes of its neighbourhood.
MOST_SLOTS = 61
_HEARD = 1 << 62
#: What is made of a cell: implausibility; of one that changes novelty, how far it has strayed, and whether such cells
#: often change; then the logit that the step made it wrong, and the largest doubt of what changed around it.
UNLIKE, NOVELTY, STRAYED, LIVELY, LOGIT, MOVED = range(6)
MADE = 6
#: Cells whose weights are computed before they are drawn; these are many numbers, and should stay in the cache.
FEW = 16
_ONE, _ZERO, _HALF, _LEAST_ERROR = np.float32(1.0), np.float32(0.0), np.float32(0.5), np.float32(1e-6)


@compiled(inner=True, error_model="numpy")
def _sigmoid(logit):
    return _ONE / (_ONE + np.exp(-logit))


@compiled(inner=True, error_model="numpy")
def _look(lively, changed, listed):
    """Lists cells that changed or that often do, dream by dream; returns how many there are.

    Args:
        listed: (2, N · cells) int64, written to: dream and cell.
    """
    found = 0
    for n in range(len(lively)):
        for cell in range(lively.shape[1]):
            if lively[n, cell] or changed[n, cell]:
                listed[0, found], listed[1, found] = n, cell
                found += 1
    return found


@compiled(inner=True, error_model="numpy")
def _slot(chosen, slots):
    """Which of the actions that are kept apart a dream has taken; the last one is none, -1 where none is kept apart."""
    return chosen if 0 <= chosen < slots - 1 else slots - 1


@compiled(inner=True, error_model="numpy")
def _recall(kept, taken, changed, listed, total, found, unknown):
    """What is kept of the cells that are listed; lists those that have to be judged, and returns how many there are.

    Args:
        kept: as in `follow`, of these dreams.
        unknown: (N · cells,) int64, written to: which of the listed cells.
    """
    marks, _, unlike = kept
    many, slots = 0, unlike.shape[2]
    for k in range(total):
        n, cell = listed[0, k], listed[1, k]
        if slots and not changed[n, cell]:
            slot = _slot(taken[n], slots)
            if marks[n, cell] & (1 << slot):
                found[k, UNLIKE] = unlike[n, cell, slot]
                continue
        unknown[many] = k
        many += 1
    return many


@compiled(inner=True, error_model="numpy")
def _read(sizes, state, cell, inputs):
    """Writes what the network reads around a cell of one dream; beyond the border that is 0."""
    columns, rank, width, reach = sizes
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


@compiled(inner=True, error_model="numpy")
def _hear(model, sizes, kept, state, listed, unknown, many):
    """What the network makes of the neighbourhoods of cells to be judged, where that is not kept."""
    layers, packed = model[0], model[1]
    marks, heard, _ = kept
    inputs, cells = sizes[3] * sizes[3] * sizes[1], marks.shape[1]
    read, (places, goals), waiting = np.empty(CHUNK * inputs, np.float32), np.empty((2, CHUNK), np.int64), 0
    for k in range(CHUNK):
        places[k] = k * inputs
    for m in range(many):
        n, cell = listed[0, unknown[m]], listed[1, unknown[m]]
        if not marks[n, cell] & _HEARD:
            marks[n, cell] |= _HEARD
            _read(sizes, state[n], cell, read[places[waiting] : places[waiting] + inputs])
            goals[waiting] = (n * cells + cell) * heard.shape[2]
            waiting += 1
        if waiting == CHUNK or m + 1 == many:
            apply(layers[AROUND], packed, read, places, heard.reshape(-1), goals, waiting, False)
            waiting = 0


@compiled(inner=True, error_model="numpy")
def _judge(model, sizes, kept, given, listed, unknown, many, found):
    """How implausible cells are, by what was heard around them and all else that the network reads; keeps it."""
    layers, packed = model[0], model[1]
    state, following, changed, acted, taken = given
    rank, width = sizes[1], sizes[2]
    marks, heard, unlike = kept
    around, wide, last, slots = heard.shape[2], layers[NETWORK, OUTPUTS], layers[NETWORK + 2, OUTPUTS], unlike.shape[2]
    inputs = around + width + acted.shape[1]
    read, hidden = np.zeros(CHUNK * inputs, np.float32), np.empty((2, CHUNK * wide), np.float32)
    out, places = np.empty(CHUNK * last, np.float32), np.empty((3, CHUNK), np.int64)
    for k in range(CHUNK):
        places[0, k], places[1, k], places[2, k] = k * inputs, k * wide, k * last
    for start in range(0, many, CHUNK):
        some = min(CHUNK, many - start)
        for m in range(some):
            n, cell = listed[0, unknown[start + m]], listed[1, unknown[start + m]]
            to, there = read[m * inputs : (m + 1) * inputs], heard[n, cell]
            for i in range(around):
                to[i] = there[i]
            rest, own = to[around:], slice(cell * width, (cell + 1) * width)
            now, then = state[n, own], following[n, own]
            for i in range(rank):
                rest[i] = then[i] - now[i] if changed[n, cell] else _ZERO
            for i in range(rank, width):
                rest[i] = now[i]
            rest, did = rest[width:], acted[_row(taken[n], acted)]
            for i in range(len(did)):
                rest[i] = did[i]
        apply(layers[NETWORK], packed, read, places[0], hidden[0], places[1], some, True)
        apply(layers[NETWORK + 1], packed, hidden[0], places[1], hidden[1], places[1], some, True)
        apply(layers[NETWORK + 2], packed, hidden[1], places[1], out, places[2], some, False)
        for m in range(some):
            k = unknown[start + m]
            n, cell = listed[0, k], listed[1, k]
            found[k, UNLIKE] = min(max(out[places[2, m]], -LARGEST), LARGEST)
            if slots and not changed[n, cell]:
                slot = _slot(taken[n], slots)
                unlike[n, cell, slot] = found[k, UNLIKE]
                marks[n, cell] |= 1 << slot


@compiled(inner=True, error_model="numpy")
def _row(chosen, acted):
    """The row of an action among `acted`, the last of which is that of none."""
    return chosen if 0 <= chosen < len(acted) else len(acted) - 1


@compiled(inner=True, error_model="numpy")
def _compare(model, sizes, following, changed, listed, total, found):
    """What a step has made of cells that it changed: novelty, how far they have strayed, whether they are lively."""
    layers, packed, codes, lively, _, _, spread, _, drawing = model
    rank, width, cells = sizes[1], sizes[2], changed.shape[1]
    away, size = layers[CODES, OUTPUTS], layers[WEIGHTS, OUTPUTS]
    far, weights = np.empty(FEW * away, np.float32), np.empty(FEW * size, np.float32)
    features, points, pictures = drawing
    units, flat = np.empty((2, points.shape[1] * np.max(layers[DRAWING:, OUTPUTS])), np.float32), following.reshape(-1)
    moved, (places, ends, goals) = np.empty(FEW, np.int64), np.empty((3, FEW), np.int64)
    waiting = 0
    for k in range(FEW):
        ends[k], goals[k] = k * away, k * size
    for k in range(total):
        n, cell = listed[0, k], listed[1, k]
        if changed[n, cell]:
            moved[waiting], places[waiting] = k, (n * cells + cell) * width
            waiting += 1
        if waiting < FEW and k + 1 < total:
            continue
        apply(layers[CODES], packed, flat, places, far, ends, waiting, False)
        apply(layers[WEIGHTS], packed, flat, places, weights, goals, waiting, False)
        for m in range(waiting):
            code, square, distances = 0, _ZERO, far[ends[m] :]
            for other in range(1, len(codes)):
                if distances[other] < distances[code]:
                    code = other
            own, nearest, to = flat[places[m] : places[m] + rank], codes[code], found[moved[m]]
            for i in range(rank):
                square += (own[i] - nearest[i]) ** 2
            apart = _apart(layers[DRAWING:], weights[goals[m] :], features, points, pictures[code], units)
            to[NOVELTY] = np.log1p(square * np.exp(-spread[0]))
            to[STRAYED] = np.log(max(apart, _LEAST_ERROR))
            to[LIVELY] = _ONE if lively[code] else _ZERO
        waiting = 0


@compiled(inner=True, error_model="numpy")
def _apart(layers, weights, features, points, picture, units):
    """Mean squared difference between what a coordinate network draws at some points and a picture; 1 for NaN.

    Args:
        layers: (n, 7) int64, of the network.
        weights: float32, flat, of the network.
        features: float32, flat, of the points, those of a point side by side.
        points: (1 + n, P) int64, where the features of a point begin, and the outputs of each layer.
        picture: (P, C) float32.
        units: (2, …) float32, written to.
    """
    count = points.shape[1]
    apply(layers[0], weights, features, points[0], units[0], points[1], count, len(layers) > 1)
    for number in range(1, len(layers)):
        source, target, curved = units[(number - 1) % 2], units[number % 2], number + 1 < len(layers)
        apply(layers[number], weights, source, points[number], target, points[number + 1], count, curved)
    return _difference(units[(len(layers) - 1) % 2], layers[-1, OUTPUTS], picture)


@compiled(inner=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _difference(drawn, wide, picture):
    total = _ZERO
    for p in range(picture.shape[0]):
        for c in range(picture.shape[1]):
            value = min(max(drawn[p * wide + c] + _HALF, _ZERO), _ONE)  # NaN of NaN
            total += (value - picture[p, c]) ** 2
    total /= np.float32(picture.size)
    return total if total == total else _ONE


@compiled(inner=True, error_model="numpy")
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
def follow(model, sizes, kept, given, belief, start, stop, row):
    """What is believed of the dreams from `start` to `stop` after a step, as `Doubt.step` has it.

    Args:
        model: the layers, (n, 7) int64; packed weights, (W,) float32; the codes, (n, K) float32, and which of them are
            lively, (n,) bool; the weights of steps and of frames, float32; the logarithm of the ordinary squared
            distance, (1,) float32; the weights of outcomes, (2,) float32; and how cells are drawn: features of the
            points and where they begin, as `_apart` takes them, and pictures of the codes, (n, P, C) float32.
        sizes: cells of a line, K, K + M, and cells that the network sees in a line.
        kept: of some dreams, written to: what is known of their cells, (M, cells) int64; what the network makes of
            their neighbourhoods, (M, cells, H) float32; and, for each action and for none, how implausible they are
            if they stay as they are, (M, cells, actions + 1) float32, or of length 0.
        given: states before and after the step, (N, cells · (K + M)) float32; which cells it changed, (N, cells) bool;
            actions as numbers, (n, actions) float32, and which of these rows each dream has taken, (N,) int64, any
            other number for the last; how undecided the heads are, (N,) float32.
        belief: before the step, and after it: lively, (N, cells) bool; novelty, strayed and doubt map, (N, cells)
            float32; start, most, steps and doubt, (N,) float32.
        start, stop, row: the dreams, and the row of `kept` for the first of them.
    """
    columns, _, _, reach = sizes
    step_weights, frame_weights, outcome_weights = model[4], model[5], model[7]
    before, following, changed, acted = given[0][start:stop], given[1][start:stop], given[2][start:stop], given[3]
    taken, undecided = given[4][start:stop], given[5][start:stop]
    lively, novelty = belief[0][start:stop], belief[1][start:stop]
    strayed, marks = belief[2][start:stop], belief[3][start:stop]
    first, most, steps, doubt = belief[4], belief[5], belief[6], belief[7]
    own = kept[0][row : row + stop - start], kept[1][row : row + stop - start], kept[2][row : row + stop - start]

    listed = np.empty((2, lively.size), np.int64)
    total = _look(lively, changed, listed)
    found, unknown, largest = (
        np.empty((total, MADE), np.float32),
        np.empty(total, np.int64),
        np.full(len(before), LEAST),
    )
    many = _recall(own, taken, changed, listed, total, found, unknown)
    _hear(model, sizes, own, before, listed, unknown, many)
    _judge(model, sizes, own, (before, following, changed, acted, taken), listed, unknown, many, found)
    _compare(model, sizes, following, changed, listed, total, found)
    for k in range(total):
        n, cell, made = listed[0, k], listed[1, k], found[k]
        if not changed[n, cell]:
            made[NOVELTY], made[STRAYED], made[LIVELY] = novelty[n, cell], strayed[n, cell], _ONE
        strange, moved = _around(columns, reach, novelty[n], marks[n], changed[n], cell)
        logit = step_weights[0] * made[UNLIKE] + step_weights[1] * made[NOVELTY]
        logit += step_weights[2] * strange + step_weights[3] * made[STRAYED] + step_weights[4]
        made[LOGIT], made[MOVED] = logit, moved if changed[n, cell] else marks[n, cell]
        largest[n] = max(largest[n], logit)
    for k in range(total):  # now that nobody looks at what was before
        n, cell, made = listed[0, k], listed[1, k], found[k]
        novelty[n, cell], strayed[n, cell], lively[n, cell] = made[NOVELTY], made[STRAYED], made[LIVELY] > _ZERO
        marks[n, cell] = max(_sigmoid(made[LOGIT]), made[MOVED])
    decided = _sigmoid(-outcome_weights[1])
    for n in range(len(before)):
        to = start + n
        most[to], steps[to] = max(most[to], largest[n]), steps[to] + _ONE
        logit = frame_weights[0] * most[to] + frame_weights[2] * largest[n] + frame_weights[3]
        if frame_weights[1] != _ZERO:
            logit += frame_weights[1] * np.log(steps[to])
        right = (_ONE - first[to]) * _sigmoid(-logit)
        if outcome_weights[0] != _ZERO:
            decided = _sigmoid(-outcome_weights[0] * undecided[n] - outcome_weights[1])
        doubt[to] = _ONE - right * decided


def probe() -> None:
    """Follows one dream of one cell by layers of nothing: raises whatever a broken compiler raises."""
    layers = np.zeros((DRAWING + 1, FIELDS), np.int64)
    layers[:, OUTPUTS] = LINE
    one, cells = np.zeros(1, np.float32), np.zeros((1, 1), np.float32)
    flags, number = np.ones((1, 1), np.bool_), np.zeros(1, np.int64)
    drawing = one, np.zeros((2, 1), np.int64), np.zeros((1, 1, 1), np.float32)
    weights = np.zeros(5, np.float32), np.zeros(4, np.float32), one, np.zeros(2, np.float32), drawing
    model = layers, np.zeros(LINE, np.float32), cells, flags[0], *weights
    kept = np.zeros((1, 1), np.int64), np.zeros((1, 1, LINE), np.float32), np.zeros((1, 1, 2), np.float32)
    given = cells, cells, flags, cells, number, one
    belief = flags.copy(), cells.copy(), cells.copy(), cells.copy(), one, one.copy(), one.copy(), one.copy()
    follow(model, (1, 1, 1, 1), kept, given, belief, 0, 1, 0)
