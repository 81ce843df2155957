"""Where frames or states come back: which actions were tried at each, and the way to those that were tried least."""

from __future__ import annotations

import numpy as np

from nova_gym.data.ambiguity import frame_ids

#: Sweeps of value iteration in a plan, which goes on from the one before.
SWEEPS = 20
#: Discount of what is little known for each step that it is away.
AHEAD = 0.99
#: `Chart.familiar` is a mean over about so many steps.
RECENT = 1000
#: The place where an episode has ended.
_ENDED = 0


class Chart:
    """Places, the actions that were tried at them, and what followed.

    Random play seldom does what takes many steps in the right order, so it hardly shows it. Where the same places come
    back, what leads where is known, so an action that was seldom tried can be gone to: each try is worth the less the
    more there were (MBIE-EB, Strehl and Littman 2008, doi:10.1016/j.jcss.2007.08.009), and what was never tried is
    worth the most there can be (R-MAX). Places are told apart by all bytes of a frame or a state.

    Args:
        actions: how many there are.
        rng: draws among equals.

    Attributes:
        familiar: share of the last steps that led to a place of an earlier walk.
    """

    def __init__(self, actions: int, rng: np.random.Generator) -> None:
        self._actions, self._rng = actions, rng
        self.familiar = 0.0
        self._numbers: dict[int, int] = {}
        self._walks = [-1]  # in which each place was first seen
        self._tries = np.zeros((1, actions), np.int64)
        self._following = np.zeros((1, actions))  # what comes after each, as planned
        self._drawn = np.zeros(actions, bool)
        self._edges: dict[tuple[int, int], int] = {}
        self._pairs: list[int] = []
        self._targets: list[int] = []
        self._times: list[int] = []
        self._starts: list[int] = []

    def begin(self, shown: np.ndarray, walk: int) -> int:
        """The place where a walk begins, from the frame or state that shows it; walks have numbers from 0."""
        self._starts.append(self._place(shown, walk))
        return self._starts[-1]

    def choose(self, place: int) -> int:
        """An action to try at a place, of those that were tried anywhere; `plan` has looked ahead."""
        worth = self._worth(slice(place, place + 1))[0]
        return int(self._rng.choice(np.flatnonzero(worth == worth.max())))

    def note(self, place: int, action: int, shown: np.ndarray, ended: bool, walk: int) -> int:
        """Notes an action at a place.

        Args:
            place: where it was taken.
            action: which.
            shown: the frame or state after it.
            ended: whether it ended the episode.
            walk: number of the walk.

        Returns:
            The place that it led to.
        """
        following = self._place(shown, walk)
        self.familiar += ((self._walks[following] < walk) - self.familiar) / RECENT
        pair, target = place * self._actions + action, _ENDED if ended else following
        edge = self._edges.setdefault((pair, target), len(self._edges))
        if edge == len(self._pairs):
            self._pairs.append(pair)
            self._targets.append(target)
            self._times.append(0)
        self._times[edge] += 1
        self._tries[place, action] += 1
        self._drawn[action] = True
        return following

    def plan(self) -> None:
        """Looks ahead, by value iteration over all that is known."""
        known = len(self._walks)
        pairs, targets, times = (np.array(each, np.int64) for each in (self._pairs, self._targets, self._times))
        for _ in range(SWEEPS):
            values = self._worth(slice(known)).max(1)
            values[_ENDED] = values[self._starts].mean()
            sums = np.bincount(pairs, times * values[targets], known * self._actions).reshape(known, -1)
            self._following[:known] = sums / np.maximum(self._tries[:known], 1)

    def _place(self, shown: np.ndarray, walk: int) -> int:
        number = self._numbers.setdefault(int(frame_ids(shown[None])[0]), len(self._walks))
        if number == len(self._walks):
            self._walks.append(walk)
            if number >= len(self._tries):
                self._tries = np.concatenate([self._tries, np.zeros_like(self._tries)])
                self._following = np.concatenate([self._following, np.zeros_like(self._following)])
        return number

    def _worth(self, places: slice) -> np.ndarray:
        """What each action is worth at places, (n, actions); nothing where it was never drawn at any."""
        tries = self._tries[places]
        tried = 1.0 / np.sqrt(tries + 1.0) + AHEAD * self._following[places]
        return np.where(self._drawn, np.where(tries, tried, 1.0 / (1.0 - AHEAD)), -np.inf)
