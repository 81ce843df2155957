"""Environments that draw themselves, made by Gymnasium, and their pictures at another size."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from nova_gym.errors import BadInputError


def make_env(env_id: str, env_kwargs: dict[str, Any]) -> gym.Env:
    """Makes an environment that renders to `rgb_array`.

    Args:
        env_id: Gymnasium id, `module:` prefix allowed.
        env_kwargs: keyword arguments of `gymnasium.make`.

    Raises:
        BadInputError: the id is unknown, or the environment cannot render to an array.
    """
    try:
        env = gym.make(env_id, render_mode="rgb_array", disable_env_checker=True, **env_kwargs)
    except Exception as error:  # the environment's own code raises what it likes
        raise BadInputError(f"cannot make the environment {env_id!r}: {error}") from error
    modes = env.metadata.get("render_modes", [])
    if "rgb_array" not in modes:
        env.close()
        raise BadInputError(f"{env_id!r} has no render_mode 'rgb_array', which recording needs; it has {modes}")
    return env


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture at another size, by averaging over areas.

    Args:
        picture: (H, W, 3) uint8.
        height, width: of the result in pixels.

    Returns:
        (height, width, 3) uint8; the picture itself if it has that size.
    """
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
