"""Recorded clips as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from nova_gym.errors import BadInputError


@dataclass(frozen=True)
class Clips:
    """All clips of a recording, one after the other, for training.

    F frames, T transitions, E clips; F = T + E, since a clip of n transitions has n + 1 frames.

    Attributes:
        frames: (F, C, H, W) uint8; large ones are mapped from a file. Float32 where values are real numbers, in [0, 1]
            by a scale that the metadata has (`nova_gym.data.fields.Scale`).
        actions: as a model sees them (`nova_gym.data.actions.ActionMap`): (T,) int64 or (T, N) float32.
        rewards: (T,) float32, undiscounted.
        terminations: (T,) bool.
        lengths: (E,) int64 transitions in each clip.
        starts: E names, one a clip, of its kind of start: `official` (where the environment itself starts), `random`
            (anywhere), `clips` (the beginning of a video without labels). "" marks a start that was chosen for what
            follows it; a dream does not offer it as a start.
        source: (T,) int64, the frame that a transition starts from; it ends at the next frame.
        remaining: (T,) int64, transitions left in the clip, this one included.
        metadata: what `nova-gym record` wrote about the recording.
        action_count: how many actions the model knows, or the length N of its vector; 0 for video without labels, where
            actions are (T, 0), rewards 0 and terminations False.
        weights: (T,) float32, how often a transition is drawn, relative to others; None draws all equally often.
    """

    frames: Tensor
    actions: Tensor
    rewards: Tensor
    terminations: Tensor
    lengths: Tensor
    starts: tuple[str, ...]
    source: Tensor
    remaining: Tensor
    metadata: dict[str, Any]
    action_count: int
    weights: Tensor | None = None

    @property
    def labelled(self) -> bool:
        """Whether actions, rewards and terminations were recorded."""
        return self.action_count > 0

    @property
    def discrete(self) -> bool:
        """Whether actions are discrete."""
        return not self.actions.is_floating_point()

    @property
    def first_frames(self) -> Tensor:
        """(E,) int64, the first frame of each clip."""
        return torch.cumsum(self.lengths + 1, 0) - (self.lengths + 1)

    @cached_property
    def position(self) -> Tensor:
        """(T,) int64, for each transition the number of those before it in its clip."""
        return torch.repeat_interleave(self.lengths, self.lengths) - self.remaining

    def part(self, chosen: Tensor) -> Clips:
        """Some of the clips, as a recording of their own.

        Args:
            chosen: (E,) bool, which.
        """
        if bool(chosen.all()):
            return self
        shown = torch.repeat_interleave(chosen, self.lengths + 1) if len(self.frames) else None
        made = torch.repeat_interleave(chosen, self.lengths)
        lengths = self.lengths[chosen]
        return replace(
            self,
            **{key: getattr(self, key)[made] for key in ("actions", "rewards", "terminations", "remaining")},
            frames=self.frames if shown is None else self.frames[shown],
            lengths=lengths,
            starts=tuple(name for name, kept in zip(self.starts, chosen.tolist(), strict=True) if kept),
            source=torch.arange(int(lengths.sum())) + torch.repeat_interleave(torch.arange(len(lengths)), lengths),
            weights=None if self.weights is None else self.weights[made],
        )

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Draws (count,) int64 transitions with replacement, in proportion to `weights`."""
        if self.weights is None:
            return torch.randint(len(self.source), (count,), generator=generator)
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def elsewhere(self, transitions: Tensor, frames: Tensor, share: float, generator: Generator) -> Tensor:
        """Replaces a share of frames by random frames of the same clips.

        Args:
            transitions: (n,) int64.
            frames: (n,) int64, a frame for each of the transitions.
            share: the probability that a frame is replaced, in [0, 1].
            generator: for the choice, on the CPU.

        Returns:
            (n,) int64 frames.
        """
        away = torch.rand(len(transitions), generator=generator) < share
        position = self.position[transitions]
        count = position + self.remaining[transitions] + 1
        chosen = (torch.rand(len(transitions), generator=generator, dtype=torch.float64) * count).long()
        return torch.where(away, self.source[transitions] - position + chosen, frames)


def join_clips(parts: list[Clips], shares: list[float]) -> Clips:
    """Joins recordings of one environment, for stages that work on states: the result has no frames.

    Args:
        parts: at least one; the metadata is that of the first.
        shares: for each part its share of the transitions that `Clips.draw` draws.

    Raises:
        BadInputError: frames or actions of the parts differ in kind.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.frames.shape[1:] != first.frames.shape[1:] or part.action_count != first.action_count:
            raise BadInputError(
                f"recordings of frames {tuple(first.frames.shape[1:])} with {first.action_count} actions and of frames "
                f"{tuple(part.frames.shape[1:])} with {part.action_count} cannot be joined"
            )
    offsets = [0, *np.cumsum([len(part.frames) for part in parts])]
    return Clips(
        **{
            key: torch.cat([getattr(part, key) for part in parts])
            for key in ("actions", "rewards", "terminations", "lengths", "remaining")
        },
        frames=first.frames[:0],
        starts=tuple(name for part in parts for name in part.starts),
        source=torch.cat([part.source + int(offset) for part, offset in zip(parts, offsets, strict=False)]),
        metadata=first.metadata,
        action_count=first.action_count,
        weights=torch.cat([_shared(part, share) for part, share in zip(parts, shares, strict=True)]),
    )


def _shared(part: Clips, share: float) -> Tensor:
    """(T,) the weights of a part, whose sum is its share; those that were 0 stay so."""
    drawn = torch.ones(len(part.source)) if part.weights is None else (part.weights > 0).float()
    return share * drawn / drawn.sum()


def unlabelled_clips(
    frames: Tensor, lengths: Tensor, metadata: dict[str, Any], starts: tuple[str, ...] | None = None
) -> Clips:
    """Clips of video, without actions, rewards and terminations.

    Args:
        frames: (F, C, H, W) uint8, or float32 in [0, 1], of all clips, one after the other.
        lengths: (E,) int64 transitions in each clip, one fewer than its frames.
        metadata: what is known about the clips.
        starts: E names, as in `Clips`; None names all of them `clips`.
    """
    clip = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    position = torch.arange(len(clip)) - (torch.cumsum(lengths, 0) - lengths)[clip]
    return Clips(
        frames=frames,
        actions=torch.zeros(len(clip), 0),
        rewards=torch.zeros(len(clip)),
        terminations=torch.zeros(len(clip), dtype=torch.bool),
        lengths=lengths,
        starts=("clips",) * len(lengths) if starts is None else starts,
        source=torch.arange(len(clip)) + clip,
        remaining=lengths[clip] - position,
        metadata=metadata,
        action_count=0,
    )


def to_unit(frames: Tensor) -> Tensor:
    """(…) uint8 → float32 in [0, 1]; frames of real numbers are that already."""
    if frames.is_floating_point():
        return frames
    return frames.to(torch.float32).mul_(1.0 / 255.0)
