"""The same scenes of the real environment, drawn at several sizes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial

import gymnasium as gym
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality import grids
from nova_gym.envs.reality.recording import random_action
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.model.inr import LARGEST

#: What scenes of MiniGrid may be: as the environment resets itself; goal and agent anywhere, on layouts that no
#: recording holds; what recordings may hold, a few steps into an episode. Where nothing is held out, that is anything.
KINDS = ("official", "held out", "recorded")
#: Of `recorded` scenes, the share with the goal where the environment puts it, the share with the agent on the goal,
#: and random steps before a scene is drawn, at most.
OFFICIAL_GOAL, ENDINGS, STEPS = 0.25, 0.1, 8

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
        count: n, or as many as are found.
        factors: sizes, 1 for that of the dream's frames.
        seed: of the scenes.
        progress: called with the number of scenes drawn and their total.

    Returns:
        By factor, (n, H, W, C) uint8.

    Raises:
        BadInputError: the dream is of something else, there is no such kind, or no scene of it was found.
    """
    if kind not in KINDS:
        raise BadInputError(f"unknown kind of scenes {kind!r}; there are {', '.join(KINDS)}")
    spec = reality_of(dream)
    with closing(spec.make()) as env:
        if not grids.is_minigrid(env):
            raise BadInputError(f"{spec.env_id} is not a MiniGrid: only that can be drawn at any size")
        return _grid_scenes(env, spec, kind, count, factors, np.random.default_rng([seed, 0x5CA1E]), progress)


def _grid_scenes(
    env: gym.Env,
    spec: RealitySpec,
    kind: str,
    count: int,
    factors: tuple[int, ...],
    rng: np.random.Generator,
    progress: Progress,
) -> dict[int, np.ndarray]:
    tile, hold_out = spec.frame_size[1] // env.unwrapped.width, grids.can_hold_out(env) and kind != "official"
    drawn = {f: np.empty((count, *(f * side for side in spec.frame_size), 3), np.uint8) for f in factors}
    seen, misses = set(), 0
    while len(seen) < count and misses < grids.ATTEMPTS:
        misses += 1
        env.reset(seed=int(rng.integers(2**31)))
        placing = np.random.default_rng(int(rng.integers(2**31)))
        if kind == "held out" or (kind == "recorded" and placing.random() >= OFFICIAL_GOAL):
            grids.scatter(env, placing)
        if hold_out and grids.is_held_out(env) != (kind == "held out"):
            continue
        if kind == "recorded":
            _go_on(env, placing)
        scene = env.unwrapped.grid.encode().tobytes(), tuple(env.unwrapped.agent_pos), env.unwrapped.agent_dir
        if scene in seen:
            continue
        for factor in factors:
            drawn[factor][len(seen)] = grids.draw(env, factor * tile)
        seen.add(scene)
        misses = 0
        progress(len(seen), count)
    if not seen:
        raise BadInputError(f"{spec.env_id} has no scenes of the kind {kind!r}: {grids.ATTEMPTS} resets gave none")
    return {factor: frames[: len(seen)] for factor, frames in drawn.items()}


def _go_on(env: gym.Env, rng: np.random.Generator) -> None:
    """A few steps into an episode from anywhere, or to its end."""
    goal, cells = grids.goal_position(env), grids.free_cells(env)
    on_goal = goal is not None and rng.random() < ENDINGS
    grids.place_agent(env, goal if on_goal else cells[int(rng.integers(len(cells)))], int(rng.integers(4)))
    for _ in range(0 if on_goal else int(rng.integers(STEPS + 1))):
        _, _, terminated, truncated, _ = env.step(random_action(env, rng))
        if terminated or truncated:
            break


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
    sizes, spec = range(2, factor + 1), reality_of(dream)
    if count < len(sizes):
        raise BadInputError(f"{len(sizes)} sizes need at least as many scenes, not {count}")
    if factor * max(spec.frame_size) > LARGEST:
        raise BadInputError(f"frames have up to {LARGEST} pixels a side, {factor} × {max(spec.frame_size)} is more")
    drawn, done = {}, 0
    with closing(spec.make()) as env:
        on_grid = grids.is_minigrid(env)
        if not on_grid:
            _check_size(env, spec, factor)
        for i, size in enumerate(sizes):
            number, rng = (i + 1) * count // len(sizes) - done, np.random.default_rng([seed, size, 0x5CA1E])
            said = partial(_said, progress, done, count)
            if on_grid:
                both = _grid_scenes(env, spec, "recorded", number, (1, size), rng, said)
                drawn[size] = both[1], both[size]
            else:
                drawn[size] = _walk(env, spec, number, size, rng, said)
            done += number
            progress(done, count)  # also where a small environment has fewer scenes
    return drawn


def _said(progress: Progress, before: int, count: int, done: int, _: int) -> None:
    progress(before + done, count)


def _walk(
    env: gym.Env, spec: RealitySpec, count: int, factor: int, rng: np.random.Generator, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    larger = _enlarged(spec, factor)
    env.reset(seed=int(rng.integers(2**31)))
    small, large = (np.empty((count, *each.frame_size, 3), np.uint8) for each in (spec, larger))
    for done in range(count):
        small[done], large[done] = spec.frame(env), larger.frame(env)
        _, _, terminated, truncated, _ = env.step(random_action(env, rng))
        if terminated or truncated:
            env.reset(seed=int(rng.integers(2**31)))
        progress(done + 1, count)
    return small, large


def _check_size(env: gym.Env, spec: RealitySpec, factor: int) -> None:
    env.reset(seed=0)
    height, width = np.shape(env.render())[:2]
    largest = min(height // spec.frame_size[0], width // spec.frame_size[1])
    if factor > largest:
        raise BadInputError(
            f"{spec.env_id} draws {height}×{width} pixels, too few for frames {factor} times the dream's "
            f"{spec.frame_size[0]}×{spec.frame_size[1]}; {largest} at most"
        )


def _enlarged(spec: RealitySpec, factor: int) -> RealitySpec:
    return replace(spec, frame_size=(factor * spec.frame_size[0], factor * spec.frame_size[1]))
