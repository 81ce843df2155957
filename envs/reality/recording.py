"""Recording real episodes into a Minari dataset."""

from __future__ import annotations

import json
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.storage.datasets_root_dir import get_dataset_path

from nova_gym.dream import Dream
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality import grids
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.version import __version__


@dataclass(frozen=True)
class Coverage:
    """One kind of clip in a recording.

    Attributes:
        name: what the clips are for.
        share: share of all recorded transitions.
        length: transitions in a clip at most (it also ends where the episode does).
        official: start where the environment starts; otherwise scatter goal and agent.
        facing: transition class that a step forward from the first pose belongs to, None for any pose.
        to_goal: probability of an action on the shortest way to the goal.
        forward: probability of a step forward; what is left of 1 is a random action.
    """

    name: str
    share: float
    length: int
    official: bool = False
    facing: str | None = None
    to_goal: float = 0.0
    forward: float = 0.0

    @property
    def starts(self) -> str:
        """What the first frames are a fair sample of: `official` or `random` starts, or nothing that has a name."""
        return "official" if self.official else "" if self.facing else "random"


#: MiniGrid: every layout and pose, rare events often, random and goal-directed mixed, some long clips.
MINIGRID_COVERAGE = (
    Coverage("official starts, to the goal", 0.10, 40, official=True, to_goal=0.6),
    Coverage("anywhere, at random", 0.10, 8, forward=0.4),
    Coverage("anywhere, to the goal", 0.12, 8, to_goal=0.6),
    Coverage("facing an inner wall", 0.20, 8, facing="bump into inner wall", forward=0.5),
    Coverage("facing the outer wall", 0.03, 8, facing="bump into outer wall", forward=0.4),
    Coverage("next to the goal", 0.13, 8, facing="into goal", to_goal=0.7),
    Coverage("anywhere, long", 0.32, 80, forward=0.3),
)

#: MiniGrid: straight to the goal, what a control model should imitate.
MINIGRID_EXPERT = (
    Coverage("official starts, straight to the goal", 0.5, 80, official=True, to_goal=1.0),
    Coverage("anywhere, straight to the goal", 0.5, 80, to_goal=1.0),
)

#: Any other environment: its own episodes under a random policy.
RANDOM_COVERAGE = (Coverage("official starts, at random", 1.0, 200, official=True),)

#: Share of MiniGrid's reward that is lost by the horizon; the dream learns the reward without it.
DISCOUNT = 0.9

_EPISODES_A_WRITE = 512


def record(
    spec: RealitySpec,
    dataset_id: str,
    transitions: int,
    seed: int = 0,
    progress: Callable[[int], None] = lambda recorded: None,
    expert: bool = False,
) -> minari.MinariDataset:
    """Plays the real environment and writes what happened to a Minari dataset.

    Frames are stored without loss as the observations, (T + 1, H, W, 3) uint8 an episode, with actions, the
    environment's own rewards and terminations. On MiniGrid no held-out layout is recorded
    (`nova_gym.envs.reality.grids.is_held_out`).

    Args:
        spec: the environment and its frames.
        dataset_id: Minari id, such as `minigrid/crossing-v0`.
        transitions: how many transitions to record; whole clips, so slightly more.
        seed: of layouts, placements and policies.
        progress: called with the number of transitions recorded so far.
        expert: only walks straight to the goal, on MiniGrid alone.

    Returns:
        The dataset; `dataset.storage.metadata["nova_gym"]` holds, as JSON, the spec, the reward discount,
        the horizon and the share of each kind of clip and each transition class.

    Raises:
        BadInputError: the dataset exists already, its id is malformed, nothing was asked for, or there is no expert.
    """
    if transitions < 1:
        raise BadInputError(f"at least 1 transition has to be recorded, not {transitions}")
    check_dataset_id(dataset_id)
    with _whole_or_not_at_all(spec, dataset_id) as env:
        _check_space(env, spec)
        on_grid = grids.is_minigrid(env)
        if expert and not on_grid:
            raise BadInputError(f"there is an expert for MiniGrid alone, not for {spec.env_id}: leave out --expert")
        coverage = (MINIGRID_EXPERT if expert else MINIGRID_COVERAGE) if on_grid else RANDOM_COVERAGE
        hold_out = on_grid and grids.can_hold_out(env)
        rng = np.random.default_rng(seed)
        counts: Counter[str] = Counter()
        classes: Counter[str] = Counter()
        dataset, buffers, discounted = None, [], on_grid
        for kind, buffer, seen in _clips(env, spec, coverage, hold_out, transitions, rng):
            counts[kind] += len(buffer)
            classes.update(seen)
            discounted = discounted and _is_discounted(env, buffer.rewards)
            buffers.append(buffer)
            if len(buffers) == _EPISODES_A_WRITE:
                dataset, buffers = _write(dataset, dataset_id, buffers, env, spec), []
            progress(counts.total())
        if buffers:
            dataset = _write(dataset, dataset_id, buffers, env, spec)
        metadata = _metadata(env, spec, seed, counts, classes)
        metadata["reward_discount"] = DISCOUNT if discounted else 0.0
        metadata["held_out"] = f"one layout in {grids.HELD_OUT_ONE_IN}" if hold_out else "none"
        dataset.storage.update_metadata({"nova_gym": json.dumps(metadata)})
    return minari.load_dataset(dataset_id)


def write_dataset(dataset_id: str, buffers: list[EpisodeBuffer], dream: Dream) -> None:
    """Writes episodes played elsewhere as a Minari dataset that `load_clips` reads.

    Args:
        dataset_id: Minari id, free so far.
        buffers: at least one, observations (T + 1, H, W, 3) uint8.
        dream: in whose reality they were played.

    Raises:
        BadInputError: the dataset exists already, or the disk is full.
    """
    check_dataset_id(dataset_id)
    spec, card = reality_of(dream), dream.card
    metadata = {
        "horizon": card.horizon,
        "reward_discount": card.reward_discount,
        "action_names": card.action_names,
        "action_bounds": card.action_bounds,
    }
    with _whole_or_not_at_all(spec, dataset_id) as env:
        dataset = _write(None, dataset_id, buffers, env, spec)
        dataset.storage.update_metadata({"nova_gym": json.dumps({"reality": asdict(spec), **metadata})})


@contextmanager
def _whole_or_not_at_all(spec: RealitySpec, dataset_id: str) -> Iterator[gym.Env]:
    """The real environment while a dataset is written; half a dataset helps nobody and blocks the next attempt."""
    env = spec.make()
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
    spec: RealitySpec,
    coverage: tuple[Coverage, ...],
    hold_out: bool,
    transitions: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, EpisodeBuffer, list[str]]]:
    """Clips of all kinds, interleaved so that each kind keeps its share at any time."""
    recorded = Counter({kind.name: 0 for kind in coverage})
    possible = list(coverage)
    while recorded.total() < transitions:
        kind = min(possible, key=lambda kind: recorded[kind.name] / kind.share)
        seed = _start(env, kind, hold_out, rng)
        if seed is None:  # this environment has no inner walls, say
            possible.remove(kind)
            continue
        clip, classes = _clip(env, spec, kind, seed, rng)
        recorded[kind.name] += len(clip)
        yield kind.name, clip, classes


def _clip(
    env: gym.Env, spec: RealitySpec, kind: Coverage, seed: int, rng: np.random.Generator
) -> tuple[EpisodeBuffer, list[str]]:
    on_grid = grids.is_minigrid(env)
    distances = grids.distances_to_goal(env) if kind.to_goal else {}
    frames, actions, rewards, terminations, truncations, classes = [spec.frame(env)], [], [], [], [], []
    while len(actions) < kind.length:
        draw = rng.random()
        if draw < kind.to_goal:
            action = grids.action_to_goal(env, distances)
        elif draw < kind.to_goal + kind.forward:
            action = int(grids.Actions.forward)
        else:
            action = random_action(env, rng)
        if on_grid:
            classes.append(grids.transition_class(env, action))
        _, reward, terminated, truncated, _ = env.step(action)
        frames.append(spec.frame(env))
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
    return buffer, classes


def _start(env: gym.Env, kind: Coverage, hold_out: bool, rng: np.random.Generator) -> int | None:
    """Resets to a start of this kind and returns the seed used; None if the environment has no such start."""
    for _ in range(grids.ATTEMPTS):
        seed = int(rng.integers(2**31))
        env.reset(seed=seed)
        if not grids.is_minigrid(env):
            return seed
        if not kind.official:
            grids.scatter(env, rng)
        if hold_out and grids.is_held_out(env):
            continue
        if not kind.facing:
            return seed
        poses = grids.poses_facing(env, kind.facing)
        if poses:
            grids.place_agent(env, *poses[int(rng.integers(len(poses)))])
            return seed
    return None


def random_action(env: gym.Env, rng: np.random.Generator):
    """A random action of `env`; on MiniGrid turns and steps are drawn four times as often as the rest."""
    if grids.is_minigrid(env):
        weights = np.where(np.arange(env.action_space.n) <= grids.Actions.forward, 4.0, 1.0)
        return int(rng.choice(env.action_space.n, p=weights / weights.sum()))
    env.action_space.seed(int(rng.integers(2**31)))
    return env.action_space.sample()


def _check_space(env: gym.Env, spec: RealitySpec) -> None:
    space = env.action_space
    discrete = isinstance(space, gym.spaces.Discrete) and space.start == 0
    flat = isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.is_bounded()
    if not (discrete or flat):
        raise BadInputError(
            f"{spec.env_id} has actions {space}; supported are Discrete from 0 and bounded one-dimensional Box"
        )


def _is_discounted(env: gym.Env, rewards: list[float]) -> bool:
    """Whether all rewards are 0 or MiniGrid's usual `1 - 0.9 · step / max_steps`, as for a success."""
    horizon = env.unwrapped.max_steps
    usual = (1 - DISCOUNT * step / horizon for step in range(1, len(rewards) + 1))
    return all(reward == 0 or abs(reward - due) < 1e-6 for reward, due in zip(rewards, usual, strict=True))


def _write(dataset, dataset_id, buffers, env, spec):
    if dataset is not None:
        dataset.storage.update_episodes(buffers)
        return dataset
    shape = (*spec.frame_size, 3)
    with warnings.catch_warnings():  # Minari asks for an author and a link, which a user's own data has not
        warnings.simplefilter("ignore", UserWarning)
        return minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=env.spec,
            observation_space=gym.spaces.Box(0, 255, shape, np.uint8),
            action_space=env.action_space,
            algorithm_name="nova-gym record",
            description=f"Frames of {spec.env_id} recorded by nova-gym {__version__}",
            jpeg_encoding=False,
        )


def check_dataset_id(dataset_id: str) -> None:
    """Before anything is recorded: is the id well formed, and free?

    Raises:
        BadInputError: it is not.
    """
    try:
        parse_dataset_id(dataset_id)
    except ValueError as error:
        raise BadInputError(f"cannot create the dataset {dataset_id!r}: {error}") from error
    if get_dataset_path(dataset_id).exists():
        raise BadInputError(
            f"the dataset {dataset_id!r} already exists; take another name, or `minari delete {dataset_id}`"
        )


def _metadata(env, spec, seed, counts, classes) -> dict:
    total = counts.total()
    on_grid = grids.is_minigrid(env)
    horizon = env.unwrapped.max_steps if on_grid else (env.spec.max_episode_steps or 0)
    return {
        "version": __version__,
        "reality": asdict(spec),
        "seed": seed,
        "horizon": horizon,
        "action_names": [action.name for action in grids.Actions] if on_grid else [],
        "action_bounds": _bounds(env.action_space),
        "clip_shares": {name: round(count / total, 4) for name, count in counts.items()},
        "transition_shares": {name: round(count / total, 4) for name, count in classes.items()},
    }


def _bounds(space: gym.Space) -> list[list[float]]:
    return [space.low.tolist(), space.high.tolist()] if isinstance(space, gym.spaces.Box) else []
