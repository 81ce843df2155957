"""Drawing rare events more often: rewards and endings that a recording shows seldom decide what an agent learns."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nova_gym.data import Clips

#: Transitions of a rare kind are raised to this share of what is drawn, by no more than so many times.
SHARE, MOST = 0.05, 50.0
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


def _kinds(clips: Clips) -> tuple[Tensor, Tensor]:
    """(T,) int64 kind of each transition by its reward and ending; how many there are of each."""
    spread = float(clips.rewards.max() - clips.rewards.min()) if len(clips.rewards) else 0.0
    level = (clips.rewards / (ALIKE * spread)).round() if spread else torch.zeros_like(clips.rewards)
    pairs = torch.stack([level, clips.terminations.float()], 1)
    _, kinds, count = pairs.unique(dim=0, return_inverse=True, return_counts=True)
    return kinds, count
