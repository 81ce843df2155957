"""Clips to edit: recorded on the spot in the real environment, or read from a user's file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import imageio.v3 as iio
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs.reality.base import ATTEMPTS, Reality
from nova_gym.envs.reality.counterpart import dream_at, reality_of
from nova_gym.errors import BadInputError

#: Endings of files that clips are read from.
CLIP_FORMATS = (".npz", ".gif", ".mp4")
#: Share of a clip's actions that the expert chooses, if there is one.
_EXPERT = 0.6


def real_clip(dream: Dream, seed: int, steps: int, reality: str | None = None) -> np.ndarray:
    """A new clip of the real environment.

    If the `Reality` has `scatter` and an expert, agent and goal are anywhere and the agent strolls towards the goal.
    Otherwise the actions are random.

    Args:
        dream: with a real counterpart.
        seed: of layout and actions; the same seed gives the same clip.
        steps: T, at least 1.
        reality: id of another real environment that the dream dreams of; None for its own.

    Returns:
        (T + 1, H, W, C) uint8.

    Raises:
        BadInputError: `steps` is below 1, the dream has no real counterpart, or all episodes tried ended earlier.
    """
    if steps < 1:
        raise BadInputError(f"a clip needs at least 1 step, not {steps}")
    level, rng = reality_of(dream_at(dream, reality)), np.random.default_rng([seed, 0xED17])
    env = level.make()
    try:
        for _ in range(ATTEMPTS):
            env.reset(seed=int(rng.integers(2**31)))
            level.scatter(env, rng)
            if (frames := walk(env, level, steps, rng)) is not None:
                return frames
    finally:
        env.close()
    raise BadInputError(f"no episode of {level.spec.env_id} in {ATTEMPTS} lasted {steps} steps: ask for fewer")


def walk(
    env: gym.Env,
    reality: Reality,
    steps: int,
    rng: np.random.Generator,
    look: Callable[[gym.Env], None] = lambda env: None,
) -> np.ndarray | None:
    """Steps `env` from its present state: mostly as the expert does, if there is one, otherwise at random.

    Args:
        env: made by `reality.make`, after a reset.
        reality: of that environment.
        steps: how many.
        rng: of the actions.
        look: called with `env` before the first step and after each step.

    Returns:
        (steps + 1, H, W, C) uint8 frames; None if the episode ended earlier.
    """
    expert = reality.policy(env)
    frames = [reality.frame(env)]
    look(env)
    for _ in range(steps):
        led = expert is not None and rng.random() < _EXPERT
        _, _, terminated, truncated, _ = env.step(expert() if led else reality.stroll(env, rng))
        if terminated or truncated:
            return None
        frames.append(reality.frame(env))
        look(env)
    return np.stack(frames)


def read_clip(path: Path, dream: Dream) -> np.ndarray:
    """Reads a clip from a GIF or MP4, or from the array `frames` of an NPZ.

    Args:
        path: of the file, which ends in one of `CLIP_FORMATS`.
        dream: the clip must have its channels, and frames of any size that divides into its cells.

    Returns:
        (T + 1, H, W, C) uint8.

    Raises:
        BadInputError: the file cannot be read, has fewer than 2 frames, or frames of another kind or of a size that
            does not divide into cells.
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
        return frames[..., :1]  # films store grey as three equal channels
    return frames


def _check_frames(path: Path, frames: np.ndarray, dream: Dream) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4:
        raise BadInputError(f"frames of {path} are {frames.shape} {frames.dtype}; they must be (T, H, W, C) uint8")
    config = dream.world_model.config
    channels = config.inr.channels
    if frames.shape[3] != channels:
        kinds = {1: "grey", 3: "RGB"}
        found = kinds.get(frames.shape[3], f"of {frames.shape[3]} channels")
        raise BadInputError(f"{path} is {found}; this dream sees {kinds[channels]}")
    try:
        config.cells_of(*frames.shape[1:3])
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from error
    if len(frames) < 2:
        raise BadInputError(f"{path} has {len(frames)} frame(s); a clip needs at least 2")
