"""Clips from video files, which come without labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nova_gym.data.clips import Clips, unlabelled_clips
from nova_gym.data.fields import Scale
from nova_gym.data.moving_digits import CANONICAL, CANONICAL_TRAINING, moving_digits
from nova_gym.errors import BadInputError

#: Suffixes of files that imageio reads as video, and of files of arrays.
VIDEOS, ARRAYS = (".mp4", ".gif", ".avi", ".mov", ".mkv", ".webm"), (".npz", ".npy")


def load_videos(
    source: Path, size: int | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> Clips:
    """Reads one file, or all files of a folder in the order of their names.

    A video file (MP4, GIF …) is one clip. An NPZ file holds an array `frames`: (T, H, W) or (T, H, W, C) for one clip,
    (N, T, H, W) or (N, T, H, W, C) for many, C = 1 or 3. It is uint8, or floating point for real numbers of any size;
    the metadata keeps their scale (`nova_gym.data.fields.Scale`). An NPY file holds uint8 in the layout of Moving
    MNIST, (T, N, H, W); of the canonical `mnist_test_seq.npy` the last 2,000 clips are left for tests.

    Args:
        source: path of the file or folder.
        size: width in pixels that frames are scaled to, heights in proportion; None leaves them as they are.
        progress: called with the number of files read and their total.

    Raises:
        BadInputError: there is no video, a file cannot be read, or clips differ in size.
    """
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.suffix.lower() in VIDEOS + ARRAYS)
    else:
        files = [source] if source.suffix.lower() in VIDEOS + ARRAYS else []
    if not files:
        raise BadInputError(f"no video at {source}; clips are read from files {', '.join(VIDEOS + ARRAYS)}")
    parts: list[Tensor] = []
    for file in files:
        parts.append(_read(file, size))
        progress(len(parts), len(files))
    sizes: dict[tuple[int, ...], str] = {}
    for file, part in zip(files, parts, strict=True):
        sizes.setdefault(tuple(part.shape[2:]), file.name)
    if len(sizes) > 1:
        named = ", ".join(f"{name} has {h}×{w}×{c}" for (c, h, w), name in sizes.items())
        raise BadInputError(f"clips differ in size (height×width×channels): {named}; --size scales all to one width")
    lengths = torch.cat([torch.full((len(part),), part.shape[1] - 1) for part in parts])
    if len({part.dtype for part in parts}) > 1:
        real = next(file.name for file, part in zip(files, parts, strict=True) if part.is_floating_point())
        raise BadInputError(f"some files hold real numbers, such as {real}, and some uint8: put one kind into a folder")
    frames = torch.cat([part.flatten(0, 1) for part in parts]) if len(parts) > 1 else parts[0].flatten(0, 1)
    metadata = {"kind": "video", "files": len(files)}
    if frames.is_floating_point():
        scale = Scale.around(frames.numpy())
        frames, metadata = torch.from_numpy(scale.to_frames(frames.numpy())), {**metadata, "scale": scale.to_dict()}
    return unlabelled_clips(frames, lengths, metadata)


def _read(file: Path, width: int | None) -> Tensor:
    """(N, T, C, H, W) uint8, N clips of one length, scaled.

    Raises:
        BadInputError: the file cannot be read, or its clips are shorter than 2 frames.
    """
    try:
        if file.suffix.lower() in VIDEOS:
            clips = torch.cat([_tensor(_colours(frame)[None, None], width) for frame in iio.imiter(file)], dim=1)
        elif file.suffix.lower() == ".npz":
            with np.load(file) as arrays:
                clips = _tensor(_layout(arrays["frames"]), width)
        else:
            clips = _tensor(_moving_mnist(file), width)
    except BadInputError as error:
        raise BadInputError(f"{file.name}: {error}") from error
    except Exception as error:  # each of imageio's plugins has errors of its own
        raise BadInputError(f"cannot read {file} as clips: {error}") from error
    if clips.shape[1] < 2:
        raise BadInputError(f"{file} holds 1 frame; a clip has at least 2")
    return clips


def _colours(frame: np.ndarray) -> np.ndarray:
    """A frame (H, W) or (H, W, C) without its transparency: (H, W, 1 or 3)."""
    frame = frame[..., None] if frame.ndim == 2 else frame
    return frame[..., : 3 if frame.shape[-1] >= 3 else 1]


def _layout(frames: np.ndarray) -> np.ndarray:
    """What an NPZ holds as (N, T, H, W, C)."""
    coloured = frames.shape[-1] in (1, 3)
    if frames.ndim == 3:
        return frames[None, ..., None]
    if frames.ndim == 4:
        return frames[None] if coloured else frames[..., None]
    if frames.ndim == 5 and coloured:
        return frames
    raise BadInputError(
        f"frames have shape {frames.shape}, not (T, H, W), (T, H, W, C), (N, T, H, W) or (N, T, H, W, C), C = 1 or 3"
    )


def _moving_mnist(file: Path) -> np.ndarray:
    """(N, T, H, W, 1) of a file (T, N, H, W)."""
    frames = np.load(file, mmap_mode="r")
    if frames.ndim != 4:
        raise BadInputError(f"the array has shape {frames.shape}, not (T, N, H, W), the layout of Moving MNIST")
    if frames.shape == CANONICAL:
        return moving_digits(CANONICAL_TRAINING, seed=0, source=file)[..., None]
    return np.ascontiguousarray(frames.swapaxes(0, 1))[..., None]


def _tensor(frames: np.ndarray, width: int | None) -> Tensor:
    """(N, T, H, W, C) uint8 or floating point → (N, T, C, H, W) uint8 or float64, scaled."""
    real = np.issubdtype(frames.dtype, np.floating)
    if not (real or frames.dtype == np.uint8) or 0 in frames.shape:
        raise BadInputError(
            f"{frames.dtype} frames of shape {frames.shape}; they must be uint8 or floating point, and not empty"
        )
    if real and (missing := int((~np.isfinite(frames)).sum())):
        raise BadInputError(f"{missing:,} of {frames.size:,} values are missing; fill them in first")
    frames = frames.astype(np.float64) if real else frames
    clips = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).contiguous()
    if width is None or width == clips.shape[-1]:
        return clips
    shape = (max(1, round(clips.shape[-2] * width / clips.shape[-1])), width)
    scaled = (F.interpolate(clip.float(), shape, mode="bilinear", antialias=True) for clip in clips)
    if real:
        return torch.stack(list(scaled)).double()
    return torch.stack([clip.round().clamp(0, 255).byte() for clip in scaled])
