"""Frames made strange, of whatever environment they are: what a dream has to doubt."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from nova_gym.data import Clips
from nova_gym.data.clips import to_unit

#: How frames are made strange.
KINDS = ("noise", "shifted", "recoloured", "patched")


def strange(kind: str | None, count: int, clips: Clips, generator: Generator) -> Callable[[Tensor], Tensor]:
    """Makes frames strange, the frames of one clip always in the same way.

    Args:
        kind: `noise` of any strength; `shifted` by some pixels, what leaves the frame comes in on the other side;
            `recoloured`, channels mixed, or lighter or darker where there is one; `patched` with a part of another
            frame, or of one colour; None for frames as they are.
        count: number of clips, N.
        clips: frames to take patches from.
        generator: of everything random.

    Returns:
        A function of frames (n, C, H, W) float32 in [0, 1] of the first n clips.
    """
    if kind is None:
        return lambda frames: frames
    uniform = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    channels, height, width = clips.frames.shape[1:]
    strength = uniform(count, 1, 1, 1)
    if kind == "noise":
        noise = torch.randn(count, channels, height, width, generator=generator) * strength.square()
        return lambda frames: (frames + noise[: len(frames)]).clamp(0.0, 1.0)
    if kind == "shifted":
        by = [(int(a * height), int(b * width)) for a, b in uniform(count, 2).tolist()]
        return lambda frames: torch.stack([frame.roll(s, (1, 2)) for frame, s in zip(frames, by, strict=False)])
    if kind == "recoloured":
        mix = torch.eye(channels) * (1 - strength[:, 0]) + strength[:, 0] * uniform(count, channels, channels)
        offset = 0.3 * strength * (uniform(count, channels, 1, 1) - 0.5)
        mixed = lambda frames: torch.einsum("ncd,ndhw->nchw", mix[: len(frames)], frames)  # noqa: E731
        return lambda frames: (mixed(frames) + offset[: len(frames)]).clamp(0.0, 1.0)
    others = to_unit(clips.frames[torch.randint(len(clips.frames), (count,), generator=generator)])
    plain = uniform(count, channels, 1, 1).expand_as(others)
    others = torch.where(uniform(count, 1, 1, 1) < 0.5, others, plain)
    covered = torch.zeros(count, 1, height, width, dtype=torch.bool)
    for i, (top, left, high, wide) in enumerate(uniform(count, 4).tolist()):
        rows = slice(int(top * height), int(top * height) + max(1, int(high * height / 2)))
        covered[i, :, rows, int(left * width) : int(left * width) + max(1, int(wide * width / 2))] = True
    return lambda frames: torch.where(covered[: len(frames)], others[: len(frames)], frames)
