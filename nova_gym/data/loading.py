"""Reading clips from any kind of source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from nova_gym.data.clips import Clips, unlabelled_clips
from nova_gym.data.datasets import load_dataset
from nova_gym.data.moving_digits import moving_digits
from nova_gym.data.videos import load_videos
from nova_gym.errors import BadInputError

#: Name of the source of moving digits, which are made instead of read.
DIGITS = "digits"
#: Number of clips of moving digits. With as few as Moving MNIST trains on, 8,000, the control model memorises them.
DIGITS_CLIPS = 32_000


def load_clips(
    source: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    labels: bool = True,
    size: int | None = None,
) -> Clips:
    """Reads clips of video files or of a Minari dataset, or makes clips of moving digits.

    Args:
        source: path of a video or of a folder of videos (`load_videos`), `digits` for 32,000 clips of moving digits, or
            id of a Minari dataset, or `ID#KEY` (`load_dataset`).
        progress: called with the number of episodes or files read and their total.
        labels: whether to read the actions, rewards and terminations of a dataset.
        size: width in pixels that videos are scaled to, None for their own.

    Raises:
        BadInputError: the source is none of these, or cannot be used.
    """
    if Path(source).exists():
        return load_videos(Path(source), size, progress)
    if size is not None:
        raise BadInputError(f"only videos are scaled, not {source!r}: leave out --size")
    if source != DIGITS:
        return load_dataset(source, labels, progress)
    frames = torch.from_numpy(moving_digits(DIGITS_CLIPS, seed=0))
    lengths = torch.full((len(frames),), frames.shape[1] - 1)
    metadata = {"kind": "moving digits of scikit-learn's handwritten ones, for training", "seed": 0}
    return unlabelled_clips(frames.flatten(0, 1)[:, None], lengths, metadata)


def first_clips(source: str, count: int, length: int) -> Tensor:
    """The first clips of a source that are long enough, without making or keeping all others where it can.

    Args:
        source: as in `load_clips`.
        count: how many clips at most.
        length: frames of each.

    Returns:
        (n, length, C, H, W) uint8, n from 0 to `count`.

    Raises:
        BadInputError: as in `load_clips`.
    """
    if source == DIGITS and not Path(source).exists():
        return torch.from_numpy(moving_digits(count, seed=0, test=True, length=length))[:, :, None]
    clips = load_clips(source, labels=False)
    begins = torch.cat([torch.zeros(1, dtype=torch.int64), (clips.lengths + 1).cumsum(0)])[:-1]
    found = [clips.frames[first : first + length] for first in begins[clips.lengths >= length - 1][:count].tolist()]
    return torch.stack(found) if found else clips.frames[:0, None].expand(0, length, *clips.frames.shape[1:])
