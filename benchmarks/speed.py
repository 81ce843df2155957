"""Steps per second of the dream and of reality, measured in turns so that a busy machine slows both."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from nova_gym.dream import Dream
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.vector_env import NovaDreamVectorEnv

Steps = Callable[[float], float]


@dataclass(frozen=True)
class Speed:
    """Steps per second of one contestant, and how it compares.

    Attributes:
        name: what was stepped.
        median: steps per second, median of the rounds.
        ratios: in each round, its steps per second over those of the first contestant.
    """

    name: str
    median: float
    ratios: np.ndarray

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return float(np.median(self.ratios))


def measure_speed(
    dream: Dream,
    batches: tuple[int, ...] = (256,),
    rounds: int = 5,
    seconds: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Speed]:
    """Steps dream and reality with random actions, round by round.

    Args:
        dream: with a real counterpart.
        batches: numbers of dreams stepped together, latent observations, through the vector environment.
        rounds: how often each contestant has its turn.
        seconds: length of a turn.
        progress: called with the number of rounds done and their total.

    Returns:
        Reality as it comes (on MiniGrid: symbolic observations) in one process first, then reality with frames as
        observations, then the dream for each batch.
    """
    reality = reality_of(dream)
    spec, drawn = reality.spec, reality.make()
    plain = gym.make(spec.env_id, disable_env_checker=True, **spec.env_kwargs)
    contestants = {
        "reality, its own observations, one process": step_reality(plain),
        "reality, frames, one process": step_reality(drawn, lambda: reality.frame(drawn)),
    }
    for batch in batches:
        envs = NovaDreamVectorEnv(batch, dream, device=dream.world_model.device)
        contestants[f"dream, latent observations, batch {batch}"] = step_vector(envs)
    speeds = in_turns(contestants, rounds, seconds, progress)
    plain.close()
    drawn.close()
    return speeds


def in_turns(
    contestants: dict[str, Steps],
    rounds: int,
    seconds: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Speed]:
    """Lets contestants work in turns, round by round.

    Args:
        contestants: by name, a function that works for about so many seconds and returns its rate; the first is what
            the others are compared with.
        rounds: how often each has its turn, after one short turn to warm up.
        seconds: length of a turn.
        progress: called with the number of rounds done and their total.
    """
    for steps in contestants.values():
        steps(seconds / 4)
    results = np.empty((rounds, len(contestants)))
    for r in range(rounds):
        for c, steps in enumerate(contestants.values()):
            results[r, c] = steps(seconds)
        progress(r + 1, rounds)
    return [
        Speed(name, float(np.median(results[:, c])), results[:, c] / results[:, 0])
        for c, name in enumerate(contestants)
    ]


def repeat(work: Callable[[], object], amount: float = 1.0) -> Steps:
    """A contestant that does `work`, worth `amount`, over and over: its rate is the amount a second."""

    def steps(seconds: float) -> float:
        count, began = 0, time.perf_counter()
        while not count or time.perf_counter() - began < seconds:
            work()
            count += 1
        return count * amount / (time.perf_counter() - began)

    return steps


def step_reality(env: gym.Env, look: Callable[[], object] = lambda: None) -> Steps:
    """A contestant: steps of one environment with random actions, `look` after each."""
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(64)]

    def steps(seconds: float) -> float:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for i in range(20):
                _, _, terminated, truncated, _ = env.step(actions[(count + i) % len(actions)])
                look()
                if terminated or truncated:
                    env.reset()
            count += 20
        return count / (time.perf_counter() - began)

    return steps


def step_vector(envs: VectorEnv) -> Steps:
    """A contestant: steps of a vector environment with random actions, each of its environments counted."""
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = itertools.cycle([envs.action_space.sample() for _ in range(64)])
    return repeat(lambda: envs.step(next(actions)), envs.num_envs)
