"""The same scenes of the real environment, drawn at several sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import gymnasium as gym
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs import minigrid as grids
from nova_gym.envs.interface import reality_of
from nova_gym.envs.reality import RealitySpec
from nova_gym.envs.recording import random_action
from nova_gym.errors import BadInputError

#: What scenes of MiniGrid may be: as the environment resets itself; goal and agent anywhere, on layouts that no
#: recording holds; on all other layouts, the goal sometimes where the environment puts it, the agent anywhere.
KINDS = ("official", "held out", "recorded")
#: Of `recorded` scenes, the share with the goal where the environment puts it.
OFFICIAL_GOAL = 0.25

Progress = Callable[[int, int], None]


def grid_scenes(
    dream: Dream,
    kind: str,
    count: int,
    factors: tuple[int, ...],
    seed: int,
    progress: Progress = lambda done, total: None,
) -> dict[int, np.ndarray]:
    """Scenes of a MiniGrid, all different, each drawn natively at every size.

    Args:
        dream: of a MiniGrid environment.
        kind: one of `KINDS`.
        count: n, or as many as are found in many attempts.
        factors: sizes, 1 for that of the dream's frames.
        seed: of the scenes.
        progress: called with the number of scenes drawn and their total.

    Returns:
        By factor, (n, H, W, C) uint8.

    Raises:
        BadInputError: the dream is of something else.
    """
    spec = reality_of(dream)
    env = spec.make()
    if not grids.is_minigrid(env):
        raise BadInputError(f"{spec.env_id} is not a MiniGrid: only that can be drawn at any size")
    tile = spec.frame_size[1] // env.unwrapped.width
    hold_out = grids.can_hold_out(env) and kind != "official"
    rng, seen = np.random.default_rng([seed, 0x5CA1E]), set()
    drawn = {f: np.empty((count, *(f * side for side in spec.frame_size), 3), np.uint8) for f in factors}
    for _ in range(grids.ATTEMPTS * count):
        chosen, placing = int(rng.integers(2**31)), int(rng.integers(2**31))
        env.reset(seed=chosen)
        _place(env, kind, np.random.default_rng(placing))
        scene = env.unwrapped.grid.encode().tobytes(), tuple(env.unwrapped.agent_pos), env.unwrapped.agent_dir
        if scene in seen or (hold_out and grids.is_held_out(env) != (kind == "held out")):
            continue
        for factor in factors:
            drawn[factor][len(seen)] = grids.draw(env, factor * tile)
        seen.add(scene)
        progress(len(seen), count)
        if len(seen) == count:
            break
    env.close()
    return {factor: frames[: len(seen)] for factor, frames in drawn.items()}


def scenes(
    dream: Dream, count: int, factor: int, seed: int, progress: Progress = lambda done, total: None
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Scenes that a recording could hold, each as the dream's frame and once larger.

    Scenes of MiniGrid are those of `grid_scenes`; elsewhere they are those of a random walk, drawn by the environment
    at its own size and shrunk by area.

    Args:
        dream: of any environment.
        count: n, of all sizes together, as many of each.
        factor: the largest size; 2 and all whole numbers between are the others.
        seed: of the scenes.
        progress: called with the number of scenes drawn and their total.

    Returns:
        By size, the dream's frames (m, H, W, C) uint8, and those that many times as large of the same scenes.

    Raises:
        BadInputError: the dream is of nothing real, its environment does not draw as large as that, or there are fewer
            scenes than sizes.
    """
    factors = range(2, factor + 1)
    if count < len(factors):
        raise BadInputError(f"{len(factors)} sizes need at least as many scenes, not {count}")
    env = reality_of(dream).make()
    draw = _grid_pairs if grids.is_minigrid(env) else _walk_pairs
    env.close()
    if draw is _walk_pairs:
        _check_size(dream, factor)
    drawn, done = {}, 0
    for i, size in enumerate(factors):
        number = (i + 1) * count // len(factors) - done
        drawn[size] = draw(dream, number, size, seed + i, lambda n, _, done=done: progress(done + n, count))
        done += number
    return drawn


def _grid_pairs(dream: Dream, count: int, factor: int, seed: int, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    drawn = grid_scenes(dream, "recorded", count, (1, factor), seed, progress)
    return drawn[1], drawn[factor]


def _walk_pairs(dream: Dream, count: int, factor: int, seed: int, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    spec = reality_of(dream)
    larger, env, rng = _enlarged(spec, factor), spec.make(), np.random.default_rng([seed, 0x5CA1E])
    env.reset(seed=int(rng.integers(2**31)))
    small, large = (np.empty((count, *each.frame_size, 3), np.uint8) for each in (spec, larger))
    for done in range(count):
        small[done], large[done] = spec.frame(env), larger.frame(env)
        _, _, terminated, truncated, _ = env.step(random_action(env, rng))
        if terminated or truncated:
            env.reset(seed=int(rng.integers(2**31)))
        progress(done + 1, count)
    env.close()
    return small, large


def _check_size(dream: Dream, factor: int) -> None:
    spec = reality_of(dream)
    env = spec.make()
    env.reset(seed=0)
    height, width = np.shape(env.render())[:2]
    env.close()
    largest = min(height // spec.frame_size[0], width // spec.frame_size[1])
    if factor > largest:
        raise BadInputError(
            f"{spec.env_id} draws {height}×{width} pixels, too few for frames {factor} times the dream's "
            f"{spec.frame_size[0]}×{spec.frame_size[1]}; {largest} at most"
        )


def _place(env: gym.Env, kind: str, rng: np.random.Generator) -> None:
    if kind == "recorded" and rng.random() < OFFICIAL_GOAL:
        cells = grids.free_cells(env)
        grids.place_agent(env, cells[int(rng.integers(len(cells)))], int(rng.integers(4)))
    elif kind != "official":
        grids.scatter(env, rng)


def _enlarged(spec: RealitySpec, factor: int) -> RealitySpec:
    return replace(spec, frame_size=(factor * spec.frame_size[0], factor * spec.frame_size[1]))
