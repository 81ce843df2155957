"""What a step of a random walk brings, so that something better than usual shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: What is better than usual lies so many standard deviations above the mean. A single kind of event does so where it
#: comes in at most one step of 25.
STANDS_OUT = 5.0
#: Differences below this share of the largest reward are errors of the dream.
NOTHING = 0.01
#: Returns within these sizes are learned as they are; others are scaled.
PLAIN = (0.1, 1.5)


@dataclass(frozen=True)
class Usual:
    """What steps bring.

    The worth of a step is its reward. An ending is also worth what it saves: the mean reward of so many steps as a walk
    has, which is much where each step costs something, and less than nothing where each step pays.

    Attributes:
        reward: mean of all steps.
        ahead: steps that an ending saves.
        least: a step of more worth than this is better than usual.
        sparse: whether at least half of the steps pay nothing.
        stands_out: whether some step was better than usual.
        largest: the largest absolute return of a walk.
        rewards: (T, N) float32, of all steps.
        ended: (T, N) bool, where walks ended.
    """

    reward: float
    ahead: int
    least: float
    sparse: bool
    stands_out: bool
    largest: float
    rewards: np.ndarray
    ended: np.ndarray

    @classmethod
    def of(cls, rewards: np.ndarray, terminated: np.ndarray, ended: np.ndarray, ahead: int) -> Usual:
        """From the steps of N walkers.

        Args:
            rewards: (T, N) float32.
            terminated: (T, N) bool, where the environment ended the episode.
            ended: (T, N) bool, where the walk ended, for whatever reason.
            ahead: steps of a walk.
        """
        mean, scale = float(rewards.mean()), float(np.abs(rewards).max())
        worth = rewards - terminated * mean * ahead
        spread = max(STANDS_OUT * float(worth.std()), NOTHING * scale)
        returns, totals = np.zeros(rewards.shape[1]), [0.0]
        for paid, over in zip(rewards, ended, strict=True):
            returns += paid
            totals.append(float(np.abs(returns).max()))
            returns[over] = 0.0
        sparse = float(np.abs(np.median(rewards))) <= NOTHING * scale
        least = float(worth.mean()) + spread
        return cls(mean, ahead, least, sparse, bool((worth > least).any()), max(totals), rewards, ended)

    def better(self, rewards: np.ndarray, terminated: np.ndarray) -> np.ndarray:
        """Whether steps are better than usual, from their rewards and whether they ended the episode."""
        return rewards - terminated * self.reward * self.ahead > self.least

    def spread(self, gamma: float) -> tuple[float, float]:
        """Mean and variance of discounted returns, as SB3's `VecNormalize` has them."""
        returns, seen = np.zeros(self.rewards.shape[1]), []
        for paid, over in zip(self.rewards, self.ended, strict=True):
            returns = returns * gamma + paid
            seen.append(returns.copy())
            returns[over] = 0.0
        return float(np.mean(seen)), float(np.var(seen))

    def scales(self, values: tuple[float, ...] = ()) -> bool:
        """Whether rewards are to be scaled for learning, because returns are not about 1.

        Args:
            values: that rewards can take, as far as known; walks may not have met the rare ones.
        """
        largest = max([self.largest, *(abs(value) for value in values)])
        return largest > 0 and not PLAIN[0] <= largest <= PLAIN[1]
