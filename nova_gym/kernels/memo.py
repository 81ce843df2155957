"""What a compiled step remembers of the states that it was given, brought up to date with those that it is given now.

For each dream the memo has the numbers of its cells: a copy of the state that the rest is of, what the hidden layers of
the action bridge but the last made of it, the content network's outputs, and the latent actions of all actions. A cell
whose state is not to the bit the copy is computed anew. So are, in each layer of the bridge, the cells that see it.
"""

from __future__ import annotations

import numpy as np

from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.products import CENTRE, OUTPUTS, SIGHT, apply

#: What is known of a cell, as bits: from the first on, for each discrete action, whether it stays as it is then; the
#: same without any motion; whether the bridge has seen it; whether its content is known.
MOST_ACTIONS = 60
STILL, _SEEN, _KNOWN = 1 << 60, 1 << 61, 1 << 62

#: Rows that are computed before they are looked at; their numbers stay in the cache.
CHUNK = 64


@compiled(inner=True, error_model="numpy")
def look(state, copies, marks, spots, rank, listed, columns):
    """Brings the memo's copies of the states up to date; returns how many cells it lists, those that are not known.

    Args:
        state: (N, cells · K) int32, the bits of the states.
        copies: (N, size) int32, the bits of the memo; marks: (N, cells).
        spots: (cells,) where in the memo the copy of a cell is.
        listed: (2, N · cells) int64, written to: dream and cell.
        columns: cells of a line.
    """
    found = 0
    for n in range(len(state)):
        for line in range(0, marks.shape[1], columns):
            now = state[n, line * rank : (line + columns) * rank]
            then = copies[n, spots[line] : spots[line] + columns * rank]
            differs = np.int32(0)
            for i in range(columns * rank):
                differs |= now[i] ^ then[i]
            if differs:
                for x in range(columns):
                    differs = np.int32(0)
                    for i in range(x * rank, (x + 1) * rank):
                        differs |= now[i] ^ then[i]
                        then[i] = now[i]
                    if differs:
                        marks[n, line + x] = 0
            for cell in range(line, line + columns):
                if not marks[n, cell] & _KNOWN:
                    listed[0, found], listed[1, found] = n, cell
                    found += 1
    return found


@compiled(inner=True, error_model="numpy")
def forget(marks, listed, found, sight, columns):
    """What another keeps of the same cells: takes all marks from those that see one that is listed.

    Args:
        marks: (N, cells) int64, or (N, 0) if there is no other.
        sight: cells to each side.
    """
    lines = marks.shape[1] // columns
    for k in range(found if lines else 0):
        n, cell = listed[0, k], listed[1, k]
        y, x = cell // columns, cell % columns
        for line in range(max(y - sight, 0), min(y + sight + 1, lines)):
            for other in range(line * columns + max(x - sight, 0), line * columns + min(x + sight + 1, columns)):
                marks[n, other] = 0


@compiled(inner=True, error_model="numpy")
def see_content(layers, packed, floats, marks, spots, kept, listed, found):
    """The content network in cells that are listed.

    Args:
        spots: (cells,) where in the memo the state of a cell is; `kept` those of its content.
    """
    flat, size = floats.reshape(-1), floats.shape[1]
    first, second = layers[0], layers[1]
    hidden = np.empty(CHUNK * first[OUTPUTS], np.float32)
    places, middles, goals = np.empty((3, CHUNK), np.int64)
    for k in range(CHUNK):
        middles[k] = k * first[OUTPUTS]
    for start in range(0, found, CHUNK):
        many = min(CHUNK, found - start)
        for k in range(many):
            n, cell = listed[0, start + k], listed[1, start + k]
            places[k], goals[k] = n * size + spots[cell], n * size + kept[cell]
            marks[n, cell] = _KNOWN
        apply(first, packed, flat, places, hidden, middles, many, True)
        apply(second, packed, hidden, middles, flat, goals, many, False)


@compiled(inner=True, error_model="numpy")
def _widen(listed, found, taken, sight, columns):
    """Lists all cells that see one that is listed; returns how many there are now.

    Args:
        taken: (N, cells) bool, whether a cell is listed.
        sight: cells to each side.
    """
    lines = taken.shape[1] // columns
    for k in range(found if sight else 0):
        n, cell = listed[0, k], listed[1, k]
        y, x = cell // columns, cell % columns
        for line in range(max(y - sight, 0), min(y + sight + 1, lines)):
            for other in range(line * columns + max(x - sight, 0), line * columns + min(x + sight + 1, columns)):
                if not taken[n, other]:
                    taken[n, other] = True
                    listed[0, found], listed[1, found] = n, other
                    found += 1
    return found


@compiled(inner=True, error_model="numpy")
def see_bridge(layers, packed, floats, marks, spots, at_latents, length, listed, columns):
    """The action bridge where it has not seen a cell: latent actions of all actions go into the memo.

    Args:
        spots: (layers, cells) where in the memo the window of a layer begins.
        at_latents: where in the memo the latent actions begin, for each action those of all cells, `length` numbers
            each.
    """
    flat, size, cells = floats.reshape(-1), floats.shape[1], marks.shape[1]
    taken, found = np.zeros(marks.shape, np.bool_), 0
    for n in range(len(marks)):
        for cell in range(cells):
            if not marks[n, cell] & _SEEN:
                taken[n, cell] = True
                listed[0, found], listed[1, found] = n, cell
                found += 1
    if not found:
        return
    deep, last = layers[-2], layers[-1]
    hidden, latents = np.empty(CHUNK * deep[OUTPUTS], np.float32), np.empty(CHUNK * last[OUTPUTS], np.float32)
    places, goals, ends = np.empty((3, CHUNK), np.int64)
    actions = (size - at_latents) // (cells * length)
    for depth in range(len(layers) - 1):
        found = _widen(listed, found, taken, layers[depth, SIGHT], columns)
        final = depth + 2 == len(layers)
        for start in range(0, found, CHUNK):
            many = min(CHUNK, found - start)
            for k in range(many):
                n, cell = listed[0, start + k], listed[1, start + k]
                places[k], ends[k] = n * size + spots[depth, cell], k * last[OUTPUTS]
                following = n * size + spots[depth + 1, cell] + layers[depth + 1, CENTRE]
                goals[k] = k * deep[OUTPUTS] if final else following
            if not final:
                apply(layers[depth], packed, flat, places, flat, goals, many, True)
                continue
            apply(deep, packed, flat, places, hidden, goals, many, True)
            apply(last, packed, hidden, goals, latents, ends, many, False)
            for k in range(many):
                n, cell = listed[0, start + k], listed[1, start + k]
                marks[n, cell] = marks[n, cell] & (_KNOWN | STILL) | _SEEN
                for action in range(actions):
                    to = at_latents + (action * cells + cell) * length
                    for i in range(length):
                        floats[n, to + i] = latents[ends[k] + action * length + i]
