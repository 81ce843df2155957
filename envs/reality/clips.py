"""Clips to edit: walked in the real environment, or read from a user's file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import gymnasium as gym
import imageio.v3 as iio
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality import grids
from nova_gym.envs.reality.recording import random_action
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError

#: Endings of files that clips are read from.
CLIP_FORMATS = (".npz", ".gif", ".mp4")
#: Share of a walk's actions on the shortest way to the goal, on MiniGrid.
_TO_GOAL = 0.6

Pose = tuple[int, int, int]


def real_clip(dream: Dream, seed: int, steps: int) -> np.ndarray:
    """A clip of the real environment.

    On MiniGrid agent and goal are anywhere, and the agent strolls towards the goal; elsewhere actions are random.

    Args:
        dream: with a real counterpart.
        seed: of the layout and what is done; the same seed gives the same clip.
        steps: T, of the clip, at least 1.

    Returns:
        (T + 1, H, W, C) uint8.

    Raises:
        BadInputError: the dream has no real counterpart, or no episode of it lasts that long.
    """
    if steps < 1:
        raise BadInputError(f"a clip needs at least 1 step, not {steps}")
    spec, rng = reality_of(dream), np.random.default_rng([seed, 0xED17])
    env = spec.make()
    try:
        for _ in range(grids.ATTEMPTS):
            env.reset(seed=int(rng.integers(2**31)))
            if grids.is_minigrid(env):
                grids.scatter(env, rng)
            if walked := walk(env, spec, steps, rng):
                return walked[0]
    finally:
        env.close()
    raise BadInputError(f"no episode of {spec.env_id} in {grids.ATTEMPTS} lasted {steps} steps: ask for fewer")


def walk(env: gym.Env, spec: RealitySpec, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, list[Pose]] | None:
    """Takes some steps from where `env` is.

    Returns:
        (steps + 1, H, W, C) uint8 frames; on MiniGrid the agent's poses (x, y, direction) in them, else nothing.
        None if the episode ended before.
    """
    on_grid = grids.is_minigrid(env)
    way = grids.distances_to_goal(env) if on_grid else {}
    frames, poses = [spec.frame(env)], [_pose(env)] if on_grid else []
    for _ in range(steps):
        if not on_grid:
            action = random_action(env, rng)
        elif rng.random() < _TO_GOAL:
            action = grids.action_to_goal(env, way)
        else:
            action = int(rng.integers(grids.Actions.forward + 1))
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            return None
        frames.append(spec.frame(env))
        poses += [_pose(env)] if on_grid else []
    return np.stack(frames), poses


def read_clip(path: Path, dream: Dream) -> np.ndarray:
    """A clip from a file: `frames` of an NPZ, or a GIF or MP4.

    Args:
        path: of the file.
        dream: whose frame size and channels it must have.

    Returns:
        (T + 1, H, W, C) uint8.

    Raises:
        BadInputError: the file cannot be read, or its frames are not such as the dream's.
    """
    if path.suffix not in CLIP_FORMATS:
        raise BadInputError(f"{path} is not a clip: its name must end in {', '.join(CLIP_FORMATS)}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as saved:
                frames = saved["frames"]
        else:
            frames = _decode(path, dream)
    except KeyError as error:
        raise BadInputError(f"{path} has no array called frames: that must be (T, H, W, C) uint8") from error
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise BadInputError(f"cannot read the clip {path}: {error}") from error
    _check_frames(path, frames, dream)
    return frames


def _decode(path: Path, dream: Dream) -> np.ndarray:
    frames = iio.imread(path, plugin="pillow", mode="RGB") if path.suffix == ".gif" else iio.imread(path)
    if dream.world_model.config.inr.channels == 1 and (frames == frames[..., :1]).all():
        return frames[..., :1]  # films know no grey: they say it with three equal colours
    return frames


def _check_frames(path: Path, frames: np.ndarray, dream: Dream) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4:
        raise BadInputError(f"frames of {path} are {frames.shape} {frames.dtype}; they must be (T, H, W, C) uint8")
    config = dream.world_model.config
    height, width, channels = *config.frame_size, config.inr.channels
    if frames.shape[3] != channels:
        kinds = {1: "grey", 3: "RGB"}
        found = kinds.get(frames.shape[3], f"of {frames.shape[3]} channels")
        raise BadInputError(f"{path} is {found}; this dream sees {kinds[channels]}")
    if frames.shape[1:3] != (height, width):
        raise BadInputError(
            f"frames of {path} are {frames.shape[1]}×{frames.shape[2]}; this dream sees {height}×{width} (height×width)"
        )
    if len(frames) < 2:
        raise BadInputError(f"{path} has {len(frames)} frame(s); a clip needs at least 2")


def _pose(env: gym.Env) -> Pose:
    grid = env.unwrapped
    return int(grid.agent_pos[0]), int(grid.agent_pos[1]), int(grid.agent_dir)
