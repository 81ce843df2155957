"""Whether a recording's frames are laid out in cells, or are one picture in which things move gradually."""

from __future__ import annotations

import torch
from torch import Tensor

from nova_gym.data import Clips

#: Transitions that are looked at, evenly spread over the recording.
SAMPLE = 4096
#: Frames are laid out in cells if, of the cells that change, more than this share show what was seen before.
KNOWN = 0.5


def shows_known_cells(clips: Clips, cell: tuple[int, int]) -> bool:
    """Whether cells that change mostly show what cells have shown before, anywhere and at any time.

    Then there are few kinds of cells, and rules between neighbours say how they change: a field of cells is the right
    state. Where things move gradually, nearly every frame shows new cells, and a rigid thing lies in many of them at
    once: one network for the whole frame is the right state.

    Args:
        clips: the recording; cells of the later half are looked for in the earlier half.
        cell: (h, w) in pixels.

    Returns:
        True also where nothing changes; False where frames do not divide into such cells.
    """
    height, width = clips.frames.shape[2:]
    if height % cell[0] or width % cell[1]:
        return False
    source = clips.source[:: max(1, len(clips.source) // SAMPLE)]
    cut = _cut(clips.frames[source + 1], cell)
    changed = (cut != _cut(clips.frames[source], cell)).any(2)
    half = len(source) // 2
    known = {bytes(shown) for shown in cut[:half].flatten(0, 1).numpy()}
    later = cut[half:][changed[half:]].numpy()
    return not len(later) or sum(bytes(shown) in known for shown in later) > KNOWN * len(later)


def _cut(frames: Tensor, cell: tuple[int, int]) -> Tensor:
    """(F, C, H, W) → (F, cells, pixels of a cell), uint8."""
    cut = frames.unflatten(3, (-1, cell[1])).unflatten(2, (-1, cell[0]))
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(2).contiguous()


def needs_everywhere(clips: Clips) -> bool:
    """Whether transitions in which nothing changes pay or end differently.

    Then rewards and endings cannot be read off the cells that change alone.

    Args:
        clips: labelled.
    """
    source = clips.source[:: max(1, len(clips.source) // SAMPLE)]
    chosen = torch.arange(len(clips.source))[:: max(1, len(clips.source) // SAMPLE)]
    still = (clips.frames[source] == clips.frames[source + 1]).flatten(1).all(1)
    rewards, ends = clips.rewards[chosen][still], clips.terminations[chosen][still]
    return bool(still.any()) and (len(rewards.unique()) > 1 or len(ends.unique()) > 1)
