"""Which actions were tried where, so that random play tries others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from nova_gym.data.ambiguity import frame_ids

#: Actions that are drawn, of which the one that was tried least is taken.
DRAWN = 4
#: Pairs of a frame and an action that are remembered at most.
REMEMBERED = 2**18


class Tried:
    """How often each action was taken at each frame.

    At random, what needs the right action in the right place seldom happens: a passenger is set down at the hotel once
    in thousands of steps. Where frames come again, an action that was not tried there yet teaches more. Where they do
    not, or where actions are continuous, this changes nothing.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, bytes]] = Counter()

    def choose(self, frame: np.ndarray, draw: Callable[[], Any]) -> Any:
        """Of a few actions that `draw` gives, the one that was taken least often at this frame, the first of equal
        ones.

        Args:
            frame: (H, W, C) uint8.
            draw: gives a random action.
        """
        shown, drawn = _id(frame), [draw()]
        while len(drawn) < DRAWN and self._counts[shown, _bytes(drawn[-1])]:
            drawn.append(draw())
        return min(drawn, key=lambda action: self._counts[shown, _bytes(action)])

    def note(self, frame: np.ndarray, action: Any) -> None:
        """Notes that an action is taken at this frame."""
        pair = _id(frame), _bytes(action)
        if pair in self._counts or len(self._counts) < REMEMBERED:
            self._counts[pair] += 1


def _id(frame: np.ndarray) -> int:
    return int(frame_ids(frame[None])[0])


def _bytes(action: Any) -> bytes:
    return np.asarray(action).tobytes()
