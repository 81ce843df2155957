"""Which size of frames suits an environment, from a look at random play in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

import gymnasium as gym
import numpy as np

from nova_gym.envs.reality.pitch import find_fields
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.envs.reality.tiles import find_tiles
from nova_gym.pixels import grid_size, picture, sized, suitable_size

#: Pictures of random play in which tiles are looked for, and in which a grid is; steps for which an action is held
#: there at most.
_TILED, _MOVING, _HELD = 100, 500, 4


def suitable_view(env_id: str, env: gym.Env, size: int | tuple[int, int] | None) -> RealitySpec:
    """The view of an environment that shrinks its own picture (`Reality.view`).

    Args:
        env_id: of the environment.
        env: made with that id, not reset yet. It is stepped.
        size: width of a frame in pixels, or its (height, width), or None to choose a size.

    Raises:
        BadInputError: the environment cannot be shown at this size.
    """
    looks = _looks(env)
    pictures = list(islice(looks, _TILED))
    height, width = pictures[0].shape[:2]
    tile = find_tiles(pictures) if all(shown.shape == pictures[0].shape for shown in pictures) else 0
    if size is None and not tile:
        down, across = find_fields(chain(pictures, islice(looks, _MOVING - _TILED)))
        frame = grid_size(height + down.added, width + across.added, (down.count, across.count))
        if frame is not None:
            step = tuple(
                side // fields.count if fields.count else 0 for side, fields in zip(frame, (down, across), strict=True)
            )
            return RealitySpec(env_id, frame_size=frame, padding=(*down[1:], *across[1:]), step=step)
    frame = suitable_size(height, width, tile) if size is None else sized(size, height, width)
    pixels = frame[1] * tile // width if tile else 0  # of a tile in a frame, if that is a whole number
    whole = pixels > 0 and pixels * width == frame[1] * tile and pixels * height == frame[0] * tile
    return RealitySpec(env_id, frame_size=frame, tile=pixels if whole else 0)


def about_grid(spec: RealitySpec) -> str:
    """What was chosen because things move on a grid, in one line for the user; empty if nothing was."""
    if not any(spec.step):
        return ""
    sides = [f"{pixels} pixels {way}" for pixels, way in zip(spec.step, ("down", "across"), strict=True) if pixels]
    height, width = spec.frame_size
    padded = ", the picture padded to whole steps" if any(spec.padding) else ""
    return f"things move on a grid: frames of {height}×{width} have {' and '.join(sides)} for a step of it{padded}"


def _looks(env: gym.Env) -> Iterator[np.ndarray]:
    """What an environment draws in random play: (H, W, 3) uint8 each. Actions are held for some steps, to get about."""
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    env.action_space.seed(0)
    yield picture(env.render())
    while True:
        action = env.action_space.sample()
        for _ in range(int(rng.integers(1, _HELD + 1))):
            _, _, terminated, truncated, _ = env.step(action)
            yield picture(env.render())
            if terminated or truncated:
                env.reset()
