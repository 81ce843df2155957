"""Whether a recording's frames are laid out in cells, or are one picture in which things move gradually."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nova_gym.data import Clips
from nova_gym.data.ambiguity import Repeats

#: Transitions that are looked at, evenly spread over the recording.
SAMPLE = 4096
#: Pixels whose changes are looked at, and cells whose neighbourhoods are, at most, evenly spread likewise.
PIXELS = 200_000_000
CELLS = 3_000_000
#: Of the transitions that do not pay and end as most do, the share that may be as open as that.
OPEN = 0.01
_ODD = np.random.default_rng(1).integers(1, 2**63, 25, dtype=np.uint64) | np.uint64(1)
#: Things move gradually if a cell that changes does so by less than this share of what it differs by in a clip, or if
#: twice as many transitions show more than two to this power times as many looks of cells (1 where all are new).
GRADUAL, NEW = 0.5, 0.5


def moves_gradually(clips: Clips, cell: tuple[int, int]) -> bool:
    """Whether things move by little in a step, so that one frame is much like the next.

    Then a rigid thing lies in many cells at once and they all have to agree on where it is: one network for the whole
    frame is the right state. Where cells change at once from one look to another, such as tiles, rules between
    neighbours say how, and a field of cells is the right state.

    What moves fast changes cells as much as tiles do. But tiles have few looks, which come again and again, while the
    parts of a thing that may be anywhere look ever new.

    Args:
        clips: the recording.
        cell: (h, w) in pixels.

    Returns:
        False also where nothing changes; True where frames do not divide into such cells.
    """
    height, width = clips.frames.shape[2:]
    if height % cell[0] or width % cell[1]:
        return True
    chosen = torch.arange(0, len(clips.source), max(1, len(clips.source) // SAMPLE))
    source = clips.source[chosen]
    apart = clips.elsewhere(chosen, source, 1.0, torch.Generator().manual_seed(0))
    steps, far = (_differences(clips.frames, source, other, cell) for other in (source + 1, apart))
    if not len(steps) or not len(far):
        return False
    return float(steps.median()) < GRADUAL * float(far.median()) or _new_looks(clips.frames, source, cell) > NEW


def _new_looks(frames: Tensor, source: Tensor, cell: tuple[int, int]) -> float:
    """The power of their number by which different looks of changed cells grow, from half of the transitions to all."""
    before, after = (kinds_of_cells(frames, cell, at) for at in (source, source + 1))
    changed = before != after
    half, whole = (len(np.unique(after[::step][changed[::step]])) for step in (2, 1))
    return float(np.log2(whole / max(half, 1)))


def _differences(frames: Tensor, one: Tensor, other: Tensor, cell: tuple[int, int]) -> Tensor:
    """Mean squared differences of the cells that differ between frames, in grey levels."""
    found = []
    for here, there in zip(one.split(256), other.split(256), strict=True):
        differ = (_cut(frames[here], cell).float() - _cut(frames[there], cell).float()).square().mean(2)
        found.append(differ[differ > 0])
    return torch.cat(found)


def _cut(frames: Tensor, cell: tuple[int, int]) -> Tensor:
    """(F, C, H, W) → (F, cells, pixels of a cell), uint8."""
    cut = frames.unflatten(3, (-1, cell[1])).unflatten(2, (-1, cell[0]))
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(2).contiguous()


def needs_everywhere(clips: Clips, cell: tuple[int, int]) -> bool:
    """Whether transitions that change the same, or nothing, pay or end differently.

    Then rewards and endings cannot be read off the cells that change alone: a box that is opened may vanish as one that
    is picked up does.

    Args:
        clips: labelled; frames divide into cells.
        cell: (h, w) in pixels.
    """
    pixels = clips.frames.shape[2] * clips.frames.shape[3]
    step = max(1, len(clips.source) * pixels // PIXELS)
    source = clips.source[::step]
    before, after = (kinds_of_cells(clips.frames, cell, at) for at in (source, source + 1))
    with np.errstate(over="ignore"):  # a number for all changes together, wherever they are
        changes = (before ^ (after * _ODD[0])) * np.uint64(0x9E3779B97F4A7C15)
        changes = np.where(before != after, changes ^ (changes >> np.uint64(29)), np.uint64(0)).sum((1, 2))
    paid = torch.stack([clips.rewards[::step].double(), clips.terminations[::step].double()], 1)
    _, outcome, counts = torch.unique(paid, dim=0, return_inverse=True, return_counts=True)
    rare = 1.0 - int(counts.max()) / len(source)
    return Repeats(changes, outcome.numpy().astype(np.uint64)).unusual > OPEN * rare


def surprises_in_cells(clips: Clips, cell: tuple[int, int]) -> tuple[float, np.ndarray]:
    """How often the same neighbourhood of cells and the same action lead to different cells, and where.

    A neighbourhood is as large as the bridge's sight: 5 × 5 cells. Only neighbourhoods in which something changes
    count, at least once in the recording.

    Args:
        clips: labelled; frames divide into cells.
        cell: (h, w) in pixels.

    Returns:
        Of the cells whose neighbourhood and action are met elsewhere in the recording, the share that become something
        else than such cells usually do; and (n,) int64, transitions of the sample with a cell whose neighbourhood and
        action have led to different cells.
    """
    rows, cols = clips.frames.shape[2] // cell[0], clips.frames.shape[3] // cell[1]
    step = max(1, len(clips.source) * rows * cols // CELLS)
    source = clips.source[::step]
    before, after = (kinds_of_cells(clips.frames, cell, at) for at in (source, source + 1))
    _, acts = np.unique(clips.actions[::step].numpy().reshape(len(source), -1), axis=0, return_inverse=True)
    around = np.pad(before, ((0, 0), (2, 2), (2, 2)))
    keys = np.zeros_like(before)
    with np.errstate(over="ignore"):
        for k, odd in enumerate(_ODD):
            y, x = divmod(k, 5)
            keys += around[:, y : y + rows, x : x + cols] * odd
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys ^= acts.reshape(-1, 1, 1).astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
    lively = np.isin(keys, np.unique(keys[before != after]))
    repeats = Repeats(keys[lively], after[lively])
    return repeats.surprising, step * np.unique(np.nonzero(lively)[0][repeats.differs > 0])


def kinds_of_cells(frames: Tensor, cell: tuple[int, int], chosen: Tensor | None = None) -> np.ndarray:
    """(n, rows, cols) uint64, numbers by which cells of frames (F, C, H, W) uint8 are told apart.

    Args:
        frames: of a recording.
        cell: (h, w) in pixels.
        chosen: (n,) int64, of which frames; None for all.
    """
    chosen = torch.arange(len(frames)) if chosen is None else chosen
    size = -(-frames.shape[1] * cell[0] * cell[1] // 8)  # in words of eight pixels, which take an eighth of the time
    weights = np.random.default_rng(0).integers(1, 2**63, size, dtype=np.uint64) | np.uint64(1)
    rows, cols = frames.shape[2] // cell[0], frames.shape[3] // cell[1]
    sums = []
    with np.errstate(over="ignore"):
        for part in chosen.split(64):
            cut = _cut(frames[part], cell).numpy()
            words = np.pad(cut, ((0, 0), (0, 0), (0, 8 * size - cut.shape[2]))).view(np.uint64)
            words = (words ^ (words >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)  # so that each bit counts
            sums.append(((words ^ (words >> np.uint64(29))) * weights).sum(-1, dtype=np.uint64))
    return np.concatenate(sums).reshape(len(chosen), rows, cols)
