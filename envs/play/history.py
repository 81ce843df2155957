"""What happened in a played session: moments of the dream, and episodes of reality."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from minari.data_collector import EpisodeBuffer
from torch import Tensor

from nova_gym.model.doubt import Belief


@dataclass(frozen=True)
class Moment:
    """One point of the history.

    Attributes:
        number: unique in the session.
        state: (1, K, rows, cols) float32.
        latent_action: (1, U, rows, cols) float32, the latent action that led here; zero at a start.
        action: the environment's own action that led here; None at a start and after a latent action.
        step: since the start of the episode.
        reward: of the step that led here.
        total: return so far.
        end: probability in [0, 1] that the episode ends here, from the termination head.
        ended: whether the episode was terminated or truncated here.
        belief: how far the dream is to be trusted here; None where it cannot doubt.
    """

    number: int
    state: Tensor
    latent_action: Tensor
    action: int | None = None
    step: int = 0
    reward: float = 0.0
    total: float = 0.0
    end: float = 0.0
    ended: bool = False
    belief: Belief | None = None


@dataclass
class Episode:
    """One played episode of reality. `frames`, each (H, W, C) uint8, has one item more than `actions`."""

    seed: int
    held_out: bool
    frames: list[np.ndarray]
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terminations: list[bool] = field(default_factory=list)
    truncations: list[bool] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether reality terminated or truncated the episode."""
        return bool(self.actions) and (self.terminations[-1] or self.truncations[-1])

    def add(self, action: int, frame: np.ndarray, reward: float, terminated: bool, truncated: bool) -> None:
        """Notes a step: its action, the frame (H, W, C) uint8 after it, and what else the environment returned."""
        self.actions.append(action)
        self.frames.append(frame)
        self.rewards.append(reward)
        self.terminations.append(bool(terminated))
        self.truncations.append(bool(truncated))

    def cut(self, steps: int) -> None:
        """Forgets all but the first `steps` steps."""
        for values in (self.actions, self.rewards, self.terminations, self.truncations):
            del values[steps:]
        del self.frames[steps + 1 :]

    def buffer(self) -> EpisodeBuffer:
        """The episode for a Minari dataset."""
        return EpisodeBuffer(
            seed=self.seed,
            options={"kind": "played by a person", "starts": "official"},
            observations=np.stack(self.frames),
            actions=np.asarray(self.actions, dtype=np.int64),
            rewards=self.rewards,
            terminations=self.terminations,
            truncations=self.truncations,
        )
