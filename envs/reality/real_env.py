"""The real counterpart of a dream, with the dream's observations, so that one policy runs in both."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.frames import first_states, next_states, observation_space, observe, to_simulator
from nova_gym.envs.reality.counterpart import dream_at, reality_of
from nova_gym.errors import BadInputError


class RealityEnv(gym.Wrapper):
    """The unchanged real environment behind a dream, with the dream's observations.

    Args:
        dream: the dream whose reality this is.
        observation: `latent`, the encoded frame with the dream's memory of the frames before, (K + M, rows, cols)
            float32, or `pixels`, the frame (H, W, C) uint8.
        starts: `official`, as the environment resets itself, or `random`: agent and goal anywhere, if the `Reality`
            can move them.
        reality: id of another real environment that the dream dreams of; None for its own.

    Attributes:
        dream: the dream; its card names this environment.
        reality: what is known of this environment.

    Raises:
        BadInputError: an argument is unknown, or the dream has no real counterpart.
    """

    def __init__(
        self, dream: Dream, observation: str = "latent", starts: str = "official", reality: str | None = None
    ) -> None:
        if observation not in ("latent", "pixels"):
            raise BadInputError(f"unknown observation {observation!r}; there are latent, pixels")
        dream = dream_at(dream, reality)
        self.reality = reality_of(dream)
        known = ("official", "random") if self.reality.scatters else ("official",)
        if starts not in known:
            raise BadInputError(f"unknown starts {starts!r}; {dream.card.env_id} has {', '.join(known)}")
        super().__init__(self.reality.make())
        self.dream = dream
        self._observation, self._starts = observation, starts
        self._held_out: bool | None = None
        self._state: Tensor | None = None  # of the present frame, with memory
        self.observation_space = observation_space(dream, observation)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Resets the real environment; the same seed gives the same start.

        Returns:
            Observation, and the real environment's own `info`.
        """
        _, info = self.env.reset(seed=seed, options=options)
        if self._starts == "random":
            self.reality.scatter(self.env, self.env.unwrapped.np_random)
        known = self.reality.layout_id(self.env) is not None
        self._held_out = self.reality.is_held_out(self.env) if known else None
        return self._observe(None), info

    def step(self, action: int | np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Steps the real environment.

        The last `info` of an episode has `is_success`, a bool, if the `Reality` knows success. It has `held_out`, a
        bool, if the `Reality` knows layouts: whether the layout that the episode began with is held out.

        Returns:
            Observation, reward, terminated, truncated and `info`.
        """
        _, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            said = {"is_success": self.reality.success(self.env, float(reward), terminated), "held_out": self._held_out}
            info = {**info, **{key: value for key, value in said.items() if value is not None}}
        return self._observe(action), float(reward), terminated, truncated, info

    def frame(self) -> np.ndarray:
        """What the environment looks like now, at the size of the dream's frames: (H, W, C) uint8."""
        return self.reality.frame(self.env)

    def draw(self, scale: int) -> np.ndarray:
        """What the environment looks like now, `scale` times as large, as `Reality.draw` has it.

        Args:
            scale: how many times larger than a frame, at least 1.

        Returns:
            (scale · H, scale · W, C) uint8.
        """
        return self.reality.draw(self.env, scale)

    def _observe(self, action: int | np.ndarray | None) -> np.ndarray:
        """The present observation, after this action, or None after a reset."""
        frame = self.frame()
        if self._observation == "pixels":
            return frame
        if action is None or self._state is None:
            self._state = first_states(self.dream, frame[None], self._starts == "official")
        else:
            actions = to_simulator(self.dream, np.asarray(action)[None])
            self._state = next_states(self.dream, self._state, frame[None], actions)
        return observe(self.dream, self._state, "latent")[0]


def make_reality(
    dream: Dream | str = "minigrid",
    observation: str = "latent",
    starts: str = "official",
    device: str | torch.device = "auto",
    reality: str | None = None,
) -> RealityEnv:
    """Makes the real counterpart of a dream, with the dream's observations.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file.
        observation, starts, reality: as in `RealityEnv`.
        device: `auto`, `cpu`, `cuda` …, where frames are encoded.

    Raises:
        BadInputError: an argument is unknown, or the dream has no real counterpart.
    """
    loaded = dream if isinstance(dream, Dream) else Dream.load(dream)
    return RealityEnv(loaded.to(device), observation, starts, reality)
