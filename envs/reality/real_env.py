"""The real counterpart of a dream, with the dream's observations: one policy runs in both."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from nova_gym.dream import Dream
from nova_gym.envs.adapter import encode_frames, observation_space, observe, reality_of
from nova_gym.errors import BadInputError


class RealityEnv(gym.Wrapper):
    """The real environment, unchanged, seen as the dream is seen.

    Args:
        dream: whose reality it is.
        observation: `latent`, the encoded frame (K,) float32, or `pixels`, the frame (H, W, C) uint8.
        starts: `official`, as the environment resets itself, or `random`, which then moves agent and goal anywhere
            (where the `Reality` can).

    Raises:
        BadInputError: an argument is unknown, or the dream has no real counterpart.
    """

    def __init__(self, dream: Dream, observation: str = "latent", starts: str = "official") -> None:
        if observation not in ("latent", "pixels"):
            raise BadInputError(f"unknown observation {observation!r}; there are latent, pixels")
        self.reality = reality_of(dream)
        known = ("official", "random") if self.reality.scatters else ("official",)
        if starts not in known:
            raise BadInputError(f"unknown starts {starts!r}; {dream.card.env_id} has {', '.join(known)}")
        super().__init__(self.reality.make())
        self.dream = dream
        self._observation, self._starts = observation, starts
        self._held_out: bool | None = None
        self.observation_space = observation_space(dream, observation)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A reset of the real environment; the same seed gives the same start."""
        _, info = self.env.reset(seed=seed, options=options)
        if self._starts == "random":
            self.reality.scatter(self.env, self.env.unwrapped.np_random)
        known = self.reality.layout_id(self.env) is not None
        self._held_out = self.reality.is_held_out(self.env) if known else None
        return self._observe(), info

    def step(self, action: int | np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A step of the real environment.

        The last `info` of an episode has `is_success`, where the `Reality` knows success. It has `held_out`, where the
        `Reality` knows layouts: whether no recording holds the one that the episode began with.
        """
        _, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            said = {"is_success": self.reality.success(self.env, float(reward), terminated), "held_out": self._held_out}
            info = {**info, **{key: value for key, value in said.items() if value is not None}}
        return self._observe(), float(reward), terminated, truncated, info

    def frame(self) -> np.ndarray:
        """(H, W, C) uint8, what it looks like now, at the dream's frame size."""
        return self.reality.frame(self.env)

    def draw(self, scale: int) -> np.ndarray:
        """What it looks like now, (scale · H, scale · W, C) uint8, drawn by itself as far as it can."""
        return self.reality.draw(self.env, scale)

    def _observe(self) -> np.ndarray:
        frame = self.frame()
        if self._observation == "pixels":
            return frame
        return observe(self.dream, encode_frames(self.dream, frame[None]), "latent")[0]


def make_reality(
    dream: Dream | str = "minigrid",
    observation: str = "latent",
    starts: str = "official",
    device: str | torch.device = "auto",
) -> RealityEnv:
    """The real counterpart of a dream with the same observation interface.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file.
        observation, starts: as in `RealityEnv`.
        device: where frames are encoded.

    Raises:
        BadInputError: an argument is unknown, or the dream has no real counterpart.
    """
    loaded = dream if isinstance(dream, Dream) else Dream.load(dream)
    return RealityEnv(loaded.to(device), observation, starts)
