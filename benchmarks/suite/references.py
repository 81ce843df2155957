"""What the scores of a row are measured against: acting at random, the best policy, the same algorithm in reality."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecNormalize

from nova_gym.agents.hyperparameters import ALGORITHMS
from nova_gym.agents.pace import UNKNOWN
from nova_gym.agents.reality_vec import FIRST_UNSEEN_SEED
from nova_gym.benchmarks.suite.rows import Row, Teacher
from nova_gym.envs import find_reality, reality_spec
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.environments import find_callable
from nova_gym.measures import mean, share


def references(row: Row, episodes: int = 100, seed: int = 0, steps: int | None = None) -> dict[str, Any]:
    """The references of a row, JSON-ready.

    Args:
        row: of the suite.
        episodes: of random play and of the teacher's test.
        seed: of everything random.
        steps: of the teacher, instead of those that the row names.

    Returns:
        `random` with `return`, and `success` where the environment knows it; `best`, the expected return of the best
        policy, where its transitions are known; `teacher`, where the row has one: how it learned, and its `return`.
    """
    reality = find_reality(reality_spec(row.env_id, row.size))
    found: dict[str, Any] = {"random": random_score(reality, episodes, seed)}
    with closing(reality.make()) as env:
        if hasattr(env.unwrapped, "P"):
            found["best"] = best_return(env, reality.horizon(env) or UNKNOWN)
    if row.teacher is not None:
        found["teacher"] = taught(row.env_id, row.teacher, episodes, seed, steps)
    return found


def random_score(reality: Reality, episodes: int, seed: int = 0) -> dict[str, Any]:
    """Returns, and successes where they are known, of episodes of random actions from starts that no recording holds.

    Args:
        reality: of the environment.
        episodes: how many.
        seed: of starts and actions.
    """
    returns, successes = [], []
    with closing(reality.make()) as env:
        if not reality.horizon(env):
            env = TimeLimit(env, UNKNOWN)
        env.action_space.seed(seed)
        for number in range(FIRST_UNSEEN_SEED + 1000 * seed, FIRST_UNSEEN_SEED + 1000 * seed + episodes):
            env.reset(seed=number)
            paid, ended = 0.0, False
            while not ended:
                _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
                paid, ended = paid + float(reward), terminated or truncated
            returns.append(paid)
            successes.append(reality.success(env, float(reward), terminated))
    scores = {"return": mean(np.array(returns)).to_dict()}
    if None not in successes:
        scores["success"] = share(np.array(successes, dtype=bool)).to_dict()
    return scores


def best_return(env: gym.Env, horizon: int) -> float:
    """The expected return of the best policy within a time limit, by backward induction over `env.unwrapped.P`.

    Args:
        env: its `P[state][action]` lists `(probability, next state, reward, terminated)`, and `initial_state_distrib`
            the shares of the states that episodes begin in.
        horizon: steps of an episode at most.
    """
    known, begins = env.unwrapped.P, np.asarray(env.unwrapped.initial_state_distrib, np.float64)
    rows = [(s, a, *way) for s, actions in known.items() for a, ways in actions.items() for way in ways]
    state, action, chance, following, reward, ends = (np.array(column) for column in zip(*rows, strict=True))
    values = np.zeros(len(begins))
    for _ in range(horizon):
        worth = np.zeros((len(begins), int(action.max()) + 1))
        np.add.at(worth, (state, action), chance * (reward + np.where(ends, 0.0, values[following])))
        values = worth.max(1)
    return float(begins @ values)


def taught(env_id: str, teacher: Teacher, episodes: int, seed: int, steps: int | None = None) -> dict[str, Any]:
    """Trains the teacher in reality, and tests it there from starts that it did not see.

    Like an agent of a dream it acts by its likeliest actions, or draws them where that brings more.
    """

    def make() -> gym.Env:
        env = gym.make(env_id)
        for view in teacher.views:
            env = find_callable(view)(env)
        return env

    steps = steps or teacher.steps
    envs = make_vec_env(make, teacher.envs, seed=seed)
    if teacher.normalised:
        envs = VecNormalize(envs)
    agent = ALGORITHMS[teacher.algorithm]("MlpPolicy", envs, seed=seed, device="cpu", **teacher.settings)
    agent.learn(steps)
    tested = make_vec_env(lambda: Monitor(make()), 1, seed=FIRST_UNSEEN_SEED + seed)
    if teacher.normalised:
        tested = VecNormalize(tested, training=False, norm_reward=False)
        tested.obs_rms = envs.obs_rms
    played = [
        evaluate_policy(agent, tested, episodes, likeliest, return_episode_rewards=True)[0]
        for likeliest in (True, False)
    ]
    returns = max(played, key=np.mean)
    tested.close()
    envs.close()
    return {
        "algorithm": teacher.algorithm,
        "steps in reality": steps,
        "observes": "the whole grid" if teacher.views else "the environment's own state",
        "return": mean(np.array(returns)).to_dict(),
    }


class OneHotGrid(gym.ObservationWrapper):
    """MiniGrid's `image` of its grid as one vector: for each cell, what is there, of which colour, in which state."""

    #: Numbers of kinds of objects, colours and states (an agent's direction among them).
    _KINDS = (11, 6, 4)

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        height, width, _ = env.observation_space["image"].shape
        self.observation_space = gym.spaces.Box(0.0, 1.0, (height * width * sum(self._KINDS),), np.float32)

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        """(H · W · kinds,) float32."""
        image = observation["image"]
        parts: Iterator[np.ndarray] = (
            np.eye(kinds, dtype=np.float32)[image[..., k]] for k, kinds in enumerate(self._KINDS)
        )
        return np.concatenate([part.reshape(-1) for part in parts])
