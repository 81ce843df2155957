"""Where frames come back: which actions were tried at each, and the way to those that were tried least."""

from __future__ import annotations

import numpy as np

from nova_gym.data.ambiguity import frame_ids

#: The way is planned anew after so many steps, by so many sweeps over all that is known.
EVERY, SWEEPS = 20, 20
#: Discount of what is little known for each step that it is away.
AHEAD = 0.99
#: `Chart.familiar` is a mean over about so many steps.
RECENT = 1000
#: Where an episode has ended.
_ENDED = 0


class Chart:
    """Frames, the actions that were tried at them, and what followed.

    Random play seldom does what takes many steps in the right order, so recordings of it hardly show it. Where frames
    come back, what leads where is known, so an action that was seldom tried can be gone to: each try is worth the less
    the more there were (MBIE-EB, Strehl and Littman 2008, doi:10.1016/j.jcss.2007.08.009), and what was never tried is
    worth the most there can be (R-MAX). Frames are told apart by their pixels alone.

    Args:
        actions: how many there are.
        rng: draws among equals.

    Attributes:
        familiar: share of the last steps that led to a frame of an earlier clip.
    """

    def __init__(self, actions: int, rng: np.random.Generator) -> None:
        self._actions, self._rng = actions, rng
        self.familiar = 0.0
        self._numbers: dict[int, int] = {}
        self._clips = [0]  # in which each was first seen
        self._tries = np.zeros((1, actions), np.int64)
        self._following = np.zeros((1, actions))  # what comes after each, as planned
        self._drawn = np.zeros(actions, bool)
        self._edges: dict[tuple[int, int], int] = {}
        self._pairs: list[int] = []
        self._targets: list[int] = []
        self._times: list[int] = []
        self._starts: list[int] = []
        self._clip = self._now = self._planned = 0

    def begin(self, frame: np.ndarray) -> None:
        """Notes the first frame (H, W, C) uint8 of a clip."""
        self._clip += 1
        self._now = self._number(frame)
        self._starts.append(self._now)

    def choose(self) -> int:
        """An action to try at the present frame, of those that were tried anywhere."""
        if self._planned <= 0:
            self._plan()
        self._planned -= 1
        worth = self._worth(slice(self._now, self._now + 1))[0]
        return int(self._rng.choice(np.flatnonzero(worth == worth.max())))

    def note(self, action: int, frame: np.ndarray, ended: bool) -> None:
        """Notes an action, the frame (H, W, C) uint8 after it, and whether that ended the episode."""
        following = self._number(frame)
        self.familiar += ((self._clips[following] < self._clip) - self.familiar) / RECENT
        pair, target = self._now * self._actions + action, _ENDED if ended else following
        edge = self._edges.setdefault((pair, target), len(self._edges))
        if edge == len(self._pairs):
            self._pairs.append(pair)
            self._targets.append(target)
            self._times.append(0)
        self._times[edge] += 1
        self._tries[self._now, action] += 1
        self._drawn[action] = True
        self._now = following

    def _number(self, frame: np.ndarray) -> int:
        number = self._numbers.setdefault(int(frame_ids(frame[None])[0]), len(self._clips))
        if number == len(self._clips):
            self._clips.append(self._clip)
            if number >= len(self._tries):
                self._tries = np.concatenate([self._tries, np.zeros_like(self._tries)])
                self._following = np.concatenate([self._following, np.zeros_like(self._following)])
        return number

    def _plan(self) -> None:
        """Value iteration; it goes on from the last."""
        self._planned, known = EVERY, len(self._clips)
        pairs, targets, times = (np.array(each, np.int64) for each in (self._pairs, self._targets, self._times))
        for _ in range(SWEEPS):
            values = self._worth(slice(known)).max(1)
            values[_ENDED] = values[self._starts].mean()
            sums = np.bincount(pairs, times * values[targets], known * self._actions).reshape(known, -1)
            self._following[:known] = sums / np.maximum(self._tries[:known], 1)

    def _worth(self, frames: slice) -> np.ndarray:
        """What each action is worth at frames, (n, actions); nothing where it was never drawn at any."""
        tries = self._tries[frames]
        tried = 1.0 / np.sqrt(tries + 1.0) + AHEAD * self._following[frames]
        return np.where(self._drawn, np.where(tries, tried, 1.0 / (1.0 - AHEAD)), -np.inf)
