"""Whether frames are smooth where cells meet: then neighbouring cells are blended there."""

from __future__ import annotations

from torch import Tensor

from nova_gym.data import to_unit

#: Frames that are looked at, evenly spread over the recording.
SAMPLE = 256
#: Pixels on both sides of a border may differ by up to this many times as much as neighbours within a cell.
AS_MUCH = 1.5


def smooth_across_cells(frames: Tensor, cell: tuple[int, int]) -> bool:
    """Whether the borders of cells are places like any other in a recording's frames.

    Where things move pixel by pixel, edges lie anywhere, and a seam between two cells would show in large frames. Where
    the frames are made of tiles of a cell's size, edges lie on the borders and have to stay sharp.

    Args:
        frames: (F, C, H, W) uint8.
        cell: (h, w) in pixels.

    Returns:
        False also for frames of one cell, which have no borders.
    """
    some = to_unit(frames[:: max(1, len(frames) // SAMPLE)])
    at_borders, within = [], []
    for axis, side in zip((2, 3), cell, strict=True):
        steps = some.diff(dim=axis).abs().mean([dim for dim in range(4) if dim != axis])
        near = range(side // 2 + 1, some.shape[axis] - side // 2)  # as much of cells on either side of each border
        at_borders += [float(steps[place - 1]) for place in near if place % side == 0]
        within += [float(steps[place - 1]) for place in near if place % side]
    if not at_borders or not within:
        return False
    return sum(at_borders) / len(at_borders) <= AS_MUCH * sum(within) / len(within)
