"""Reading clips from any kind of source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from nova_gym.data import fields, phyworld, videos
from nova_gym.data.clips import Clips, unlabelled_clips
from nova_gym.data.datasets import load_dataset
from nova_gym.data.moving_digits import moving_digits
from nova_gym.errors import BadInputError

#: Names of the sources that are made instead of read.
DIGITS, PHYWORLD = "digits", "phyworld"
#: Number of clips of moving digits. With as few as Moving MNIST trains on, 8,000, the control model memorises them.
DIGITS_CLIPS = 32_000
#: Number of scenes of PhyWorld; their frames take up 0.9 GB.
PHYWORLD_CLIPS = 600

_KINDS = {"video": (*videos.VIDEOS, *videos.ARRAYS), "PhyWorld": phyworld.FILES, "fields": fields.FILES + fields.STORES}


def load_clips(
    source: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    labels: bool = True,
    size: int | None = None,
) -> Clips:
    """Reads clips of files or of a Minari dataset, or makes them.

    Args:
        source: path of a file, or of a folder of files of one kind: video (`load_videos`), fields in NetCDF or Zarr,
            whose variable is named as `PATH#NAME` (`load_fields`), or public files of PhyWorld (`load_phyworld`).
            Or `digits` for 32,000 clips of moving digits; `phyworld` for 600 scenes by the rules of PhyWorld; or id of
            a Minari dataset, or `ID#KEY` (`load_dataset`).
        progress: called with the number of episodes or files read and their total.
        labels: whether to read the actions, rewards and terminations of a dataset.
        size: width in pixels that videos are scaled to, None for their own.

    Raises:
        BadInputError: the source is none of these, or cannot be used.
    """
    path, _, variable = source.partition("#") if not Path(source).exists() else (source, "", "")
    kind, files = _files(Path(path)) if Path(path).exists() else ("", [])
    if size is not None and kind != "video":
        raise BadInputError(f"only videos are scaled, not {source!r}: leave out --size")
    if variable and kind in ("video", "PhyWorld"):
        raise BadInputError(f"{path} holds {kind}, without variables: leave out #{variable}")
    if kind == "video":
        return videos.load_videos(Path(path), size, progress)
    if kind == "fields":
        return fields.load_fields(files, variable or None, progress)
    if kind == "PhyWorld":
        return phyworld.load_phyworld(files, progress)
    if source == PHYWORLD:
        return phyworld.scene_clips(PHYWORLD_CLIPS, seed=0)
    if source == DIGITS:
        return _digits()
    return load_dataset(source, labels, progress)


def _files(path: Path) -> tuple[str, list[Path]]:
    """The kind of the files at a path, and all of them; a folder without any counts as one of video.

    Raises:
        BadInputError: a folder holds files of several kinds.
    """
    single = path.is_file() or path.suffix in fields.STORES
    files = [path] if single else sorted(path.iterdir())
    found = {kind: [f for f in files if f.suffix.lower() in suffixes] for kind, suffixes in _KINDS.items()}
    there = {kind: of_kind for kind, of_kind in found.items() if of_kind}
    if len(there) > 1:
        named = ", ".join(f"{of_kind[0].name} ({kind})" for kind, of_kind in there.items())
        raise BadInputError(f"{path} holds files of several kinds: {named}; put one kind into a folder of its own")
    return next(iter(there.items()), ("video", []))


def _digits() -> Clips:
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
