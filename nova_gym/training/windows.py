"""The part of each clip in which something happens: what large frames are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from nova_gym.data import Clips

#: Cells around those that change, since these decide what happens.
AROUND = 3
#: Frames are cut only where that leaves less than this share of their cells.
WORTH = 0.5


@dataclass(frozen=True)
class Windows:
    """A window for each frame of a recording, all of one size, the same in all frames of a clip.

    A rule that holds in a cell and its neighbourhood holds in any part of a frame. So dynamics learn as much from the
    part where something happens as from the whole frame, in less time and memory.

    Attributes:
        size: (height, width) in pixels, whole cells.
        corners: (F, 2) int64, the pixel of each window's upper left corner, (row, column).
    """

    size: tuple[int, int]
    corners: Tensor

    def frames(self, frames: Tensor, chosen: Tensor) -> Tensor:
        """What chosen windows show: (n,) int64 of (F, C, H, W) frames → (n, C, h, w)."""
        return _cut(frames, chosen, self.corners[chosen], self.size)

    def clips(self, clips: Clips) -> Clips:
        """The recording as its windows show it."""
        shown = clips.frames.new_empty(*clips.frames.shape[:2], *self.size)  # parts, joined, would take twice that
        for part in torch.arange(len(shown)).split(1024):
            shown[part] = self.frames(clips.frames, part)
        return replace(clips, frames=shown)

    def anywhere(self, frames: Tensor, chosen: Tensor, cell: tuple[int, int], generator: Generator) -> Tensor:
        """As `frames`, but every other window lies anywhere, so that all parts of a frame are seen."""
        away = [
            cell[axis]
            * torch.randint(
                (frames.shape[2 + axis] - self.size[axis]) // cell[axis] + 1, (len(chosen),), generator=generator
            )
            for axis in (0, 1)
        ]
        other = (torch.arange(len(chosen)) % 2 == 1)[:, None]
        return _cut(frames, chosen, torch.where(other, torch.stack(away, 1), self.corners[chosen]), self.size)


def windows_of(parts: Sequence[Clips], cell: tuple[int, int]) -> list[Windows] | None:
    """Windows for recordings of frames of one size; None where frames are better taken whole.

    Args:
        parts: the recordings.
        cell: (h, w) in pixels; frames divide into such cells.
    """
    boxes = [_boxes(clips, cell) for clips in parts]
    rows, cols = parts[0].frames.shape[2] // cell[0], parts[0].frames.shape[3] // cell[1]
    sides = torch.cat([box[:, 2:] - box[:, :2] for box in boxes]).amax(0) + 2 * AROUND
    size = torch.minimum(sides, torch.tensor([rows, cols]))
    if int(size.prod()) >= WORTH * rows * cols:
        return None
    most, pixels = torch.tensor([rows, cols]) - size, torch.tensor(cell)
    made = []
    for clips, box in zip(parts, boxes, strict=True):
        middle = (box[:, :2] + box[:, 2:] - size) // 2
        corners = torch.minimum(middle.clamp(min=0), most) * pixels
        made.append(Windows(tuple((size * pixels).tolist()), corners.repeat_interleave(clips.lengths + 1, 0)))
    return made


def _cut(frames: Tensor, chosen: Tensor, corners: Tensor, size: tuple[int, int]) -> Tensor:
    (height, width), places = size, zip(chosen.tolist(), corners.tolist(), strict=True)
    return torch.stack([frames[at, :, row : row + height, col : col + width] for at, (row, col) in places])


def _boxes(clips: Clips, cell: tuple[int, int]) -> Tensor:
    """(E, 4) int64 in cells: the first row and column in which something changes in a clip, and those after the last.

    A clip in which nothing changes has an empty box in the middle of the frame.
    """
    rows, cols = clips.frames.shape[2] // cell[0], clips.frames.shape[3] // cell[1]
    boxes = torch.tensor([rows // 2, cols // 2, rows // 2, cols // 2]).repeat(len(clips.lengths), 1)
    for number, (first, length) in enumerate(zip(clips.first_frames.tolist(), clips.lengths.tolist(), strict=True)):
        changed = torch.zeros(rows, cols, dtype=torch.bool)
        for begin in range(first, first + length, 256):
            part = clips.frames[begin : min(begin + 256, first + length) + 1]
            differ = (part[1:] != part[:-1]).flatten(0, 1).any(0)
            changed |= differ.unflatten(1, (cols, -1)).unflatten(0, (rows, -1)).any(3).any(1)
        if changed.any():
            over, across = changed.any(1).nonzero(), changed.any(0).nonzero()
            boxes[number] = torch.tensor([int(over[0]), int(across[0]), int(over[-1]) + 1, int(across[-1]) + 1])
    return boxes
