"""Where frames or states come back: which actions were tried at each, and the way to those that were tried least."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nova_gym.data.ambiguity import frame_ids

#: Sweeps of value iteration in a plan, which goes on from the one before.
SWEEPS = 20
#: Discount of what is little known for each step that it is away.
AHEAD = 0.99
#: `Chart.familiar` is a mean over about so many steps.
RECENT = 1000
#: Returns are known where they change by no more than this, as a share of the largest reward.
CONVERGED = 1e-9
#: Actions at all places together, from which on a chart is full: up to 200 MB.
MOST = 1 << 22
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
        familiar: share of the last steps that led to a place that another walk saw first, of those that went on.
        places: how many there are; they have numbers below that, and 0 is where episodes have ended.
    """

    def __init__(self, actions: int, rng: np.random.Generator) -> None:
        self._actions, self._rng = actions, rng
        self.familiar = 0.0
        self._numbers: dict[int, int] = {}
        self._walks = [-1]  # in which each place was first seen
        self._tries = np.zeros((1, actions), np.int64)
        self._paid = np.zeros((1, actions))  # all that each has paid
        self._following = np.zeros((1, actions))  # what comes after each, as planned
        self._drawn = np.zeros(actions, bool)
        self._edges: dict[tuple[int, int], int] = {}
        self._pairs: list[int] = []
        self._targets: list[int] = []
        self._times: list[int] = []
        self._starts: list[int] = []

    @property
    def places(self) -> int:
        return len(self._walks)

    @property
    def full(self) -> bool:
        """Whether it takes as much memory as it should."""
        return self.places * self._actions > MOST

    def begin(self, shown: np.ndarray, walk: int) -> int:
        """The place where a walk begins, from the frame or state that shows it; walks have numbers from 0."""
        self._starts.append(self._place(shown, walk))
        return self._starts[-1]

    def choose(self, place: int) -> int:
        """An action to try at a place, of those that were tried anywhere; `plan` has looked ahead."""
        worth = self._worth(slice(place, place + 1))[0]
        return int(self._rng.choice(np.flatnonzero(worth == worth.max())))

    def note(self, place: int, action: int, shown: np.ndarray, ended: bool, walk: int, reward: float = 0.0) -> int:
        """Notes an action at a place.

        Args:
            place: where it was taken.
            action: which.
            shown: the frame or state after it.
            ended: whether it ended the episode.
            walk: number of the walk.
            reward: what it paid; -inf for what must never be done.

        Returns:
            The place that it led to; 0 if the episode ended.
        """
        following = _ENDED if ended else self._place(shown, walk)
        if not ended:
            self.familiar += ((self._walks[following] != walk) - self.familiar) / RECENT
        pair = place * self._actions + action
        edge = self._edges.setdefault((pair, following), len(self._edges))
        if edge == len(self._pairs):
            self._pairs.append(pair)
            self._targets.append(following)
            self._times.append(0)
        self._times[edge] += 1
        self._tries[place, action] += 1
        self._paid[place, action] += reward
        self._drawn[action] = True
        return following

    def plan(self) -> None:
        """Looks ahead, by value iteration over all that is known."""
        ahead = self._ahead()
        for _ in range(SWEEPS):
            values = self._worth(slice(self.places)).max(1)
            values[_ENDED] = values[self._starts].mean()
            self._following[: self.places] = ahead(values)

    def returns(self, discount: float) -> np.ndarray:
        """What each action brings at each place if the best ones follow, by value iteration over all that is known.

        Args:
            discount: of a reward for each step that it comes later.

        Returns:
            (places, actions) float64 discounted returns, -inf where an action was not tried or must never be done. What
            lies beyond a place without any other is taken to be the worst that there can be.
        """
        tries, ahead = self._tries[: self.places], self._ahead()
        paid = np.where(tries, self._paid[: self.places] / np.maximum(tries, 1), -np.inf)
        told = paid[np.isfinite(paid)]
        worst, scale = told.min(initial=0.0) / (1.0 - discount), np.abs(told).max(initial=0.0)
        values, change = np.zeros(self.places), np.inf
        while change > CONVERGED * scale:
            found = paid + discount * ahead(values)
            better = np.where(np.isfinite(paid).any(1), found.max(1), worst)
            better[_ENDED] = 0.0
            change, values = np.abs(better - values).max(), better
        return found

    def _ahead(self) -> Callable[[np.ndarray], np.ndarray]:
        """A function from a value of each place to the mean value of what follows on each action, (places, actions)."""
        pairs, targets, times = (np.array(each, np.int64) for each in (self._pairs, self._targets, self._times))
        count, tries = self.places * self._actions, np.maximum(self._tries[: self.places], 1)
        return lambda values: np.bincount(pairs, times * values[targets], count).reshape(tries.shape) / tries

    def _place(self, shown: np.ndarray, walk: int) -> int:
        number = self._numbers.setdefault(int(frame_ids(shown[None])[0]), len(self._walks))
        if number == len(self._walks):
            self._walks.append(walk)
            if number >= len(self._tries):
                for name in ("_tries", "_paid", "_following"):
                    sums = getattr(self, name)
                    setattr(self, name, np.concatenate([sums, np.zeros_like(sums)]))
        return number

    def _worth(self, places: slice) -> np.ndarray:
        """What each action is worth at places, (n, actions); nothing where it was never drawn at any."""
        tries = self._tries[places]
        tried = 1.0 / np.sqrt(tries + 1.0) + AHEAD * self._following[places]
        return np.where(self._drawn, np.where(tries, tried, 1.0 / (1.0 - AHEAD)), -np.inf)
