"""The renderer on the CPU in one pass: all layers of a strip of pixels while it is in cache, compiled by Numba.

PyTorch computes layer by layer over all pixels, and the activations of narrow layers go through memory in between.
Here the work is done patch by patch (`nova_gym.kernels.patches`). The weights of a cell are made from its state where
they are needed and never leave the cache. Then a strip of pixels goes through all layers at once,
`nova_gym.kernels.tile`; a strip goes on in the next row of the patch, so small cells fill it too. Two more things save
time: coordinates lie on a grid, so the first layer is a sum of a part that depends on the column alone and one that
depends on the row alone; and GELU is a polynomial within a clamp, `nova_gym.kernels.gelu`.

`nova_gym.model.inr` calls this and checks it against PyTorch in its tests; nothing else should.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nova_gym.kernels.cells import (
    BLOCK,
    BLOCK_TOGETHER,
    TOGETHER,
    add_to_line,
    bytes_of_strip,
    first_layer_line,
    weigh,
)
from nova_gym.kernels.cells import LINE as SPAN
from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.patches import ACTIVE, CELL, COLUMNS, COUNT, FIRST, INTO, LINE, Runs, only_run, patches_of
from nova_gym.kernels.threads import in_parts
from nova_gym.kernels.tile import FLOATS, HIDDEN, STRIP, copy, gelu_strip, layer_strip, outputs_at_once

if TYPE_CHECKING:
    from nova_gym.model.config import INRConfig

#: Pixels of a patch: at most, and below which it is not cut for the sake of threads.
_LARGEST, _LEAST = 4096, 512
#: Pixels that one thread draws as fast as it hands them to another.
_ALONE = 2048

_HALF = np.float32(0.5)


@compiled(inner=True, nogil=True, fastmath=True)
def _weigh_one(base, basis, states, cells, weights):
    """The weights of the first of some cells: base + states[cell] @ basis."""
    size = len(base)
    if size >= BLOCK:
        for start in range(0, size - BLOCK, BLOCK):
            weigh(base, basis, states, cells, weights, start, 1)
        weigh(base, basis, states, cells, weights, size - BLOCK, 1)  # may begin within the block before
    else:
        for j in range(size):
            weights[0, j] = base[j]
        for k in range(states.shape[1]):
            for j in range(size):
                weights[0, j] += states[cells[0], k] * basis[k, j]


@compiled(inner=True, nogil=True, fastmath=True)
def _weigh_together(base, basis, states, cells, weights):
    """The weights of `TOGETHER` cells of a network that is not smaller than `BLOCK`."""
    size = len(base)
    for start in range(0, size - BLOCK_TOGETHER, BLOCK_TOGETHER):
        weigh(base, basis, states, cells, weights, start, TOGETHER)
    weigh(base, basis, states, cells, weights, size - BLOCK_TOGETHER, TOGETHER)


@compiled(inner=True, nogil=True)
def _cells_to_come(patches, rows, columns, units, n, stop, cells):
    """Writes the cells that units `n` and following draw, as long as each draws another one alone; returns how many."""
    count = 0
    while count < len(cells) and n + count < stop:
        unit = units[n + count] if len(units) else n + count
        patch = patches[unit % len(patches)]
        cell = (unit // len(patches) * rows + patch[CELL]) * columns + patch[COLUMNS + CELL]
        if patch[ACTIVE] * patch[COLUMNS + ACTIVE] > 1 or (count and cell == cells[count - 1]):
            break
        cells[count] = cell
        count += 1
    return count


@compiled(inner=True, nogil=True)
def _slot_of(cell, base, basis, states, patches, rows, columns, units, n, stop, held, weights):
    """Which row of `weights` has those of a cell of unit `n`; `held` says whose they are.

    Where it has to make them, it makes those of the cells to come as well.
    """
    for slot in range(len(held)):
        if held[slot] == cell:
            return slot
    if len(base) >= BLOCK and _cells_to_come(patches, rows, columns, units, n, stop, held) == TOGETHER:
        _weigh_together(base, basis, states, held, weights)
    else:
        held[:] = -1
        held[0] = cell
        _weigh_one(base, basis, states, held, weights)
    return 0


@compiled(inner=True, nogil=True, fastmath=True)
def _sum_up(by_column, x_room, by_row, y_room, begin, count, breadth, width, sums, room):
    """The first layer of `count` pixels of a patch from pixel `begin` on: parts by column plus parts by row."""
    y = begin // breadth
    x, k = begin - y * breadth, 0
    while k < count:
        length = min(breadth - x, count - k)
        if length <= SPAN:
            for j in range(width):
                add_to_line(by_column, j * x_room + x, by_row[j * y_room + y], sums, j * room + k)
        else:
            for j in range(width):
                shift = by_row[j * y_room + y]
                for v in range(0, length, SPAN):
                    add_to_line(by_column, j * x_room + x + v, shift, sums, j * room + k + v)
        k, x, y = k + length, 0, y + 1


@compiled(inner=True, nogil=True, fastmath=True)
def _mix(drawn, channels, x_shares, y_shares, begin, count, breadth, mixed, room, fresh):
    """Adds what a cell contributes to `count` pixels of a patch from pixel `begin` on; `fresh` if it is the first."""
    y = begin // breadth
    x, k = begin - y * breadth, 0
    while k < count:
        length = min(breadth - x, count - k)
        for j in range(channels):
            for v in range(length):
                value = y_shares[y] * x_shares[x + v] * drawn[j * STRIP + k + v]
                place = j * room + begin + k + v
                mixed[place] = value if fresh else mixed[place] + value
        k, x, y = k + length, 0, y + 1


@compiled(inner=True, nogil=True)
def _write(ready, channels, out, frame, height, width, top, left, begin, count, breadth):
    """Copies `count` finished pixels of a patch, from pixel `begin` on, to where they belong in a frame.

    `ready` and `out`, flattened, are bytes, all channels of a pixel side by side, or floats, channel by channel.
    """
    y = begin // breadth
    x, k = begin - y * breadth, 0
    while k < count:
        length = min(breadth - x, count - k)
        place = (top + y) * width + left + x
        if out.itemsize == 1:
            copy(ready, k * channels, out, (frame * height * width + place) * channels, length * channels)
        else:
            for j in range(channels):
                copy(ready, j * STRIP + k, out, (frame * channels + j) * height * width + place, length)
        k, x, y = k + length, 0, y + 1


@compiled(inner=True, nogil=True)
def _largest_mixture(patches):
    """Pixels of the largest patch that several cells draw, up to a whole number of strips."""
    most = 0
    for patch in patches:
        if patch[ACTIVE] * patch[COLUMNS + ACTIVE] > 1:
            most = max(most, patch[COUNT] * patch[COLUMNS + COUNT])
    return -(-most // STRIP) * STRIP


@cache
def _kernel(width: int, layers: int, waves: int, channels: int, as_bytes: bool) -> Callable[..., None]:
    """Compiles the renderer for one size of network: all loops over units have constant lengths.

    Args:
        width, layers, channels: of the coordinate network.
        waves: features of one coordinate, 1 + 2F.
        as_bytes: write (B, H, W, C) uint8 instead of (B, C, H, W) float32.
    """
    features = 2 * waves
    first_size, hidden_size = width * (features + 1), width * (width + 1)
    last_layer = first_size + (layers - 1) * hidden_size
    tile = outputs_at_once(width)
    room = STRIP + SPAN  # of a strip that is put together from lines

    @compiled(nogil=True, fastmath=True)
    def draw(base, basis, states, patches, rows, x_lines, y_lines, x_shares, y_shares, units, out, start, stop):
        """Units `start` to `stop` of the work: those listed, or all patches, one frame after the other."""
        tall, wide = (out.shape[1], out.shape[2]) if as_bytes else (out.shape[2], out.shape[3])
        columns = len(states) // (out.shape[0] * rows)
        x_room, y_room = x_lines.shape[2], y_lines.shape[2]
        held, slots = np.full(TOGETHER, -1), np.empty((TOGETHER, len(base)), np.float32)
        by_column, by_row = np.empty(width * x_room, np.float32), np.empty(width * y_room, np.float32)
        sums = np.zeros(width * room, np.float32)
        one, other = np.empty(width * STRIP, np.float32), np.empty(width * STRIP, np.float32)
        drawn, ready = np.empty(channels * STRIP, np.float32), np.empty(channels * STRIP, out.dtype)
        most = _largest_mixture(patches)
        mixed = np.empty(channels * most, np.float32)
        flat = out.reshape(-1)
        last, last_line = -1, -1
        for n in range(start, stop):
            unit = units[n] if len(units) else n
            frame = unit // len(patches)
            patch = patches[unit - frame * len(patches)]
            top, height, left, breadth = patch[FIRST], patch[COUNT], patch[COLUMNS + FIRST], patch[COLUMNS + COUNT]
            pixels, into = height * breadth, patch[INTO]
            together = patch[ACTIVE] * patch[COLUMNS + ACTIVE]
            for part in range(together):
                below, beside = part // patch[COLUMNS + ACTIVE], part % patch[COLUMNS + ACTIVE]
                cell = (frame * rows + patch[CELL] + below) * columns + patch[COLUMNS + CELL] + beside
                x_line, y_line = patch[COLUMNS + LINE] + beside, patch[LINE] + below
                slot = _slot_of(cell, base, basis, states, patches, rows, columns, units, n, stop, held, slots)
                weights = slots[slot]
                if cell != last or x_line != last_line:
                    last, last_line = cell, x_line
                    line = x_lines[x_line].reshape(-1)
                    for x in range(0, breadth, SPAN):
                        for j in range(0, width, tile):
                            first, at = j * features, j * x_room + x
                            first_layer_line(weights, first, 0, line, x, x_room, by_column, at, x_room, waves, tile, 0)
                line = y_lines[y_line].reshape(-1)
                for y in range(0, height, SPAN):
                    for j in range(0, width, tile):
                        first, bias, at = j * features + 1, width * features + j, j * y_room + y
                        place = into + y
                        first_layer_line(weights, first, bias, line, place, y_room, by_row, at, y_room, waves, tile, 1)
                for begin in range(0, pixels, STRIP):
                    count = min(STRIP, pixels - begin)
                    _sum_up(by_column, x_room, by_row, y_room, begin, count, breadth, width, sums, room)
                    for j in range(width):
                        gelu_strip(sums, j * room, np.float32(0.0), one, j * STRIP)
                    at = first_size
                    for _ in range(layers - 1):
                        for j in range(0, width, tile):
                            bias = at + width * width + j
                            layer_strip(weights, at + j * width, bias, one, other, j * STRIP, width, tile, HIDDEN)
                        one, other = other, one
                        at += hidden_size
                    bias = last_layer + channels * width
                    layer_strip(weights, last_layer, bias, one, drawn, 0, width, channels, FLOATS)
                    if together > 1:
                        shares = x_shares[x_line], y_shares[y_line, into:]
                        _mix(drawn, channels, *shares, begin, count, breadth, mixed, most, part == 0)
                        if part < together - 1:
                            continue
                        for j in range(channels):
                            for p in range(STRIP):
                                drawn[j * STRIP + p] = mixed[j * most + begin + p]
                    if as_bytes:
                        bytes_of_strip(drawn, 0, STRIP, ready, channels)
                    else:
                        for k in range(channels * STRIP):
                            ready[k] = min(max(drawn[k] + _HALF, np.float32(0.0)), np.float32(1.0))
                    _write(ready, channels, flat, frame, tall, wide, top, left, begin, count, breadth)

    return draw


def probe() -> None:
    """Draws the smallest frame: raises whatever a broken compiler raises."""
    runs = only_run()
    config, frames = SimpleNamespace(width=1, layers=1, channels=1), torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
    lines, state = torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1)
    render(torch.zeros(5), torch.zeros(1, 5), state, (runs, runs), (lines, lines), config, frames)


def render(
    base: Tensor,
    basis: Tensor,
    states: Tensor,
    axes: tuple[Runs, Runs],
    lines: tuple[Tensor, Tensor],
    config: INRConfig,
    frames: Tensor,
    changed: Tensor | None = None,
) -> None:
    """Renders frames on a grid.

    Args:
        base: (D,) float32 on the CPU.
        basis: (K, D) float32.
        states: (B, K, rows, cols) float32.
        axes: the runs of pixels along y and along x.
        lines: (n, 1 + 2F, L) float32, the features of the lines of both axes.
        config: sizes of the network, at least one hidden layer.
        frames: written to, contiguous: (B, C, H, W) float32 in [0, 1], or (B, H, W, C) uint8.
        changed: (B, rows, cols) bool, the cells to draw; None for all.
    """
    rows, threads = states.shape[2], torch.get_num_threads()
    patches = patches_of(*axes, _LARGEST, _LEAST, threads)
    as_bytes = frames.dtype == torch.uint8
    units = np.zeros(0, np.int64) if changed is None else _touched(patches, changed.numpy())
    total = len(units) if changed is not None else len(patches) * len(states)
    if not total:
        return
    padded = [torch.nn.functional.pad(line, (0, SPAN)).numpy() for line in lines]
    arrays = [t.detach().contiguous().numpy() for t in (base, basis, states.permute(0, 2, 3, 1))]
    y, x = axes
    kernel = _kernel(config.width, config.layers, lines[0].shape[1], config.channels, as_bytes)
    out = frames.numpy()

    def work(start: int, stop: int) -> None:
        kernel(
            *arrays[:2],
            arrays[2].reshape(-1, len(basis)),
            patches,
            rows,
            padded[1],
            padded[0],
            x.shares,
            y.shares,
            units,
            out,
            start,
            stop,
        )

    pixels = out.size // config.channels // (len(patches) * len(states)) * total
    in_parts(work, total, 1 if pixels > _ALONE else total)


def _touched(patches: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """int64 units of work, patches of one frame after the other, that a changed cell draws or helps to draw."""
    touched = np.zeros((len(changed), len(patches)), bool)
    for below in (0, 1):
        for beside in (0, 1):
            rows = patches[:, CELL] + np.minimum(below, patches[:, ACTIVE] - 1)
            cells = patches[:, COLUMNS + CELL] + np.minimum(beside, patches[:, COLUMNS + ACTIVE] - 1)
            touched |= changed[:, rows, cells]
    return np.flatnonzero(touched)
