"""Recorded clips as tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import minari
import numpy as np
import torch
from torch import Generator, Tensor

from nova_gym.errors import BadInputError

#: A reward that takes at most so many values is predicted as one of them.
_FEW_REWARDS = 16


@dataclass(frozen=True)
class Clips:
    """All clips of a recording, one after the other.

    F frames, T transitions, E clips; F = T + E, since a clip of n transitions has n + 1 frames.

    Attributes:
        frames: (F, C, H, W) uint8.
        actions: (T,) int64 for discrete actions, else (T, N) float32.
        rewards: (T,) float32, undiscounted.
        terminations: (T,) bool.
        lengths: (E,) int64 transitions in each clip.
        starts: E names, one a clip, of where it starts: `official`, where the environment itself starts, `random`,
            anywhere else, `clips`, where a video without labels begins. "" where the start was chosen for what follows
            it, which makes it no fair sample of anything.
        source: (T,) int64, the frame that a transition starts from; the one after it is where it ends.
        remaining: (T,) int64, transitions left in the clip, this one counted.
        metadata: what `nova-gym record` wrote about the recording.
        action_count: n of `Discrete(n)` or the length of a flat `Box`; 0 for video without labels, where actions are
            (T, 0), rewards 0 and terminations False.
        weights: (T,) float32, how often a transition is drawn in fine-tuning, relative to others; None: all alike.
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
        """(T,) int64, transitions that came before in the clip."""
        return torch.repeat_interleave(self.lengths, self.lengths) - self.remaining

    def draw(self, count: int, generator: Generator) -> Tensor:
        """(count,) int64 transitions, by weight."""
        if self.weights is None:
            return torch.randint(len(self.source), (count,), generator=generator)
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def elsewhere(self, transitions: Tensor, frames: Tensor, share: float, generator: Generator) -> Tensor:
        """(n,) int64 transitions and a frame for each → those frames, but a share of them (0 to 1) any of its clip."""
        away = torch.rand(len(transitions), generator=generator) < share
        position = self.position[transitions]
        count = position + self.remaining[transitions] + 1
        chosen = (torch.rand(len(transitions), generator=generator, dtype=torch.float64) * count).long()
        return torch.where(away, self.source[transitions] - position + chosen, frames)

    def reward_values(self) -> tuple[float, ...]:
        """The values that the reward takes, if they are few, else nothing."""
        values = torch.unique((self.rewards * 1e4).round() / 1e4)
        return tuple(values.tolist()) if len(values) <= _FEW_REWARDS else ()


def join_clips(parts: list[Clips], shares: list[float]) -> Clips:
    """Several recordings of one environment as one, for stages that work on states: without the frames.

    Args:
        parts: at least one; the metadata is that of the first.
        shares: how much of the drawing each part gets.

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
        weights=torch.cat(
            [torch.full((len(p.source),), share / len(p.source)) for p, share in zip(parts, shares, strict=True)]
        ),
    )


def load_dataset(
    dataset_id: str, labels: bool = True, progress: Callable[[int, int], None] = lambda done, total: None
) -> Clips:
    """Reads a Minari dataset of frames, such as `nova-gym record` writes.

    Args:
        dataset_id: its Minari id, found below Minari's own folder (`MINARI_DATASETS_PATH`).
        labels: whether to read actions, rewards and terminations.
        progress: called with the number of episodes read and their total.

    Raises:
        BadInputError: there is no such dataset, its observations are not frames, or its actions are none that a dream
            can have.
    """
    try:
        dataset = minari.load_dataset(dataset_id)
    except (FileNotFoundError, ValueError) as error:
        known = ", ".join(minari.list_local_datasets()) or "none yet"
        raise BadInputError(
            f"no dataset {dataset_id!r} on this machine (there are: {known}); `nova-gym record` makes one"
        ) from error
    shape = dataset.observation_space.shape or ()  # None for composite spaces
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise BadInputError(
            f"{dataset_id!r} holds {dataset.observation_space}, not frames (H, W, 3 or 1); `nova-gym record` makes some"
        )
    if dataset.observation_space.dtype != np.uint8:
        raise BadInputError(f"{dataset_id!r} holds frames of {dataset.observation_space.dtype}; they must be uint8")
    metadata = json.loads(dataset.storage.metadata.get("nova_gym", "{}"))
    discount, horizon = metadata.get("reward_discount", 0.0), metadata.get("horizon", 0)
    total = dataset.total_steps + dataset.total_episodes
    frames = torch.empty((total, shape[2], *shape[:2]), dtype=torch.uint8)
    actions, rewards, terminations, lengths, filled = [], [], [], [], 0
    for index, episode in enumerate(dataset.iterate_episodes()):
        count = len(episode.rewards)
        frames[filled : filled + count + 1] = torch.from_numpy(episode.observations).permute(0, 3, 1, 2)
        filled += count + 1
        lengths.append(count)
        actions.append(episode.actions)
        terminations.append(episode.terminations)
        steps = np.arange(1, count + 1)
        rewards.append(episode.rewards / (1.0 - discount * steps / horizon) if discount else episode.rewards)
        progress(index + 1, dataset.total_episodes)
    starts = tuple(
        (meta.get("options") or {}).get("starts", "official")
        for meta in dataset.storage.get_episode_metadata(range(dataset.total_episodes))
    )
    unlabelled = unlabelled_clips(frames, torch.tensor(lengths), metadata, starts)
    if not labels:
        return unlabelled
    space = dataset.action_space
    discrete = hasattr(space, "n") and space.shape == () and space.start == 0
    flat = hasattr(space, "low") and len(space.shape) == 1 and space.is_bounded()
    if not (discrete or flat):
        raise BadInputError(
            f"{dataset_id!r} has actions {space}; supported are Discrete from 0 and bounded one-dimensional Box, and "
            "--no-actions does without any"
        )
    bounds = [space.low.tolist(), space.high.tolist()] if flat else []
    return replace(
        unlabelled,
        metadata={"action_bounds": bounds, **metadata},
        actions=torch.from_numpy(np.concatenate(actions)).to(torch.int64 if discrete else torch.float32),
        rewards=torch.from_numpy(np.concatenate(rewards)).float(),
        terminations=torch.from_numpy(np.concatenate(terminations)).bool(),
        action_count=int(space.n if discrete else space.shape[0]),
    )


def unlabelled_clips(
    frames: Tensor, lengths: Tensor, metadata: dict[str, Any], starts: tuple[str, ...] | None = None
) -> Clips:
    """Video without actions, rewards or endings.

    Args:
        frames: (F, C, H, W) uint8, of all clips, one after the other.
        lengths: (E,) int64 transitions in each clip, one fewer than its frames.
        metadata: what is known about the clips.
        starts: E names of the clips' beginnings, None for `clips`.
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
    """(…) uint8 → float32 in [0, 1]."""
    return frames.to(torch.float32).mul_(1.0 / 255.0)
