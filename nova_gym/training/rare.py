"""Drawing rare events more often: rewards and endings that a recording shows seldom decide what an agent learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nova_gym.data import Clips
from nova_gym.data.ambiguity import frame_ids

#: Transitions of a rare kind are raised to this share of what is drawn, by no more than so many times.
SHARE, MOST = 0.05, 50.0
#: States are one where all their numbers round to the same multiples of this, since equal frames are encoded equally up
#: to rounding. States have mean square 1.
ALIKE_STATES = 1e-2
#: Rewards are of one kind within this share of their range.
ALIKE = 0.1


def favour_rare(clips: Clips, before: int = 0) -> Clips:
    """The same clips, of which transitions with rare rewards or endings are drawn more often.

    Args:
        clips: labelled.
        before: the same holds for so many transitions before them in their clip, for rollouts that begin there.
    """
    weights = torch.ones(len(clips.source)) if clips.weights is None else clips.weights
    kinds, count = _kinds(clips)
    favour = (SHARE * len(kinds) / count[kinds]).clamp(1.0, MOST)
    favoured = favour.clone()
    for back in range(1, before + 1):
        inside = clips.remaining[:-back] > back
        favoured[:-back] = torch.where(inside, torch.maximum(favoured[:-back], favour[back:]), favoured[:-back])
    if bool((favoured == 1.0).all()):
        return clips
    return replace(clips, weights=weights * favoured)


def even_out(clips: Clips, states: Tensor) -> Clips:
    """The same clips, of which transitions from rare situations are drawn more often, up to `MOST` times.

    A situation is a state and an action; how likely each outcome is in one stays as it is.

    Args:
        clips: labelled.
        states: (F, K, rows, cols) float32 of all their frames.
    """
    shown = [frame_ids((part / ALIKE_STATES).round().int().numpy()) for part in states.split(1024)]
    frames = np.concatenate(shown)[clips.source.numpy()]
    actions = frame_ids(clips.actions.numpy().reshape(len(frames), -1))
    _, situation, counts = np.unique(np.stack([frames, actions]), axis=1, return_inverse=True, return_counts=True)
    if counts.max() == counts.min():
        return clips
    weights = torch.ones(len(frames)) if clips.weights is None else clips.weights
    rarity = torch.from_numpy(counts.max() / counts[situation.ravel()]).float()
    return replace(clips, weights=weights * rarity.clamp(max=MOST))


def _kinds(clips: Clips) -> tuple[Tensor, Tensor]:
    """(T,) int64 kind of each transition by its reward and ending; how many there are of each."""
    spread = float(clips.rewards.max() - clips.rewards.min()) if len(clips.rewards) else 0.0
    level = (clips.rewards / (ALIKE * spread)).round() if spread else torch.zeros_like(clips.rewards)
    pairs = torch.stack([level, clips.terminations.float()], 1)
    _, kinds, count = pairs.unique(dim=0, return_inverse=True, return_counts=True)
    return kinds, count
