"""The renderer on CUDA in one pass, a Triton kernel: the activations of a pixel never leave the registers.

Triton comes with the CUDA builds of PyTorch and is no dependency of its own; this module is imported only for states
on a CUDA device, and PyTorch does without it where Triton is missing. As in `kernels.render`, the work is done patch by
patch (`nova_gym.kernels.patches`), and the first layer is a sum of a part by column and a part by row. These parts and
the weights of all cells are little work, and left to PyTorch.

`python -m nova_gym.benchmarks.on_cuda` checks and times it on a GPU.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from nova_gym.kernels import patches as table
from nova_gym.kernels.gelu import CLAMP, COEFFICIENTS, SQUARINGS
from nova_gym.kernels.patches import Runs, only_run, patches_of

if TYPE_CHECKING:
    from nova_gym.model.config import INRConfig


#: Pixels of a program at most, and of a warp: four pixels a thread, so that a weight is loaded once for four of them. A
#: cell of 8 x 8 pixels is one warp, of two pixels a thread.
_BLOCK, _WARP = 512, 128

_FIRST, _COUNT, _CELL, _ACTIVE, _LINE = (
    tl.constexpr(column) for column in (table.FIRST, table.COUNT, table.CELL, table.ACTIVE, table.LINE)
)
_COLUMNS = tl.constexpr(table.COLUMNS)

_CLAMP = tl.constexpr(CLAMP)
_COEFFICIENTS = tl.constexpr(COEFFICIENTS)
_DEGREE, _SQUARINGS = tl.constexpr(len(COEFFICIENTS) - 1), tl.constexpr(SQUARINGS)


@triton.jit
def _gelu(x):
    size = tl.minimum(tl.abs(x), _CLAMP)
    tail = size * _COEFFICIENTS[0] + _COEFFICIENTS[1]
    for k in tl.static_range(2, _DEGREE + 1):
        tail = tail * size + _COEFFICIENTS[k]
    for _ in tl.static_range(_SQUARINGS):
        tail = tail * tail
    return tl.maximum(x, 0.0) - size * tail


@triton.jit
def _product(weights, bias, values, inputs: tl.constexpr):
    """One output of a layer: `bias` and `weights` point to its bias and to its first weight."""
    total = tl.load(bias) + tl.load(weights) * values[0]
    for i in tl.static_range(1, inputs):
        total += tl.load(weights + i) * values[i]
    return total


@triton.jit
def _hidden_layers(weights, column, row, x_room, y_room, inside, units: tl.constexpr, layers):
    """The last hidden layer: `column` and `row` point to the two parts of the first unit of the first layer."""
    hidden = ()
    for j in tl.static_range(units):
        total = tl.load(column + j * x_room, inside, 0.0) + tl.load(row + j * y_room, inside, 0.0)
        hidden = hidden + (_gelu(total),)  # noqa: RUF005  a sum of tuples is what Triton compiles
    for _ in range(layers - 1):  # not unrolled: the code of one layer fits the cache of instructions
        following = ()
        for j in tl.static_range(units):
            product = _product(weights + j * units, weights + units * units + j, hidden, units)
            following = following + (_gelu(product),)  # noqa: RUF005
        hidden = following
        weights += units * (units + 1)
    return hidden


@triton.jit
def _is_touched(changed, cell, rows_active, columns_active, columns):
    """Whether any of the cells of a patch changed; `cell` is the first."""
    beside, below = columns_active - 1, (rows_active - 1) * columns
    either = tl.load(changed + cell) + tl.load(changed + cell + beside)
    return either + tl.load(changed + cell + below) + tl.load(changed + cell + below + beside) > 0


@triton.jit
def _render_block(
    weights,
    by_column,
    by_row,
    x_shares,
    y_shares,
    patches,
    patch_count,
    changed,
    out,
    height,
    width,
    rows,
    columns,
    x_lines,
    y_lines,
    x_room,
    y_room,
    layers,
    first_hidden: tl.constexpr,
    units: tl.constexpr,
    size: tl.constexpr,
    channels: tl.constexpr,
    only_changed: tl.constexpr,
    as_bytes: tl.constexpr,
    block: tl.constexpr,
):
    """Draws a block of a patch: the program's first number says which patch of which frame, its second which block."""
    frame = (tl.program_id(0) // patch_count).to(tl.int64)  # 64 bits: large frames have more values than 2³¹
    patch = patches + (tl.program_id(0) % patch_count) * (2 * _COLUMNS)
    tall, broad = tl.load(patch + _COUNT), tl.load(patch + _COLUMNS + _COUNT)
    rows_active, columns_active = tl.load(patch + _ACTIVE), tl.load(patch + _COLUMNS + _ACTIVE)
    cell_row, cell_column = tl.load(patch + _CELL), tl.load(patch + _COLUMNS + _CELL)
    wanted = tl.program_id(1) * block < tall * broad
    if only_changed:
        first = (frame * rows + cell_row) * columns + cell_column
        wanted = wanted & _is_touched(changed, first, rows_active, columns_active, columns)
    if wanted:
        pixel = tl.program_id(1) * block + tl.arange(0, block)
        inside = pixel < tall * broad
        y = pixel // broad
        x = pixel - y * broad
        drawn = ()
        for _ in tl.static_range(channels):
            drawn = drawn + (tl.zeros([block], tl.float32),)  # noqa: RUF005
        for part in range(rows_active * columns_active):
            below, beside = part // columns_active, part % columns_active
            row, column = cell_row + below, cell_column + beside
            y_line = tl.load(patch + _LINE) + below
            x_line = tl.load(patch + _COLUMNS + _LINE) + beside
            network = weights + ((frame * rows + row) * columns + column) * size + first_hidden
            from_column = by_column + ((frame * rows + row) * x_lines + x_line) * units * x_room + x
            from_row = by_row + ((frame * y_lines + y_line) * columns + column) * units * y_room + y
            hidden = _hidden_layers(network, from_column, from_row, x_room, y_room, inside, units, layers)
            network += (layers - 1) * units * (units + 1)
            share = tl.load(y_shares + y_line * y_room + y, inside, 0.0)
            share *= tl.load(x_shares + x_line * x_room + x, inside, 0.0)
            mixed = ()
            for j in tl.static_range(channels):
                value = _product(network + j * units, network + channels * units + j, hidden, units)
                mixed = mixed + (drawn[j] + share * value,)  # noqa: RUF005
            drawn = mixed
        y += tl.load(patch + _FIRST)
        x += tl.load(patch + _COLUMNS + _FIRST)
        for j in tl.static_range(channels):
            value = tl.minimum(tl.maximum(drawn[j] + 0.5, 0.0), 1.0)
            if as_bytes:
                place = out + ((frame * height + y) * width + x) * channels + j
                tl.store(place, (value * 255.0 + 0.5).to(tl.uint8), inside)
            else:
                tl.store(out + ((frame * channels + j) * height + y) * width + x, value, inside)


def probe() -> None:
    """Draws the smallest frame: raises whatever a broken compiler raises."""
    runs = only_run()
    config, frames = SimpleNamespace(width=1, layers=1, channels=1), torch.zeros(1, 1, 1, 1, device="cuda")
    lines, state = torch.zeros(1, 1, 1, device="cuda"), torch.zeros(1, 1, 1, 1, device="cuda")
    base, basis = torch.zeros(5, device="cuda"), torch.zeros(1, 5, device="cuda")
    render(base, basis, state, (runs, runs), (lines, lines), config, frames)


@lru_cache(maxsize=64)
def _plan(y_runs: Runs, x_runs: Runs, device: torch.device) -> tuple[Tensor, tuple[Tensor, ...], int]:
    """What a kernel reads about the patches of a frame, and the pixels of the largest of them.

    Returns:
        (n, 2 · COLUMNS) int32 patches; the cells (lines,) int64 of the lines along y and x, and their shares
        (lines, L) float32; pixels.
    """
    patches = patches_of(y_runs, x_runs, largest=2**62, least=1, parts=1)
    largest = int((patches[:, table.COUNT] * patches[:, table.COLUMNS + table.COUNT]).max())
    arrays = [y_runs.cells, x_runs.cells, y_runs.shares, x_runs.shares]
    return (
        torch.from_numpy(patches).to(device, torch.int32),
        tuple(torch.from_numpy(array).to(device) for array in arrays),
        largest,
    )


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
        base: (D,) float32 on a CUDA device.
        basis: (K, D) float32 there, as all that follows.
        states: (B, K, rows, cols) float32.
        axes: the runs of pixels along y and along x.
        lines: (n, 1 + 2F, L) float32, the features of the lines of both axes.
        config: sizes of the network, at least one hidden layer.
        frames: written to, contiguous: (B, C, H, W) float32 in [0, 1], or (B, H, W, C) uint8.
        changed: (B, rows, cols) bool, the cells to draw; None for all.
    """
    batch, _, rows, columns = states.shape
    if not batch:
        return
    patches, (y_cells, x_cells, y_shares, x_shares), largest = _plan(*axes, states.device)
    y_lines, x_lines = lines
    features = 2 * y_lines.shape[1]
    weights = torch.addmm(base, states.permute(0, 2, 3, 1).flatten(0, 2), basis).view(batch, rows, columns, -1)
    matrix = weights[..., : config.width * features].unflatten(3, (config.width, features))
    bias = weights[..., config.width * features : config.width * (features + 1), None]
    by_column = matrix[:, :, x_cells, :, 0::2] @ x_lines
    by_row = matrix[:, y_cells, :, :, 1::2] @ y_lines[:, None] + bias[:, y_cells]
    as_bytes = frames.dtype == torch.uint8
    block = min(_BLOCK, max(32, triton.next_power_of_2(largest)))
    with torch.cuda.device_of(weights):
        _render_block[(batch * len(patches), triton.cdiv(largest, block))](
            weights,
            by_column,
            by_row,
            x_shares,
            y_shares,
            patches,
            len(patches),
            frames if changed is None else changed.contiguous().view(torch.uint8),
            frames,
            *(frames.shape[1:3] if as_bytes else frames.shape[2:]),
            rows,
            columns,
            len(x_lines),
            len(y_lines),
            x_lines.shape[2],
            y_lines.shape[2],
            config.layers,
            first_hidden=config.width * (features + 1),
            units=config.width,
            size=len(base),
            channels=config.channels,
            only_changed=changed is not None,
            as_bytes=as_bytes,
            block=block,
            num_warps=max(1, block // _WARP),
        )
