"""Recording real episodes into a Minari dataset."""

from __future__ import annotations

import json
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.storage.datasets_root_dir import get_dataset_path

from nova_gym.dream import Dream
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality.base import ATTEMPTS, Reality
from nova_gym.envs.reality.coverage import Coverage
from nova_gym.envs.reality.registry import find_reality
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.version import __version__

_EPISODES_A_WRITE = 512


def record(
    spec: RealitySpec,
    dataset_id: str,
    transitions: int,
    seed: int = 0,
    progress: Callable[[int], None] = lambda recorded: None,
    expert: bool = False,
) -> minari.MinariDataset:
    """Plays the real environment and writes the episodes to a Minari dataset.

    The observations of an episode are its frames, (T + 1, H, W, 3) uint8, stored without loss. Actions, rewards and
    terminations are the environment's own. Held-out layouts are left out (`Reality.is_held_out`). If the recording
    fails or is interrupted, the unfinished dataset is removed.

    Args:
        spec: the environment and its frames.
        dataset_id: Minari id, such as `minigrid/crossing-v0`. Minari keeps the dataset below `~/.minari/datasets`, or
            below the folder that MINARI_DATASETS_PATH names.
        transitions: how many to record, at least 1. The last clip is finished, so there are slightly more.
        seed: of layouts, placements and actions.
        progress: called with the number of transitions recorded so far.
        expert: record only clips in which the expert of the `Reality` acts.

    Returns:
        The dataset. `dataset.storage.metadata["nova_gym"]` holds, as JSON, the spec, the reward discount, the horizon,
        the share of each kind of clip and of each transition class, the kinds of things seen (`Reality.things`), and
        what is held out, in words.

    Raises:
        BadInputError: the dataset exists already, its id is malformed, `transitions` is below 1, the environment has
            actions of another kind or no expert, or the disk is full.
    """
    if transitions < 1:
        raise BadInputError(f"at least 1 transition has to be recorded, not {transitions}")
    check_dataset_id(dataset_id)
    reality = find_reality(spec)
    coverage = reality.expert_coverage() if expert else reality.coverage()
    if not coverage:
        lacking = "expert_coverage(): leave out --expert" if expert else "coverage()"
        raise BadInputError(f"{type(reality).__name__}, which knows {spec.env_id}, has an empty {lacking}")
    with _whole_or_not_at_all(reality, dataset_id) as env:
        _check_space(env, spec)
        hold_out = reality.can_hold_out(env)
        rng = np.random.default_rng(seed)
        counts: Counter[str] = Counter()
        classes: Counter[str] = Counter()
        things: set[str] = set()
        dataset, buffers, discounted = None, [], reality.reward_discount > 0
        for kind, buffer, seen, shown in _clips(env, reality, coverage, hold_out, expert, transitions, rng):
            counts[kind] += len(buffer)
            classes.update(seen)
            things |= shown
            discounted = discounted and _is_discounted(reality, env, buffer.rewards)
            buffers.append(buffer)
            if len(buffers) == _EPISODES_A_WRITE:
                dataset, buffers = _write(dataset, dataset_id, buffers, env, spec), []
            progress(counts.total())
        if buffers:
            dataset = _write(dataset, dataset_id, buffers, env, spec)
        metadata = _metadata(reality, env, seed, counts, classes)
        metadata["reward_discount"] = reality.reward_discount if discounted else 0.0
        metadata["things"] = sorted(things)
        metadata["held_out"] = reality.held_out(env)
        dataset.storage.update_metadata({"nova_gym": json.dumps(metadata)})
    return minari.load_dataset(dataset_id)


def write_dataset(dataset_id: str, buffers: list[EpisodeBuffer], dream: Dream) -> None:
    """Writes episodes played elsewhere as a Minari dataset that `load_clips` reads.

    Args:
        dataset_id: Minari id of a new dataset.
        buffers: the episodes, at least one, with observations (T + 1, H, W, 3) uint8.
        dream: the dream whose reality they were played in.

    Raises:
        BadInputError: the dataset exists already, its id is malformed, or the disk is full.
    """
    check_dataset_id(dataset_id)
    reality, card = reality_of(dream), dream.card
    metadata = {
        "horizon": card.horizon,
        "reward_discount": card.reward_discount,
        "action_names": card.action_names,
        "action_bounds": card.action_bounds,
    }
    with _whole_or_not_at_all(reality, dataset_id) as env:
        dataset = _write(None, dataset_id, buffers, env, reality.spec)
        dataset.storage.update_metadata({"nova_gym": json.dumps({"reality": asdict(reality.spec), **metadata})})


@contextmanager
def _whole_or_not_at_all(reality: Reality, dataset_id: str) -> Iterator[gym.Env]:
    """The real environment while a dataset is written. After an error the unfinished dataset is removed.

    It could not be used, and it would block the next attempt under the same name.
    """
    env = reality.make()
    try:
        yield env
    except BaseException as error:
        shutil.rmtree(get_dataset_path(dataset_id), ignore_errors=True)
        if isinstance(error, OSError):
            raise BadInputError(f"cannot write the dataset {dataset_id!r}: {error}") from error
        raise
    finally:
        env.close()


def _clips(
    env: gym.Env,
    reality: Reality,
    coverage: tuple[Coverage, ...],
    hold_out: bool,
    expert: bool,
    transitions: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, EpisodeBuffer, list[str], set[str]]]:
    """Clips of all kinds, interleaved so that each kind has its share at any time."""
    recorded = Counter({kind.name: 0 for kind in coverage})
    possible = list(coverage)
    while recorded.total() < transitions:
        kind = min(possible, key=lambda kind: recorded[kind.name] / kind.share)
        seed = _start(env, reality, kind, hold_out, expert, rng)
        if seed is None:  # such as inner walls, which this environment may lack
            possible.remove(kind)
            if not possible:
                raise BadInputError(f"{reality.spec.env_id} has no start of any kind that a recording is made of")
            continue
        clip, classes, things = _clip(env, reality, kind, seed, rng)
        recorded[kind.name] += len(clip)
        yield kind.name, clip, classes, things


def _clip(
    env: gym.Env, reality: Reality, kind: Coverage, seed: int, rng: np.random.Generator
) -> tuple[EpisodeBuffer, list[str], set[str]]:
    expert = reality.policy(env) if kind.expert else None
    favoured, often = kind.favoured
    frames, actions, rewards, terminations, truncations, classes = [reality.frame(env)], [], [], [], [], []
    things = set(reality.things(env))
    while len(actions) < kind.length:
        draw = rng.random()
        if expert is not None and draw < kind.expert:
            action = expert()
        elif kind.expert <= draw < kind.expert + often:
            action = favoured
        else:
            action = reality.random_action(env, rng)
        classes.append(reality.transition_class(env, action))
        _, reward, terminated, truncated, _ = env.step(action)
        frames.append(reality.frame(env))
        things |= reality.things(env)
        actions.append(action)
        rewards.append(float(reward))
        terminations.append(bool(terminated))
        truncations.append(bool(truncated))
        if terminated or truncated:
            break
    buffer = EpisodeBuffer(
        seed=seed,
        options={"kind": kind.name, "starts": kind.starts},
        observations=np.stack(frames),
        actions=np.asarray(actions, dtype=env.action_space.dtype),
        rewards=rewards,
        terminations=terminations,
        truncations=truncations,
    )
    return buffer, classes, things


def _start(
    env: gym.Env, reality: Reality, kind: Coverage, hold_out: bool, led: bool, rng: np.random.Generator
) -> int | None:
    """Resets to a start of this kind and returns the seed used; None if the environment has no such start.

    With `led`, from it the expert has to know the way.
    """
    for _ in range(ATTEMPTS):
        seed = int(rng.integers(2**31))
        env.reset(seed=seed)
        if not kind.official:
            reality.scatter(env, rng)
        if hold_out and reality.is_held_out(env):
            continue
        if kind.facing and reality.arrange(env, kind.facing, rng) is None:
            continue
        if not led or reality.policy(env) is not None:
            return seed
    return None


def _check_space(env: gym.Env, spec: RealitySpec) -> None:
    space = env.action_space
    discrete = isinstance(space, gym.spaces.Discrete) and space.start == 0
    flat = isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.is_bounded()
    if not (discrete or flat):
        raise BadInputError(
            f"{spec.env_id} has actions {space}; supported are Discrete from 0 and bounded one-dimensional Box"
        )


def _is_discounted(reality: Reality, env: gym.Env, rewards: list[float]) -> bool:
    """Whether each reward is 0 or `1 - c · step / horizon`, which a success at that step pays."""
    c, horizon = reality.reward_discount, reality.horizon(env)
    usual = (1 - c * step / horizon for step in range(1, len(rewards) + 1))
    return all(reward == 0 or abs(reward - due) < 1e-6 for reward, due in zip(rewards, usual, strict=True))


def _write(dataset, dataset_id, buffers, env, spec):
    if dataset is not None:
        dataset.storage.update_episodes(buffers)
        return dataset
    shape = (*spec.frame_size, 3)
    with warnings.catch_warnings():  # Minari warns that author and link are missing, but they are optional
        warnings.simplefilter("ignore", UserWarning)
        return minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=_portable(env.spec),
            observation_space=gym.spaces.Box(0, 255, shape, np.uint8),
            action_space=env.action_space,
            algorithm_name="nova-gym record",
            description=f"Frames of {spec.env_id} recorded by nova-gym {__version__}",
            jpeg_encoding=False,
        )


def _portable(spec: EnvSpec | None) -> EnvSpec | None:
    """The environment's spec if Minari can store it; None if its entry point is code, such as a class."""
    try:
        return spec if spec is not None and spec.to_json() else None
    except ValueError:
        return None


def check_dataset_id(dataset_id: str) -> None:
    """Checks the id of a new dataset before anything is recorded.

    Raises:
        BadInputError: the id is malformed, or a dataset has it already.
    """
    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError) as error:  # a TypeError where there is no version
        cause = error if isinstance(error, ValueError) else "its name must end in a version, such as -v0"
        raise BadInputError(f"cannot create the dataset {dataset_id!r}: {cause}") from error
    if get_dataset_path(dataset_id).exists():
        raise BadInputError(
            f"the dataset {dataset_id!r} already exists; take another name, or `minari delete {dataset_id}`"
        )


def _metadata(reality: Reality, env: gym.Env, seed: int, counts: Counter[str], classes: Counter[str]) -> dict[str, Any]:
    total = counts.total()
    known: Counter[str] = Counter()
    for name, count in classes.items() if reality.transition_classes else ():
        known[name if name in reality.transition_classes else "other"] += count
    return {
        "version": __version__,
        "reality": asdict(reality.spec),
        "seed": seed,
        "horizon": int(reality.horizon(env) or 0),
        "action_names": reality.action_names(env),
        "action_bounds": _bounds(env.action_space),
        "clip_shares": {name: round(count / total, 4) for name, count in counts.items()},
        "transition_shares": {name: round(count / total, 4) for name, count in known.items()},
    }


def _bounds(space: gym.Space) -> list[list[float]]:
    return [space.low.tolist(), space.high.tolist()] if isinstance(space, gym.spaces.Box) else []
