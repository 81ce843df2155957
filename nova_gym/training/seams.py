"""Whether the frames of a recording are smooth where cells meet: then neighbouring cells are to be blended."""

from __future__ import annotations

import torch
from torch import Tensor

#: Frames that are looked at, evenly spread over the recording.
_FRAMES = 256
#: How many times as large as steps within cells those across borders may be, on average, where nothing is drawn to
#: cells: a few frames, or a line that always stands there, may make them larger by chance.
_MARGIN = 1.5


def smooth_across_cells(frames: Tensor, cell: tuple[int, int]) -> bool:
    """Whether neighbouring pixels differ across the borders of cells about as much as they do within cells.

    Where an environment draws tiles and a cell is a tile, edges lie on the borders, and blending would blur them. Where
    things move freely, edges lie anywhere.

    Args:
        frames: (F, C, H, W) uint8.
        cell: (h, w) in pixels of a cell, which H and W are multiples of.

    Returns:
        Whether they do; True where there is but one cell, or cells of one pixel.
    """
    frames = frames[:: -(-len(frames) // _FRAMES)]
    across, within = [], []
    for dim, size in ((2, cell[0]), (3, cell[1])):
        line = frames.movedim(dim, 0).to(torch.int16)
        steps = (line[1:] - line[:-1]).abs().flatten(1).float().mean(1)
        border = torch.arange(1, len(line), device=frames.device) % size == 0
        inner = slice(size // 2, len(steps) - size // 2)  # as much of cells on either side of each border
        steps, border = steps[inner], border[inner]
        across.append(steps[border])
        within.append(steps[~border])
    across, within = torch.cat(across), torch.cat(within)
    if not len(across) or not len(within):
        return True
    return bool(across.mean() <= _MARGIN * within.mean())
