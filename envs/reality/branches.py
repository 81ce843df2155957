"""Where random play came, so that more of it begins there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from nova_gym.data.ambiguity import frame_ids
from nova_gym.envs.reality.environments import resized

#: Branches that are kept.
BRANCHES = 32
#: Branches that are tried before a clip begins at a new start.
ATTEMPTS = 8
#: A branch that is longer is not followed further: so much play is repeated for each clip, without pictures.
LONGEST = 240
#: Frames count as alike if they are so in a picture of at most so many pixels a side, in so many shades
#: (Go-Explore, arXiv 1901.10995, has 11 × 8 pixels in 8 shades).
SIDE, SHADES = 12, 8


@dataclass(frozen=True)
class Branch:
    """A beginning of an episode that can be played again: it is given by seeds and actions.

    Attributes:
        played: seeds, each with the actions that were taken after it. The first seed is of the reset, the others of the
            environment's own generator.
        shown: id of what its last frame shows, roughly.
    """

    played: tuple[tuple[int, tuple[Any, ...]], ...] = ()
    shown: int = 0

    def __len__(self) -> int:
        """Steps that it takes."""
        return sum(len(actions) for _, actions in self.played)

    def play(self, env: gym.Env) -> tuple[Any, bool]:
        """Plays it: the last observation, and whether the episode ended on the way, which spoils it."""
        for part, (seed, actions) in enumerate(self.played):
            if part == 0:
                observation, _ = env.reset(seed=seed)
            else:
                env.unwrapped.np_random = np.random.default_rng(seed)
            for action in actions:
                observation, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    return observation, True
        return observation, False


class Branches:
    """Beginnings of episodes that random play has survived, from which clips go on.

    Random play soon ends most episodes, or stays near where they begin, so its recording knows little of what a good
    agent meets. Of those who walk on at random, the ones that came to an end, or where many have been, are replaced by
    copies of others, more likely of those who came where few have been (Go-Explore, arXiv 1901.10995). What is recorded
    from there is random play all the same: no policy that knows more than the frames show has chosen the actions. From
    such a policy's actions a dream with memory would learn to read what they tell, instead of what they do.

    Args:
        rng: draws branches.
        longest: steps of a branch at most, so that a clip begins before a time limit ends it.
    """

    def __init__(self, rng: np.random.Generator, longest: int = LONGEST) -> None:
        self._rng, self._longest = rng, min(LONGEST, longest)
        self._living: list[Branch] = []
        self._seen: Counter[int] = Counter()
        self._lengths: list[int] = []
        self._now, self._seed = Branch(), 0
        self._actions: list[Any] = []
        self._shown: list[int] = []

    def enter(self, env: gym.Env, seed: int, observation: Any, act: Callable[[], Any]) -> tuple[int, Any]:
        """Brings an environment beyond one of the branches, or leaves it at a new start while there are few.

        A few more actions follow the branch, so that copies of it part before a clip begins.

        Args:
            env: just reset.
            seed: of the reset.
            observation: what the environment observed after it.
            act: gives a random action.

        Returns:
            A seed and what the environment observes now.
        """
        self._now, self._actions, self._shown = Branch(), [], []
        for _ in range(ATTEMPTS if len(self._living) >= BRANCHES else 0):
            at, parting = int(self._rng.integers(len(self._living))), int(self._rng.integers(1, self._grown + 1))
            branch = self._living[at]
            branch = Branch((*branch.played, (self._drawn(), tuple(act() for _ in range(parting)))), branch.shown)
            now, ended = branch.play(env)
            if not ended:
                del self._living[at]  # `leave` fills its place
                self._now, seed, observation = branch, self._drawn(), now
                env.unwrapped.np_random = np.random.default_rng(seed)
                break
        else:
            observation, _ = env.reset(seed=seed)
        self._seed = seed
        return seed, observation

    @property
    def _grown(self) -> int:
        """Steps that half of all clips survive."""
        return max(1, int(np.median(self._lengths)))

    def _drawn(self) -> int:
        """A seed."""
        return int(self._rng.integers(2**31))

    @property
    def before(self) -> int:
        """Steps of the episode before the present clip."""
        return len(self._now)

    def follow(self, action: Any, frame: np.ndarray) -> None:
        """Notes a step of the present clip, and the frame (H, W, C) uint8 after it."""
        self._actions.append(action)
        self._shown.append(_roughly(frame))

    def leave(self, ended: bool) -> None:
        """Notes that the present clip is over.

        Its branch grows by the clip's beginning, of a length that half of all clips survive.

        Args:
            ended: whether the episode is over.
        """
        self._lengths.append(len(self._actions))
        grown = self._grown
        alive = grown < len(self._actions) or (grown == len(self._actions) and not ended)
        branch = None
        if alive and len(self._now) + grown <= self._longest:
            shown = self._shown[grown - 1]
            self._seen[shown] += 1
            branch = Branch((*self._now.played, (self._seed, tuple(self._actions[:grown]))), shown)
            if self._rng.random() > self._worth(branch):
                branch = None
        if branch is None and self._living:
            seen = np.array([self._seen[each.shown] for each in self._living])
            worth = np.sqrt(seen.min() / seen)  # `_worth` of each
            branch = self._living[int(self._rng.choice(len(worth), p=worth / worth.sum()))]
        if branch is not None:
            self._living.append(branch)

    def _worth(self, branch: Branch) -> float:
        """(0, 1], the less the more often has been seen what it shows."""
        least = min(self._seen[each.shown] for each in (branch, *self._living))
        return float(np.sqrt(least / self._seen[branch.shown]))


def _roughly(frame: np.ndarray) -> int:
    """An id of what a frame shows, alike for frames that look alike from afar."""
    height, width = (min(SIDE, side) for side in frame.shape[:2])
    small = resized(frame, height, width).astype(np.int64) * SHADES // 256
    return int(frame_ids(small[None])[0])
