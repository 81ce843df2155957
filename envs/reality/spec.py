"""Reality: the real environment, seen through the same door as the dream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from nova_gym.errors import BadInputError


@dataclass(frozen=True)
class RealitySpec:
    """Everything that makes the real environment again.

    Attributes:
        env_id: Gymnasium id, `module:` prefix allowed.
        env_kwargs: keyword arguments of `gymnasium.make`.
        frame_size: height and width of a frame in pixels.
    """

    env_id: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    frame_size: tuple[int, int] = (72, 72)

    def make(self) -> gym.Env:
        """The real environment, unwrapped by anything of ours, with `render_mode="rgb_array"`.

        Raises:
            BadInputError: the id is unknown, or the environment cannot render to an array.
        """
        if "MiniGrid" in self.env_id or "BabyAI" in self.env_id:
            import minigrid  # noqa: F401  registers its ids
        try:
            env = gym.make(self.env_id, render_mode="rgb_array", disable_env_checker=True, **self.env_kwargs)
        except (gym.error.Error, ModuleNotFoundError, TypeError, AssertionError) as error:
            raise BadInputError(f"cannot make the environment {self.env_id!r}: {error}") from error
        if "rgb_array" not in env.metadata.get("render_modes", []):
            env.close()
            raise BadInputError(
                f"{self.env_id!r} has no render_mode 'rgb_array', which recording needs; "
                f"it has {env.metadata.get('render_modes', [])}"
            )
        return env

    def frame(self, env: gym.Env) -> np.ndarray:
        """What `env` looks like now.

        Returns:
            (H, W, 3) uint8, resized by area averaging where the environment renders at another size.
        """
        frame = np.asarray(env.render(), dtype=np.uint8)
        height, width = self.frame_size
        if frame.shape[:2] != (height, width):
            from PIL import Image

            frame = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX))
        return frame


def reality_spec(env_id: str, size: int = 72) -> RealitySpec:
    """How an environment is looked at unless its user says otherwise.

    MiniGrid is drawn natively at `size` (whole tiles) and without the highlighted field of view, as in the
    paper; any other environment is drawn at its own size and shrunk to `size`×`size`.

    Raises:
        BadInputError: the environment does not exist or cannot render, or MiniGrid's tiles do not divide `size`.
    """
    if size < 8:
        raise BadInputError(f"frames need at least 8 pixels a side, not {size}")
    spec = RealitySpec(env_id, frame_size=(size, size))
    env = spec.make()
    grid = _grid_shape(env)
    env.close()
    if grid is None:
        return spec
    columns, rows = grid
    if size % columns:
        raise BadInputError(
            f"{env_id} has {columns}×{rows} tiles: the frame width must be a multiple of {columns}, not {size}"
        )
    tile = size // columns
    return RealitySpec(env_id, {"highlight": False, "tile_size": tile}, (rows * tile, columns * tile))


def _grid_shape(env: gym.Env) -> tuple[int, int] | None:
    """(columns, rows) of a MiniGrid environment, None for any other."""
    from minigrid.minigrid_env import MiniGridEnv

    unwrapped = env.unwrapped
    return (unwrapped.width, unwrapped.height) if isinstance(unwrapped, MiniGridEnv) else None
