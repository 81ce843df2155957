"""How an environment is recorded: which kinds of clips, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Coverage:
    """One kind of clip in a recording.

    Attributes:
        name: what the clips are for.
        share: share of all recorded transitions.
        length: transitions in a clip at most; a clip also ends where its episode does.
        official: whether a clip starts where the environment starts; otherwise `Reality.scatter` comes first.
        facing: class of the transition that the first step can make, as `Reality.place` arranges it; None for any.
        expert: probability of the action that `Reality.policy` chooses.
        favoured: an action, and the probability to take it. What is left of 1 is a random action.
    """

    name: str
    share: float
    length: int
    official: bool = False
    facing: str | None = None
    expert: float = 0.0
    favoured: tuple[Any, float] = (None, 0.0)

    @property
    def starts(self) -> str:
        """What the first frames are a fair sample of: `official` or `random` starts, or nothing that has a name."""
        return "official" if self.official else "" if self.facing else "random"


#: An environment of which nothing is known: its own episodes under a random policy.
RANDOM_COVERAGE = (Coverage("official starts, at random", 1.0, 200, official=True),)
