"""How long an agent's training looks ahead: the cut of episodes, the discount and the number of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nova_gym.dream import Dream
from nova_gym.envs.reality.coverage import ENDLESS

if TYPE_CHECKING:
    from nova_gym.agents.roaming import Roaming

#: Where few steps pay, episodes are cut at this share of the horizon, or at so many times the steps that recorded
#: episodes took to their end, or at so many times the way across the field: at the latest of the three.
SHARE, ENDED, ACROSS = 0.15, 3.0, 2.0
#: 1 / (1 - discount), as a share of the cut, and the numbers of steps between which it stays.
AHEAD, LEAST_AHEAD, MOST_AHEAD = 0.68, 33.0, 150.0
#: The least for pixels: with a shorter view, PPO on real frames never reached a goal (`benchmarks/NOTES.md`).
PIXELS_AHEAD = 100.0
#: Steps after which an episode is cut of whose length nothing is known.
UNKNOWN = ENDLESS
#: Training lasts so many cut episodes, by algorithm, within these numbers of steps.
EPISODES = {"sac": 150}
OTHERS_EPISODES = 6000
STEPS = {"sac": (20_000, 60_000)}
OTHERS_STEPS = (300_000, 1_000_000)
#: Steps of a training that a limit of time ends.
ENDLESS = 10**9


@dataclass(frozen=True)
class Pace:
    """How long training looks ahead.

    Attributes:
        longest: steps at which training episodes are truncated.
        gamma: discount of a reward for each step that it comes later.
    """

    longest: int
    gamma: float

    @classmethod
    def of(cls, dream: Dream, roaming: Roaming, observation: str = "latent") -> Pace:
        """What suits a dream.

        Where most steps pay something, episodes have the length of the real ones: their value lies in how long they
        last. In a dream with memory they end where recorded episodes ended: beyond that it makes up what happens, and
        an agent finds out, such as a pole that stands still aslant. Where few steps pay, a long episode that has gone
        astray teaches nothing, so it is cut: see `SHARE`. The discount follows from the cut. What a cut episode would
        have brought is estimated, so a cut costs little.

        Args:
            dream: its card has the horizon, and what the recorder saw (`recorded_lengths`).
            roaming: random walks in that dream.
            observation: `latent` or `pixels`.
        """
        horizon, (ended, longest) = dream.card.horizon, recorded_lengths(dream)
        if roaming.sparse and dream.cells != (1, 1):
            whole = max(SHARE * horizon, ACROSS * sum(dream.cells), ENDED * ended)
            cut = min(whole, horizon) if horizon else whole
        else:
            cut = horizon or longest or UNKNOWN
            if dream.world_model.has_memory and ended and not roaming.sparse:
                cut = min(cut, ended)
        least = PIXELS_AHEAD if observation == "pixels" else LEAST_AHEAD
        ahead = min(max(AHEAD * cut, least), MOST_AHEAD)
        return cls(math.ceil(cut), 1.0 - 1.0 / ahead)

    def steps(self, algorithm: str, timed: bool = False) -> int:
        """Steps of training that suit an algorithm, all dreams together.

        Args:
            algorithm: `ppo`, `a2c`, `dqn` or `sac`.
            timed: whether a limit of time ends the training; then more than any takes (`ENDLESS`).
        """
        low, high = STEPS.get(algorithm, OTHERS_STEPS)
        return ENDLESS if timed else int(min(max(EPISODES.get(algorithm, OTHERS_EPISODES) * self.longest, low), high))


def recorded_lengths(dream: Dream) -> tuple[float, int]:
    """What the recorder saw of episodes: the steps that nine of ten took to their end, and the longest; 0 if unknown.

    Read from `Card.data["summary"]["lengths"]`, keys `ended` and `longest`.
    """
    lengths = (dream.card.data.get("summary") or {}).get("lengths") or {}
    return float(lengths.get("ended") or 0.0), int(lengths.get("longest") or 0)


def longest_episode(dream: Dream) -> int:
    """Steps after which an episode of an agent is stopped: the real environment's limit, or one where it has none."""
    return dream.card.horizon or max(UNKNOWN, recorded_lengths(dream)[1])
