"""Recording real episodes into a Minari dataset."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.storage.datasets_root_dir import get_dataset_path

from nova_gym.dream import Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality.base import ATTEMPTS, Reality
from nova_gym.envs.reality.branches import LONGEST, Branches
from nova_gym.envs.reality.chart import Chart
from nova_gym.envs.reality.coverage import ENDLESS, LED_COVERAGE, Coverage, policy_coverage
from nova_gym.envs.reality.registry import find_reality
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.envs.reality.tape import Tape, write_episodes
from nova_gym.errors import BadInputError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

#: Steps after which the way to what was seldom tried is planned anew.
PLANNED = 20
#: Chooses an action by what the environment itself observes, and the environment.
Policy = Callable[[Any, gym.Env], Any]


def record(
    spec: RealitySpec,
    dataset_id: str,
    transitions: int,
    seed: int = 0,
    progress: Callable[[int], None] = lambda recorded: None,
    expert: bool = False,
    policy: Policy | None = None,
    random: float = 0.0,
    make: Callable[[], gym.Env] | None = None,
    seconds: float = math.inf,
    least: int = 1,
    led: bool = False,
) -> minari.MinariDataset:
    """Plays the real environment and writes the episodes to a Minari dataset.

    The observations of an episode are its frames, (T + 1, H, W, 3) uint8, stored without loss. Actions, rewards and
    terminations are the environment's own. Held-out layouts are left out (`Reality.is_held_out`). If the recording
    fails or is interrupted, the unfinished dataset is removed. Episodes are written while they are played, so memory
    does not grow with their length.

    Args:
        spec: the environment and its frames.
        dataset_id: Minari id, such as `minigrid/crossing-v0`. Minari keeps the dataset below `~/.minari/datasets`, or
            below the folder that MINARI_DATASETS_PATH names.
        transitions: how many to record, at least 1. The last clip is finished, so there are slightly more.
        seed: of layouts, placements and actions.
        progress: called with the number of transitions recorded so far.
        expert: record only clips in which the expert of the `Reality` acts.
        policy: record whole episodes of it. It is called as `policy(observation, env)`, with what the environment
            itself observes, and gives an action; `env.render()` draws a picture.
        random: the share of random actions among those of `policy`.
        make: makes the environment in the place of `Reality.make`, such as a `RealityEnv` of the same spec, whose
            observations are a dream's latents.
        seconds: after which recording ends sooner, once it has `least` transitions.
        least: see `seconds`.
        led: the policy is not recorded. It leads to where clips of random actions begin, as a dream with memory needs
            it (`LED_COVERAGE`).

    Returns:
        The dataset. `dataset.storage.metadata["nova_gym"]` holds, as JSON, the spec, the action space, the reward
        discount, the horizon, the share of each kind of clip and of each transition class, the kinds of things seen
        (`Reality.things`), what is held out, in words, and a `summary` of rewards, endings, actions and coverage, with
        warnings.

    Raises:
        BadInputError: the dataset exists already, its id is malformed, `transitions` is below 1, the environment has
            actions of another kind, draws no pictures or has no expert, an action of the policy is none of its, or the
            disk is full.
    """
    if transitions < 1:
        raise BadInputError(f"at least 1 transition has to be recorded, not {transitions}")
    check_dataset_id(dataset_id)
    reality = find_reality(spec)
    coverage = _coverage(reality, expert, policy, random)
    if led:
        if policy is None:
            raise BadInputError("led clips begin where a policy has led: name one")
        coverage = LED_COVERAGE
    with _whole_or_not_at_all(make or reality.make, dataset_id) as env:
        tape = Tape(reality, env, dataset_id)
        hold_out = reality.can_hold_out(env)
        rng = np.random.default_rng(seed)
        env.reset(seed=seed)
        reality.frame(env)  # refuses what is no picture before anything is written
        over = _Over(transitions, least, time.monotonic() + seconds, progress)
        _clips(tape, coverage, hold_out, expert, transitions, rng, over, policy)
        tape.finish(seed, coverage)
    return minari.load_dataset(dataset_id)


def _coverage(reality: Reality, expert: bool, policy: Policy | None, random: float) -> tuple[Coverage, ...]:
    if not 0 <= random <= 1:
        raise BadInputError(f"the share of random actions is within 0 and 1, not {random}")
    if policy is not None:
        if expert:
            raise BadInputError("either the expert acts or a policy: leave out --expert or --policy")
        return policy_coverage(random)
    if random:
        raise BadInputError("--random is a share of a policy's actions: it needs --policy")
    coverage = reality.expert_coverage() if expert else reality.coverage()
    if not coverage:
        lacking = "expert_coverage(): leave out --expert" if expert else "coverage()"
        raise BadInputError(f"{type(reality).__name__}, which knows {reality.spec.env_id}, has an empty {lacking}")
    return coverage


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
        "action_space": dream_actions(dream).to_dict(),
    }
    with _whole_or_not_at_all(reality.make, dataset_id) as env:
        dataset = write_episodes(None, dataset_id, buffers, env, reality.spec)
        dataset.storage.update_metadata({"nova_gym": json.dumps({"reality": asdict(reality.spec), **metadata})})


@contextmanager
def _whole_or_not_at_all(make: Callable[[], gym.Env], dataset_id: str) -> Iterator[gym.Env]:
    """The real environment while a dataset is written. After an error the unfinished dataset is removed.

    It could not be used, and it would block the next attempt under the same name. Where a process was killed, its mark
    is left, by which the next attempt knows that it may remove what lies there.
    """
    env, mark = make(), _mark(dataset_id)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        with mark.open("a") as held:
            if not _lock(held):
                raise _Busy(f"the dataset {dataset_id!r} is being written by another process")
            remove_dataset(dataset_id)
            yield env
            mark.unlink()
    except _Busy:
        raise
    except BaseException as error:
        remove_dataset(dataset_id)
        mark.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BadInputError(f"cannot write the dataset {dataset_id!r}: {error}") from error
        raise
    finally:
        env.close()


class _Busy(BadInputError):
    """A dataset is being written by another process."""


def _mark(dataset_id: str) -> Path:
    """The file that is there, and locked, while a dataset is written."""
    path = get_dataset_path(dataset_id)
    return path.with_name(f".{path.name}.unfinished")


def _lock(file: TextIO) -> bool:
    """Locks a file until it is closed or the process ends; False where another process has. True without such locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _clips(
    tape: Tape,
    coverage: tuple[Coverage, ...],
    hold_out: bool,
    expert: bool,
    transitions: int,
    rng: np.random.Generator,
    over: _Over,
    policy: Policy | None,
) -> None:
    """Records clips of all kinds, interleaved so that each kind has its share at any time."""
    recorded = Counter({kind.name: 0 for kind in coverage})
    possible = list(coverage)
    reality, env = tape.reality, tape.env
    branches = Branches(rng, tape.horizon // 2 if tape.horizon else LONGEST)
    chart = Chart(tape.actions.count, rng) if tape.actions.discrete and any(kind.charted for kind in coverage) else None
    endless = False
    while recorded.total() < transitions and not over(recorded.total()):
        if chart and chart.full:
            chart = None
        kind = min(possible, key=lambda kind: recorded[kind.name] / kind.share)
        start = _start(env, reality, kind, hold_out, expert, rng)
        if start is None:  # such as inner walls, which this environment may lack
            possible.remove(kind)
            if not possible:
                raise BadInputError(f"{reality.spec.env_id} has no start of any kind that a recording is made of")
            continue
        # an episode that may never end is cut at last, and those after it soon
        whole, budget = kind.length or tape.horizon, math.ceil(transitions * kind.share)
        most = whole or max(min(ENDLESS, budget), 0 if endless else math.ceil(budget / 4))
        before = recorded.total()
        soon = lambda done, before=before: over(before + done)  # noqa: E731
        if kind.led:
            recorded[kind.name] += _led_clips(tape, kind, start, rng, soon, policy)
            continue
        if kind.onward:
            onward = branches.enter(env, start.seed, start.observation, lambda: reality.random_action(env, rng))
            start = _Start(*onward, [])
        done = _clip(tape, kind, start, most, rng, soon, policy, branches if kind.onward else None, chart)
        recorded[kind.name] += done
        endless |= not whole and done == most
    tape.kinds = recorded


@dataclass(frozen=True)
class _Over:
    """Whether a recording has lasted long enough, asked after each step with the number of its transitions."""

    transitions: int
    least: int
    until: float
    progress: Callable[[int], None]

    def __call__(self, recorded: int) -> bool:
        self.progress(recorded)
        return recorded >= self.least and time.monotonic() > self.until


class _Start(NamedTuple):
    """Where a clip begins.

    Attributes:
        seed: that the environment was reset with.
        observation: the environment's own.
        deeds: actions that the clip begins with, so that the next can make a transition of the kind it faces.
    """

    seed: int
    observation: Any
    deeds: list[Any]


def _clip(
    tape: Tape,
    kind: Coverage,
    start: _Start,
    most: int,
    rng: np.random.Generator,
    over: Callable[[int], bool],
    policy: Policy | None,
    branches: Branches | None,
    chart: Chart | None,
) -> int:
    """Records one clip of at most so many transitions, and returns how many it has."""
    reality, env, (seed, observation, deeds) = tape.reality, tape.env, start
    expert = None if policy is not None else reality.policy(env) if kind.expert else None
    favoured, often = kind.favoured
    patience = max(2, round(kind.held ** rng.random())) if kind.held > 1 else 1  # short ones as often as long ones
    again, action = 0, None
    tape.begin(seed, kind, branches.before if branches else 0)
    place = chart.begin(tape.frame, tape.clip) if chart else 0
    charted = chart and kind.charted and rng.random() < chart.familiar
    for done in range(1, most + 1):
        draw = rng.random()
        if done <= len(deeds):
            action, again = deeds[done - 1], 0
        elif kind.expert and draw < kind.expert and (policy is not None or expert is not None):
            action, again = (policy(observation, env) if policy is not None else expert()), 0
        elif kind.expert <= draw < kind.expert + often:
            action, again = favoured, 0
        elif again:
            again -= 1
        elif charted:
            if done % PLANNED == 1:
                chart.plan()
            action = tape.actions.to_env(np.array([chart.choose(place)]))[0]
        else:
            action = reality.random_action(env, rng)
            again = int(rng.integers(2 * patience)) if patience > 1 else 0
        observation, terminated, truncated = tape.step(action)
        if branches:
            branches.follow(action, tape.frame)
        if chart and chart.full:  # where so much is new, hardly anything comes back
            chart, charted = None, False
        if chart:
            number = int(tape.actions.to_model(np.asarray([action]))[0])
            place = chart.note(place, number, tape.frame, terminated, tape.clip)
        if over(done) or terminated or truncated:
            break
    tape.end(terminated, truncated)
    if branches:
        branches.leave(terminated or truncated)
    return done


def _led_clips(
    tape: Tape,
    kind: Coverage,
    start: _Start,
    rng: np.random.Generator,
    over: Callable[[int], bool],
    policy: Policy,
) -> int:
    """Records the clips of one episode that a policy leads through, and returns how many transitions they have."""
    (seed, observation, _), env, before, recorded, ended = start, tape.env, 0, 0, False
    while not ended and not over(recorded):
        for _ in range(int(rng.integers(kind.led + 1))):
            observation, _, terminated, truncated, _ = env.step(policy(observation, env))
            before += 1
            if terminated or truncated:
                return recorded
        tape.begin(seed, kind, before)
        for done in range(1, kind.length + 1):
            observation, terminated, truncated = tape.step(tape.reality.random_action(env, rng))
            ended = terminated or truncated
            if ended or over(recorded + done):
                break
        tape.end(terminated, truncated)
        before, recorded = before + done, recorded + done
    return recorded


def _start(
    env: gym.Env, reality: Reality, kind: Coverage, hold_out: bool, led: bool, rng: np.random.Generator
) -> _Start | None:
    """Resets to a start of this kind; None if there is no such start.

    With `led`, from it the expert has to know the way.
    """
    for _ in range(ATTEMPTS):
        seed = int(rng.integers(2**31))
        observation, _ = env.reset(seed=seed)
        if not kind.official:
            reality.scatter(env, rng)
        if hold_out and reality.is_held_out(env):
            continue
        actions = reality.arrange(env, kind.facing, rng) if kind.facing else []
        if actions is not None and (not led or reality.policy(env) is not None):
            return _Start(seed, observation, actions[:-1])
    return None


def remove_dataset(dataset_id: str) -> None:
    """Removes a dataset, whole or not; does nothing where there is none."""
    shutil.rmtree(get_dataset_path(dataset_id), ignore_errors=True)


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
    if get_dataset_path(dataset_id).exists() and not _mark(dataset_id).exists():
        raise BadInputError(
            f"the dataset {dataset_id!r} already exists; take another name, or `minari delete {dataset_id}`"
        )
