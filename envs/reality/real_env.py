"""The real counterpart of a dream, with the dream's observations: one policy runs in both."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from nova_gym.dream import Dream
from nova_gym.envs.adapter import encode_frames, observation_space, observe, reality_of
from nova_gym.envs.reality import grids
from nova_gym.errors import BadInputError


class RealityEnv(gym.Wrapper):
    """The real environment, unchanged, seen as the dream is seen.

    Args:
        dream: whose reality it is.
        observation: `latent`, the encoded frame (K,) float32, or `pixels`, the frame (H, W, C) uint8.
        starts: `official`, as the environment resets itself, or `random`, which then moves agent and goal anywhere
            (MiniGrid only).

    Raises:
        BadInputError: an argument is unknown, or the dream has no real counterpart.
    """

    def __init__(self, dream: Dream, observation: str = "latent", starts: str = "official") -> None:
        if observation not in ("latent", "pixels"):
            raise BadInputError(f"unknown observation {observation!r}; there are latent, pixels")
        self._spec = reality_of(dream)
        env = self._spec.make()
        if starts not in ("official", "random") or (starts == "random" and not grids.is_minigrid(env)):
            env.close()
            raise BadInputError(f"unknown starts {starts!r}; there are official and, on MiniGrid, random")
        super().__init__(env)
        self._on_grid = grids.is_minigrid(env)
        self.dream = dream
        self._observation, self._starts = observation, starts
        self.observation_space = observation_space(dream, observation)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A reset of the real environment; the same seed gives the same start."""
        _, info = self.env.reset(seed=seed, options=options)
        if self._starts == "random":
            grids.scatter(self.env, self.env.unwrapped.np_random)
        return self._observe(), info

    def step(self, action: int | np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A step of the real environment; on MiniGrid the last `info` has `is_success` and `held_out` (layout)."""
        _, reward, terminated, truncated, info = self.env.step(action)
        if self._on_grid and (terminated or truncated):
            success = bool(terminated and reward > 0)
            info = {**info, "is_success": success, "held_out": grids.is_held_out(self.env)}
        return self._observe(), float(reward), terminated, truncated, info

    def frame(self) -> np.ndarray:
        """(H, W, C) uint8, what it looks like now, at the dream's frame size."""
        return self._spec.frame(self.env)

    def draw(self, scale: int) -> np.ndarray:
        """What it looks like now, (scale · H, scale · W, C) uint8: MiniGrid draws itself that large, other frames are
        enlarged.
        """
        if self._on_grid:
            return grids.draw(self.env, scale * self._spec.frame_size[1] // self.env.unwrapped.width)
        return self._spec.frame(self.env).repeat(scale, axis=0).repeat(scale, axis=1)

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
