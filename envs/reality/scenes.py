"""The same scenes of the real environment, drawn at several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial

import gymnasium as gym
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality.base import ATTEMPTS, Reality
from nova_gym.errors import BadInputError
from nova_gym.model.inr import LARGEST

Progress = Callable[[int, int], None]


def scenes_of_a_kind(
    dream: Dream,
    kind: str,
    count: int,
    scales: tuple[int, ...],
    seed: int,
    progress: Progress = lambda done, total: None,
) -> dict[int, np.ndarray]:
    """Scenes of the real environment, all different, each drawn by itself at every size.

    Args:
        dream: of any environment.
        kind: one of `nova_gym.envs.reality.SCENES`.
        count: n, or as many as are found.
        scales: sizes, 1 for that of the dream's frames.
        seed: of the scenes.
        progress: called with the number of scenes drawn and their total.

    Returns:
        By scale, (n, H, W, C) uint8.

    Raises:
        BadInputError: the dream is of nothing real, its environment does not draw as large as that, there is no such
            kind, or no scene of it was found.
    """
    reality = reality_of(dream)
    with closing(reality.make()) as env:
        _check_scale(reality, env, max(scales))
        return _draw(reality, env, kind, count, scales, np.random.default_rng([seed, 0x5CA1E]), progress)


def scenes(
    dream: Dream, count: int, largest: int, seed: int, progress: Progress = lambda done, total: None
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Scenes that a recording could hold, each as the dream's frame and once larger.

    Args:
        dream: of any environment.
        count: n, of all sizes together, as many of each.
        largest: the largest size; 2 and all whole numbers between are the others.
        seed: of the scenes.
        progress: called with the number of scenes drawn and their total.

    Returns:
        By size, the dream's frames (m, H, W, C) uint8, and those that many times as large of the same scenes.

    Raises:
        BadInputError: the dream is of nothing real, its environment does not draw as large as that, or there are fewer
            scenes than sizes.
    """
    sizes, reality = range(2, largest + 1), reality_of(dream)
    if count < len(sizes):
        raise BadInputError(f"{len(sizes)} sizes need at least as many scenes, not {count}")
    drawn, done = {}, 0
    with closing(reality.make()) as env:
        _check_scale(reality, env, largest)
        for i, size in enumerate(sizes):
            number, rng = (i + 1) * count // len(sizes) - done, np.random.default_rng([seed, size, 0x5CA1E])
            said = partial(_said, progress, done, count)
            both = _draw(reality, env, "recorded", number, (1, size), rng, said)
            drawn[size] = both[1], both[size]
            done += number
            progress(done, count)  # also where a small environment has fewer scenes
    return drawn


def _said(progress: Progress, before: int, count: int, done: int, _: int) -> None:
    progress(before + done, count)


def _draw(
    reality: Reality,
    env: gym.Env,
    kind: str,
    count: int,
    scales: Iterable[int],
    rng: np.random.Generator,
    progress: Progress,
) -> dict[int, np.ndarray]:
    """Different scenes, until there are enough or `ATTEMPTS` in a row were known already."""
    height, width = reality.spec.frame_size
    drawn = {scale: np.empty((count, scale * height, scale * width, 3), np.uint8) for scale in scales}
    seen: set[bytes] = set()
    misses = 0
    for _ in reality.scenes(env, kind, rng):
        misses += 1
        scene = reality.frame(env)
        if scene.tobytes() not in seen:
            for scale, pictures in drawn.items():
                pictures[len(seen)] = scene if scale == 1 else reality.draw(env, scale)
            seen.add(scene.tobytes())
            misses = 0
            progress(len(seen), count)
        if len(seen) == count or misses == ATTEMPTS:
            break
    return {scale: pictures[: len(seen)] for scale, pictures in drawn.items()}


def _check_scale(reality: Reality, env: gym.Env, scale: int) -> None:
    height, width = reality.spec.frame_size
    if scale * max(height, width) > LARGEST:
        raise BadInputError(f"frames have up to {LARGEST} pixels a side, {scale} × {max(height, width)} is more")
    largest = reality.largest_scale(env)
    if scale > largest:
        raise BadInputError(
            f"{reality.spec.env_id} draws too few pixels for frames {scale} times the dream's {height}×{width}; "
            f"{largest} times at most"
        )
