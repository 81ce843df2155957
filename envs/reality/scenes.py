"""Scenes of the real environment, each drawn at several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial

import gymnasium as gym
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs.reality.base import ATTEMPTS, Reality
from nova_gym.envs.reality.counterpart import reality_of
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
    """Different scenes of the real environment, each drawn natively at every size.

    Args:
        dream: with a real counterpart.
        kind: one of `nova_gym.envs.reality.base.SCENES`.
        count: n at most; a small environment may have fewer scenes.
        scales: sizes as multiples of the dream's frame size, which is 1.
        seed: of the scenes.
        progress: called with the number of scenes drawn and their total.

    Returns:
        By scale, (n, scale · H, scale · W, C) uint8; the same scenes in the same order at each.

    Raises:
        BadInputError: the dream has no real counterpart, its environment draws too few pixels for that, or it has no
            scenes of this kind.
    """
    reality = reality_of(dream)
    with closing(reality.make()) as env:
        _check_scale(reality, env, max(scales))
        return _draw(reality, env, kind, count, scales, np.random.default_rng([seed, 0x5CA1E]), progress)


def scenes(
    dream: Dream, count: int, largest: int, seed: int, progress: Progress = lambda done, total: None
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Scenes such as recordings hold, each drawn as a frame of the dream and at one larger size.

    Args:
        dream: with a real counterpart.
        count: scenes of all sizes together, shared out evenly.
        largest: the largest size as a multiple of the dream's frame size. The sizes are 2, 3, … `largest`.
        seed: of the scenes.
        progress: called with the number of scenes drawn and their total.

    Returns:
        By size: m frames (m, H, W, C) uint8, and the same scenes drawn larger, (m, size · H, size · W, C) uint8.

    Raises:
        BadInputError: the dream has no real counterpart, its environment draws too few pixels for that, or `count` is
            below the number of sizes.
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
            progress(done, count)  # even if a small environment has fewer scenes
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
    """Draws different scenes, until there are enough or `ATTEMPTS` in a row were drawn before."""
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
