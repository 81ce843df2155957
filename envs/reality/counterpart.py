"""The real environment behind a dream, and other real environments that the same dream can take its place in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, fields, replace

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from nova_gym.dream import STARTS, Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.frames import first_states
from nova_gym.envs.reality.base import ATTEMPTS, Reality
from nova_gym.envs.reality.registry import find_reality, similar_spec
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError


def reality_of(dream: Dream) -> Reality:
    """The real counterpart of a dream.

    Raises:
        BadInputError: the dream's card names no environment, or that environment cannot be made on this machine.
    """
    card = dream.card
    if not card.env_id:
        raise BadInputError("this dream has no real counterpart: its card names no environment")
    known = {f.name for f in fields(RealitySpec)} - {"env_id", "env_kwargs", "frame_size"}
    rest = {key: value for key, value in card.reality.items() if key in known}
    return find_reality(RealitySpec(card.env_id, card.env_kwargs, dream.frame_size, **rest))


def dream_at(
    dream: Dream,
    reality: str | None,
    starts: int = 0,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dream:
    """The same dream with another real counterpart: a level that it dreams by the rules it has learned.

    What the package does with the result, it does at that level: size of frames, horizon, starts, evaluation.

    Args:
        dream: with a real counterpart of its own.
        reality: id of a real environment that is drawn as the dream's own is (`similar_spec`); None for its own.
        starts: how many starts of each kind to take from fresh resets of it, for the dream's file. With 0 a dream at
            another level has none in its file, and its environments start from fresh resets.
        seed: of those starts.
        progress: called with the number of starts and their total.

    Returns:
        A dream with the same world model, whose card names that environment. It is the argument itself where that has
        the counterpart already and no starts are asked for.

    Raises:
        BadInputError: there is no such environment, it is of another kind, its frames do not divide into cells, or its
            actions are others.
    """
    if reality is not None and reality != dream.card.env_id:
        dream = _at(dream, reality)
    if not starts:
        return dream
    made = replace(dream, starts=fresh_starts(dream, starts, seed, progress))
    made.step_kept = dream.step_kept
    return made


def _at(dream: Dream, env_id: str) -> Dream:
    spec, config = similar_spec(reality_of(dream).spec, env_id), dream.world_model.config
    config.cells_of(*spec.frame_size)
    level = find_reality(spec)
    with closing(level.make()) as env:
        horizon, names, space = level.horizon(env), level.action_names(env), env.action_space
    if config.actions and space != dream_actions(dream).space:
        raise BadInputError(f"{env_id} has actions {space}, unlike {dream.card.env_id}, which this dream knows")
    card = replace(
        dream.card,
        env_id=env_id,
        env_kwargs=spec.env_kwargs,
        reality={
            key: value for key, value in asdict(spec).items() if key not in ("env_id", "env_kwargs", "frame_size")
        },
        frame_size=list(spec.frame_size),
        horizon=horizon,
        action_names=names,
    )
    made = Dream(dream.world_model, {}, card)
    made.step_kept = dream.step_kept
    return made


def restart(reality: Reality, env: gym.Env, starts: str, rng: np.random.Generator) -> None:
    """Resets a real environment to a fresh start.

    Args:
        reality: of that environment.
        env: is reset.
        starts: `random` for agent and goal anywhere, where the `Reality` can move them; anything else for a start as
            the environment has it.
        rng: of the start.
    """
    env.reset(seed=int(rng.integers(2**31)))
    if starts == "random":
        reality.scatter(env, rng)


def fresh_starts(
    dream: Dream,
    count: int = STARTS,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Tensor]:
    """Starts of a dream's real environment, encoded.

    Args:
        dream: with a real counterpart.
        count: how many of each kind at most, all different; a small environment may have fewer.
        seed: of the resets.
        progress: called with the number of starts and their total.

    Returns:
        (n, K + M, rows, cols) float32 by kind: `official`, and `random` where the `Reality` can move agent and goal.
    """
    reality = reality_of(dream)
    kinds = ("official", "random") if reality.scatters else ("official",)
    starts = {}
    with closing(reality.make()) as env:
        for k, kind in enumerate(kinds):
            rng = np.random.default_rng([seed, k, 0x57A7])
            frames: dict[bytes, np.ndarray] = {}
            misses = 0
            while len(frames) < count and misses < ATTEMPTS:
                restart(reality, env, kind, rng)
                frame = reality.frame(env)
                misses = misses + 1 if frame.tobytes() in frames else 0
                frames[frame.tobytes()] = frame
                progress(k * count + len(frames), len(kinds) * count)
            parts = np.array_split(np.stack(list(frames.values())), max(1, len(frames) // 64))
            starts[kind] = torch.cat([first_states(dream, part, kind == "official") for part in parts])
    return starts
