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

#: So many clips must have been survived before others begin where they came, and so many branches are kept.
FEW, BRANCHES = 32, 4096
#: Branches that are tried before a clip begins at a new start.
ATTEMPTS = 8
#: A branch that is longer is not followed further: so much play is repeated for each clip, without pictures.
LONGEST = 240
#: Frames count as alike if they are so in a picture of at most so many pixels a side, in so many shades: in the
#: smallest picture in which at least such a share of what branches showed was new, or else in the largest.
SIDES, SHADES, NEW = (6, 12, 24, 48), 8, 1 / 8


@dataclass(frozen=True)
class Branch:
    """A beginning of an episode that can be played again: it is given by seeds and actions.

    Attributes:
        played: seeds, each with the actions that were taken after it. The first seed is of the reset, the others of the
            environment's own generator.
        shown: ids of what its last frame shows, in a picture of each of `SIDES`.
    """

    played: tuple[tuple[int, tuple[Any, ...]], ...] = ()
    shown: tuple[int, ...] = ()

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
    agent meets. So of all that it came to one beginning is kept for each picture that looks different from afar, and
    those are chosen more often that were chosen seldom (Go-Explore, doi:10.1038/s41586-020-03157-9, whose pictures also
    become finer as they are too few). What is recorded from there is random play all the same: no policy that knows
    more than the frames show has chosen the actions. From such a policy's actions a dream with memory would learn to
    read what they tell, instead of what they do.

    Args:
        rng: draws branches.
        longest: steps of a branch at most, so that a clip begins before a time limit ends it.
    """

    def __init__(self, rng: np.random.Generator, longest: int = LONGEST) -> None:
        self._rng, self._longest = rng, min(LONGEST, longest)
        self._side = 0  # of `SIDES`
        self._known: dict[int, Branch] = {}
        self._chosen: Counter[int] = Counter()
        self._seen: tuple[set[int], ...] = tuple(set() for _ in SIDES)
        self._survived = 0
        self._lengths: list[int] = []
        self._now, self._seed = Branch(), 0
        self._actions: list[Any] = []
        self._frames: list[np.ndarray] = []

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
        self._now, self._actions, self._frames = Branch(), [], []
        for _ in range(ATTEMPTS if self._survived >= FEW else 0):
            branch, parting = self._choose(), int(self._rng.integers(1, self._grown + 1))
            branch = Branch((*branch.played, (self._drawn(), tuple(act() for _ in range(parting)))), branch.shown)
            now, ended = branch.play(env)
            if not ended:
                self._now, seed, observation = branch, self._drawn(), now
                env.unwrapped.np_random = np.random.default_rng(seed)
                break
        else:
            observation, _ = env.reset(seed=seed)
        self._seed = seed
        return seed, observation

    def _choose(self) -> Branch:
        """One of those that are known, more likely one that was seldom chosen."""
        shown = list(self._known)
        worth = 1.0 / np.sqrt(1.0 + np.array([self._chosen[each] for each in shown]))
        chosen = shown[int(self._rng.choice(len(shown), p=worth / worth.sum()))]
        self._chosen[chosen] += 1
        return self._known[chosen]

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
        self._frames.append(frame)

    def leave(self, ended: bool) -> None:
        """Notes that the present clip is over.

        Its branch grows by the clip's beginning, of a length that half of all clips survive.

        Args:
            ended: whether the episode is over.
        """
        self._lengths.append(len(self._actions))
        grown = self._grown
        alive = grown < len(self._actions) or (grown == len(self._actions) and not ended)
        if not alive or len(self._now) + grown > self._longest:
            return
        shown = _roughly(self._frames[grown - 1])
        self._survived += 1
        for seen, each in zip(self._seen, shown, strict=True):
            seen.add(each)
        while self._side + 1 < len(SIDES) and len(self._seen[self._side]) < NEW * self._survived:
            self._look_closer()
        self._known[shown[self._side]] = Branch((*self._now.played, (self._seed, tuple(self._actions[:grown]))), shown)
        if len(self._known) > BRANCHES:
            del self._known[max(self._known, key=self._chosen.__getitem__)]

    def _look_closer(self) -> None:
        """Takes a larger picture."""
        self._side += 1
        chosen, self._chosen = self._chosen, Counter()
        for before, branch in list(self._known.items()):
            del self._known[before]
            self._known[branch.shown[self._side]] = branch
            self._chosen[branch.shown[self._side]] = chosen[before]


def _roughly(frame: np.ndarray) -> tuple[int, ...]:
    """Ids of what a frame (H, W, C) uint8 shows, alike for frames that look alike from afar, by `SIDES`."""
    height, width = frame.shape[:2]
    small = (resized(frame, min(side, height), min(side, width)).astype(np.int64) * SHADES // 256 for side in SIDES)
    return tuple(int(frame_ids(each[None])[0]) for each in small)
