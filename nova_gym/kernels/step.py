"""A step of dreams on the CPU as one compiled call, which computes only what the last step did not.

The same step as `DreamSimulator` makes with PyTorch, which stays the reference: action bridge, content, motion, dead
band a cell, heads, bounds and ends. Most cells of most steps stay as they are, so `kernels.memo` remembers what was
computed of them, and which actions leave them as they are. The result is the same to the bit with any memo or none.

`nova_gym.model.compiled_step` packs the weights and lays out the memo. The layers (`kernels.products`) stand in this
order: two of content, two of motion, two of the heads and their output, then those of the bridge, if any.
"""

from __future__ import annotations

import numpy as np

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.memo import CHUNK, STILL, forget, look, see_bridge, see_content
from nova_gym.kernels.products import CENTRE, FIELDS, LINE, OUTPUTS, apply

#: Where the layers stand. Those of the bridge are last; without a bridge there is one of no outputs.
CONTENT, MOTION, TRUNK, OUTPUT, BRIDGE = 0, 2, 4, 6, 7

#: All of `fastmath` but the promise that no value is NaN or infinite: a lost dream has to be noticed.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)
_LARGEST = np.finfo(np.float32).max
#: As in `nova_gym.model.heads`.
NO_ODDS = np.float32(-12.0)


@compiled(inner=True, error_model="numpy")
def _doubtful(floats, marks, at_latents, length, actions, latents, listed, bits):
    """Lists the cells that are not known to stay as they are; returns how many there are.

    Args:
        actions: (N,) int64, whose latent actions are copied from the memo, or none.
        latents: (N, cells · U) float32, written to if there are actions.
        bits: (N · cells,) int64, written to: the mark of a listed cell that will say that it stays, 0 for none.
    """
    found, cells = 0, marks.shape[1]
    choices = (floats.shape[1] - at_latents) // (cells * length)
    for n in range(len(marks)):
        bit = STILL
        if len(actions):
            if 0 <= actions[n] < choices:
                bit = 1 << actions[n]
                chosen = at_latents + actions[n] * cells * length
                for i in range(cells * length):
                    latents[n, i] = floats[n, chosen + i]
            else:  # an unknown action is none, as in PyTorch
                for i in range(cells * length):
                    latents[n, i] = _ZERO
        for cell in range(cells):
            mark = bit
            if not len(actions):
                for i in range(cell * length, (cell + 1) * length):
                    mark = mark if latents[n, i] == _ZERO else 0
            if not marks[n, cell] & mark:
                listed[0, found], listed[1, found], bits[found] = n, cell, mark
                found += 1
    return found


@compiled(inner=True, error_model="numpy", fastmath=_FAST)
def _change(now, content, motion, band, following):
    """The dead band of a cell: writes its next state where it moves, and returns whether it does; NaN never does.

    Also returns whether the cell counts as changed: if it moves, or is itself NaN.
    """
    square, unequal = _ZERO, False
    for i in range(len(now)):
        change = content[i] + motion[i]
        square += change * change
        unequal |= now[i] != now[i]
    moves = square / np.float32(len(now)) > band
    if moves:
        for i in range(len(now)):
            following[i] = now[i] + (content[i] + motion[i])
    return moves, moves or unequal


@compiled(inner=True, error_model="numpy")
def _take_look(looks, now, following):
    """Gives a cell (K,) the nearest of its looks, and returns whether that is another than it has.

    A cell that is further from all of them than two of them can be from each other stays as it is.
    """
    best, least, largest = 0, np.float32(np.inf), _ZERO
    for which in range(len(looks)):
        square, size = _ZERO, _ZERO
        for i in range(len(following)):
            off = following[i] - looks[which, i]
            square += off * off
            size += looks[which, i] * looks[which, i]
        largest = max(largest, size)
        if square < least:
            best, least = which, square
    if not least <= np.float32(4.0) * largest:
        return True
    other = False
    for i in range(len(following)):
        following[i] = looks[best, i]
        other |= following[i] != now[i]
    return other


@compiled(inner=True, error_model="numpy")
def _move(layers, packed, looks, floats, marks, kept, state, latents, band, listed, found, bits, following, differs):
    """A(z) + B(u) in cells that are listed; lists those that changed instead, and returns how many there are.

    Args:
        looks: (L, K) float32 that a cell that moves may have, or (0, K) for any.
        kept: (cells,) where in the memo the content of a cell is.
        state, latents, following: (N, cells · K), (N, cells · U) and (N, cells · K) float32, the last written to.
        differs: (N, cells) bool, written to: whether a cell is another, by its first number.
    """
    cells = marks.shape[1]
    rank, length, changed = state.shape[1] // cells, latents.shape[1] // cells, 0
    first, second = layers[MOTION], layers[MOTION + 1]
    flat = latents.reshape(-1)
    hidden, motion = np.empty(CHUNK * first[OUTPUTS], np.float32), np.empty(CHUNK * second[OUTPUTS], np.float32)
    places, middles, goals = np.empty((3, CHUNK), np.int64)
    for start in range(0, found, CHUNK):
        many = min(CHUNK, found - start)
        for k in range(many):
            n, cell = listed[0, start + k], listed[1, start + k]
            places[k], middles[k], goals[k] = (n * cells + cell) * length, k * first[OUTPUTS], k * second[OUTPUTS]
        apply(first, packed, flat, places, hidden, middles, many, True)
        apply(second, packed, hidden, middles, motion, goals, many, False)
        for k in range(many):
            n, cell, at = listed[0, start + k], listed[1, start + k], kept[listed[1, start + k]]
            here = slice(cell * rank, (cell + 1) * rank)
            added, content = motion[goals[k] : goals[k] + rank], floats[n, at : at + rank]
            moves, counts = _change(state[n, here], content, added, band, following[n, here])
            if not moves:
                marks[n, cell] |= bits[start + k]
            elif len(looks):
                counts = _take_look(looks, state[n, here], following[n, here])
            if counts:
                differs[n, cell] = state[n, cell * rank] != following[n, cell * rank]
                listed[0, changed], listed[1, changed] = n, cell
                changed += 1
    return changed


@compiled(inner=True, error_model="numpy")
def _outcomes(layers, packed, cells, state, latents, following, listed, changed, outcomes):
    """The heads, over cells that changed.

    Args:
        outcomes: (N · outputs,) float32, written to: rewards, or logits of their values, and a logit of the end.
    """
    rank, length = state.shape[1] // cells, latents.shape[1] // cells
    first, second, last = layers[TRUNK], layers[TRUNK + 1], layers[OUTPUT]
    wide, width, inputs = first[OUTPUTS], second[OUTPUTS], 2 * rank + length
    given, hidden = np.empty(CHUNK * inputs, np.float32), np.empty(CHUNK * wide, np.float32)
    out = np.empty(CHUNK * width, np.float32)
    places, middles, goals = np.empty((3, CHUNK), np.int64)
    pooled = np.zeros(len(state) * width, np.float32)
    before = -1
    for start in range(0, changed, CHUNK):
        many = min(CHUNK, changed - start)
        for k in range(many):
            n, cell = listed[0, start + k], listed[1, start + k]
            places[k], middles[k], goals[k] = k * inputs, k * wide, k * width
            for i in range(rank):
                given[places[k] + i] = state[n, cell * rank + i]
                given[places[k] + rank + length + i] = following[n, cell * rank + i]
            for i in range(length):
                given[places[k] + rank + i] = latents[n, cell * length + i]
        apply(first, packed, given, places, hidden, middles, many, True)
        apply(second, packed, hidden, middles, out, goals, many, True)
        for k in range(many):
            n = listed[0, start + k]
            for i in range(width):
                most, value = pooled[n * width + i], out[goals[k] + i]
                if n != before or value > most or value != value:
                    pooled[n * width + i] = value
            before = n
    for start in range(0, len(state), CHUNK):
        many = min(CHUNK, len(state) - start)
        for k in range(many):
            places[k], goals[k] = (start + k) * width, (start + k) * last[OUTPUTS]
        apply(last, packed, pooled, places, outcomes, goals, many, False)


@compiled(inner=True, error_model="numpy", fastmath=_FAST)
def _bounded(state, bound):
    """Holds a state within the bounds, NaN as 0; returns whether it was not."""
    lost = False
    for i in range(len(state)):
        lost |= not abs(state[i]) < bound  # so that NaN is lost as well
    if lost:
        for i in range(len(state)):
            state[i] = min(max(state[i], -bound), bound) if state[i] == state[i] else _ZERO
    return lost


@compiled(inner=True, error_model="numpy")
def _undecided(logits, values, best):
    """Logarithm of the odds that reward or ending is another than the likeliest, as `Heads.undecided` has it.

    Args:
        logits: of the values of the reward, and of the end.
        values: how many there are.
        best: the likeliest of them.
    """
    others = _ZERO
    for v in range(values):
        if v != best:
            others += np.exp(logits[v] - logits[best])
    likeliest = -np.log1p(others) - np.log1p(np.exp(-abs(logits[values])))
    likeliest = min(likeliest, -np.exp(NO_ODDS))
    odds = np.log(-np.expm1(likeliest)) - likeliest
    return odds if odds == odds else _ZERO


@compiled(error_model="numpy", nogil=True)
def advance(model, memo, layout, numbers, given, results, start, stop, row):
    """One step of the dreams from `start` to `stop`, as `DreamSimulator` has it.

    Args:
        model: the layers, (n, 7) int64; packed weights, (W,) float32; the values that the reward takes, (V,) float32;
            the looks that a cell may have, (L, K) float32, or (0, K) for any.
        memo: numbers, (M, size) float32; marks of cells, (M, cells) int64; and (1 + layers of the bridge, cells) int64
            where in a dream's numbers the content of a cell stands, and where a layer's window around it begins (of
            the bridge's last layer nowhere). The first window layer's cells are the copy of the state. Last come
            (M, cells) int64 marks of another, or (M, 0), who keeps something of the same states (`kernels.doubt`).
        layout: cells of a line; where in a dream's numbers the latent actions begin; whether there are heads; how many
            cells to each side the other sees.
        numbers: dead band, bound of states, discount of the reward, the horizon it refers to, horizon.
        given: state, (N, cells · K) float32; latent actions, (N, cells · U) float32, written to if there are actions;
            actions, (N,) int64, or none; steps since the last reset, (N,) int64.
        results: written to: (N, cells · K) float32 states after the step; (N,) float32 reward; (N,) bool terminated,
            truncated and lost; (N,) float32 how undecided the heads are; (N,) int64 steps with this one; (N, cells)
            bool which cells are others than before.
        start, stop, row: the dreams, and the memo's row for the first of them.
    """
    layers, packed, values, looks = model
    floats, marks = memo[0][row : row + stop - start], memo[1][row : row + stop - start]
    kept, spots = memo[2][0], memo[2][1:]
    columns, at_latents, valued, sight = layout
    band, bound = np.float32(numbers[0]), np.float32(numbers[1])
    state, latents, steps = given[0][start:stop], given[1][start:stop], given[3][start:stop]
    actions = given[2][start:stop]  # no actions have no rows
    following, reward, ended, cut, gone, undecided, counted, differs = results
    following, differs, cells = following[start:stop], differs[start:stop], marks.shape[1]
    rank, length = state.shape[1] // cells, latents.shape[1] // cells

    own = spots[0] + layers[BRIDGE, CENTRE]
    listed, bits = np.empty((2, marks.size), np.int64), np.empty(marks.size, np.int64)
    found = look(state.view(np.int32), floats.view(np.int32), marks, own, rank, listed, columns)
    forget(memo[3][row : row + stop - start], listed, found, sight, columns)
    see_content(layers[CONTENT:], packed, floats, marks, own, kept, listed, found)
    if len(actions):
        see_bridge(layers[BRIDGE:], packed, floats, marks, spots, at_latents, length, listed, columns)
    found = _doubtful(floats, marks, at_latents, length, actions, latents, listed, bits)
    for n in range(len(state)):
        for i in range(state.shape[1]):
            following[n, i] = state[n, i]
    differs[:] = False
    changed = _move(
        layers, packed, looks, floats, marks, kept, state, latents, band, listed, found, bits, following, differs
    )
    width, outputs = layers[OUTPUT, OUTPUTS], len(values)
    outcomes = np.zeros(len(state) * width, np.float32)
    if valued:
        _outcomes(layers, packed, cells, state, latents, following, listed, changed, outcomes)
    for n in range(len(state)):
        to, logits = start + n, outcomes[n * width : n * width + outputs + 1]
        gone[to] = _bounded(following[n], bound)
        if gone[to]:
            for cell in range(cells):
                differs[n, cell] = state[n, cell * rank] != following[n, cell * rank]
        counted[to] = steps[n] + 1
        best = 0
        for v in range(1, outputs):
            if logits[v] > logits[best]:
                best = v
        paid = values[best]
        if numbers[2] != 0.0 and paid > _ZERO:
            paid *= _ONE - np.float32(numbers[2]) * np.float32(counted[to]) / np.float32(numbers[3])
        reward[to] = min(max(paid, -_LARGEST), _LARGEST) if paid == paid else _ZERO
        ended[to] = logits[outputs] > _ZERO
        undecided[to] = _undecided(logits, outputs, best) if valued else NO_ODDS
        cut[to] = gone[to] or (numbers[4] > 0.0 and counted[to] >= numbers[4])


def probe() -> None:
    """Steps one dream of one cell by layers of nothing: raises whatever a broken compiler raises."""
    layers = np.zeros((BRIDGE + 1, FIELDS), np.int64)
    layers[:, OUTPUTS] = LINE
    model = layers, np.zeros(LINE, np.float32), np.zeros(1, np.float32), np.zeros((0, 1), np.float32)
    marks = np.zeros((1, 1), np.int64)
    memo = np.zeros((1, 1 + LINE), np.float32), marks, np.array([[1], [0], [0]]), marks.copy()
    field, none, steps = np.zeros((1, 1), np.float32), np.zeros(0, np.int64), np.zeros(1, np.int64)
    flags, numbers = np.zeros((3, 1), np.bool_), (0.0, 1.0, 0.0, 1.0, 0.0)
    results = field.copy(), np.zeros(1, np.float32), *flags, np.zeros(1, np.float32), steps.copy(), flags[:1].copy()
    advance(model, memo, (1, 1 + LINE, False, 0), numbers, (field, field.copy(), none, steps), results, 0, 1, 0)
