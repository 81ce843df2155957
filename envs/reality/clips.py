"""Clips to edit: walked in the real environment, or read from a user's file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import imageio.v3 as iio
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality.base import ATTEMPTS, Reality
from nova_gym.errors import BadInputError

#: Endings of files that clips are read from.
CLIP_FORMATS = (".npz", ".gif", ".mp4")
#: Share of a walk's actions that are the expert's, where there is one.
_EXPERT = 0.6


def real_clip(dream: Dream, seed: int, steps: int) -> np.ndarray:
    """A clip of the real environment.

    Where the `Reality` knows such things, agent and goal are anywhere and the agent strolls towards the goal; elsewhere
    actions are random.

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
    reality, rng = reality_of(dream), np.random.default_rng([seed, 0xED17])
    env = reality.make()
    try:
        for _ in range(ATTEMPTS):
            env.reset(seed=int(rng.integers(2**31)))
            reality.scatter(env, rng)
            if (frames := walk(env, reality, steps, rng)) is not None:
                return frames
    finally:
        env.close()
    raise BadInputError(f"no episode of {reality.spec.env_id} in {ATTEMPTS} lasted {steps} steps: ask for fewer")


def walk(
    env: gym.Env,
    reality: Reality,
    steps: int,
    rng: np.random.Generator,
    look: Callable[[gym.Env], None] = lambda env: None,
) -> np.ndarray | None:
    """Takes some steps from where `env` is.

    Args:
        env: as `reality.make` gave it, after a reset.
        reality: of that environment.
        steps: how many.
        rng: of what is done.
        look: called before the first step and after each, with the environment.

    Returns:
        (steps + 1, H, W, C) uint8 frames; None if the episode ended before.
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
