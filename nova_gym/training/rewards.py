"""What rewards are predicted as: one of few values, or bins that a reward may lie between."""

from __future__ import annotations

import torch
from torch import Tensor

from nova_gym.data import Clips

#: A reward that takes at most this many values is predicted as one of them; of other rewards so many bins are made.
FEW, BINS = 16, 41
#: Rewards are compared to so many decimals of their largest.
DECIMALS = 1e-4


def reward_values(clips: Clips) -> tuple[tuple[float, ...], bool]:
    """The values that the reward takes if they are few, else centres of bins; and whether they are bins.

    Bins are dense around 0 and sparse far away: evenly spaced in `symlog(r / s)` (arXiv 2301.04104), where s is the
    median size of rewards that are not 0. So rewards of any scale train alike.

    Args:
        clips: labelled.
    """
    rewards = clips.rewards.double()
    size = float(rewards.abs().max()) or 1.0
    values, which = torch.unique((rewards / (size * DECIMALS)).round(), return_inverse=True)
    if len(values) <= FEW:
        sums = torch.zeros(len(values), dtype=torch.float64).index_add_(0, which, rewards)
        means = sums / torch.bincount(which)
        return tuple(means.tolist()), False
    scale = float(rewards[rewards != 0].abs().median())
    ends = [_symlog(rewards.min() / scale), _symlog(rewards.max() / scale)]
    places = torch.linspace(float(ends[0]), float(ends[1]), BINS, dtype=torch.float64)
    centres = places.sign() * places.abs().expm1() * scale
    return tuple(centres.tolist()), True


def _symlog(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p()
