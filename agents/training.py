"""Trains an agent in the dream; evaluations in reality choose the version to keep."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from nova_gym.agents.evaluation import play
from nova_gym.agents.features import StandardizedLatents
from nova_gym.agents.hyperparameters import ALGORITHMS, hyperparameters
from nova_gym.agents.reality_vec import FIRST_CHOOSING_SEED, make_reality_vec
from nova_gym.agents.saving import save_agent
from nova_gym.agents.starts import PrioritizedStarts
from nova_gym.agents.vec_env import DreamVecEnv
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.files import write_json
from nova_gym.measures import difference

Progress = Callable[..., None]


@dataclass(frozen=True)
class Point:
    """One evaluation of the agent during its training.

    Attributes:
        steps: steps taken in the dream so far.
        seconds: since the start, evaluations included.
        evaluating: of those, seconds spent on evaluations, in the dream and in reality.
        dream: mean return in the dream, from its default starts, with drawn actions.
        reality: mean return in reality, with drawn actions.
        success: share of the real episodes that succeeded; None if the environment knows no success.
        gap: [value, low, high], `dream` minus `reality` with Welch's 95 % interval.
    """

    steps: int
    seconds: float
    evaluating: float
    dream: float
    reality: float
    success: float | None
    gap: list[float]


@dataclass
class Curve:
    """Return in the dream and in reality over training."""

    points: list[Point] = field(default_factory=list)

    @property
    def best(self) -> Point:
        """The point whose agent is kept: the one with the best return in reality, the last of equal ones."""
        return max(self.points, key=lambda point: (point.reality, point.steps))

    def save(self, path: Path) -> None:
        """Writes the points as JSON, atomically.

        Raises:
            BadInputError: the file cannot be written.
        """
        write_json(path, [asdict(point) for point in self.points])

    @classmethod
    def load(cls, path: Path) -> Curve:
        """Reads what `save` wrote."""
        return cls([Point(**point) for point in json.loads(path.read_text())])


def make_agent(
    algorithm: str,
    env: VecEnv,
    observation: str = "latent",
    seed: int = 0,
    device: str = "auto",
    log_dir: Path | None = None,
) -> BaseAlgorithm:
    """An untrained agent with the settings of `HYPERPARAMETERS`. Its policy standardises latents.

    Args:
        algorithm: `ppo`, `a2c` or `dqn`.
        env: a `DreamVecEnv`, or what `make_reality_vec` makes; it may be wrapped.
        observation: the observations of `env`, `latent` or `pixels`.
        seed: of initial weights and exploration.
        device: as in SB3.
        log_dir: folder of TensorBoard curves; None for no curves.

    Raises:
        BadInputError: the algorithm is unknown, or cannot take the actions of `env`.
    """
    settings = hyperparameters(algorithm, observation)
    if algorithm == "dqn" and not isinstance(env.action_space, spaces.Discrete):
        raise BadInputError(f"dqn needs discrete actions, not {env.action_space}; ppo and a2c take these")
    if observation == "latent":
        settings["policy_kwargs"] |= latent_features(env.unwrapped.dream)
    if algorithm == "ppo":  # few dreams may not fill a mini-batch
        settings["batch_size"] = min(settings["batch_size"], settings["n_steps"] * env.num_envs)
    logs = str(log_dir) if log_dir else None
    return ALGORITHMS[algorithm](env=env, seed=seed, device=device, tensorboard_log=logs, **settings)


def latent_features(dream: Dream) -> dict[str, Any]:
    """`policy_kwargs` for SB3 that standardise the dream's latents, by its `random` starts or else its first ones."""
    states = dream.starts.get("random", next(iter(dream.starts.values()))).cpu()
    spread = states.std(0) if len(states) > 1 else torch.ones(states.shape[1])
    return {
        "features_extractor_class": StandardizedLatents,
        "features_extractor_kwargs": {"mean": states.mean(0).tolist(), "spread": spread.tolist()},
    }


def train_agent(
    dream: Dream | str = "minigrid",
    algorithm: str = "ppo",
    steps: int = 2_000_000,
    num_dreams: int = 256,
    observation: str = "latent",
    seed: int = 0,
    device: str = "auto",
    output: Path | None = None,
    log_dir: Path | None = None,
    evaluations: int = 2,
    episodes: int = 64,
    patience: float = 0.15,
    agent: BaseAlgorithm | None = None,
    progress: Progress = lambda part, done, total, text="": None,
) -> tuple[BaseAlgorithm, Curve]:
    """Trains an agent in the dream alone. Evaluations in reality only choose the version that is kept.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file; it needs a real counterpart.
        algorithm: `ppo`, `a2c` or `dqn`, with the settings of `HYPERPARAMETERS`.
        steps: in the dream, all dreams together, at least 1; SB3 rounds up to whole rollouts.
        num_dreams: how many dreams are stepped as one batch.
        observation: `latent` or `pixels`.
        seed: of initial weights, starts and exploration.
        device: `auto`, `cpu`, `cuda` …, of dream and agent.
        output: zip file that each evaluation writes the best version so far to; None writes no file.
        log_dir: folder of TensorBoard curves; None for no curves.
        evaluations: how often to evaluate in dream and reality, evenly spread, the last time at the end; at least 1.
        episodes: real episodes in each evaluation, at least 1.
        patience: share of the horizon, in (0, 1], at which training episodes are truncated. Without that, an agent that
            cannot reach an end yet spends its time on few starts, and may learn to use the drift of long dreams. Take 1
            if successes take long.
        agent: an agent to train further, instead of a new one.
        progress: called as `progress(part, done, total, text)`.

    Returns:
        The version that was best in reality, and the curve.

    Raises:
        BadInputError: an argument is unknown or out of range, or the dream has no real counterpart.
    """
    if min(steps, evaluations, episodes) < 1:
        raise BadInputError(f"steps, evaluations and episodes must be at least 1: {steps}, {evaluations}, {episodes}")
    if not 0.0 < patience <= 1.0:
        raise BadInputError(f"patience is a share of the horizon, above 0 and at most 1, not {patience}")
    began = time.monotonic()
    dream = (dream if isinstance(dream, Dream) else Dream.load(dream)).to(device)
    longest = math.ceil(patience * dream.card.horizon)
    starts = PrioritizedStarts(dream, seed)
    env = DreamVecEnv(
        replace(dream, starts=dream.starts | {"training": starts.bank}),
        num_dreams,
        observation,
        starts="training",
        device=device,
        max_episode_steps=longest,
    )
    count = min(32, episodes)
    places = {
        "dream": DreamVecEnv(dream, count, observation, device=device),
        "reality": VecMonitor(make_reality_vec(dream, count, observation, device=device)),
    }
    if agent is None:
        agent = make_agent(algorithm, env, observation, seed, device, log_dir)
    else:
        if agent.n_envs != num_dreams:
            raise BadInputError(
                f"the agent to train further learned from {agent.n_envs} dreams at a time, not {num_dreams}"
            )
        agent.set_env(env)
        agent.set_random_seed(seed)
    callback = _RealityCheck(dream, places, steps, evaluations, episodes, seed, output, began, progress)
    try:
        agent.learn(steps, callback=[starts, callback])
    finally:
        for each in (env, *places.values()):
            each.close()
    agent.set_parameters(callback.best)
    return agent, callback.curve


class _RealityCheck(BaseCallback):
    """Evaluates the agent in dream and reality at intervals, logs it, and keeps the best version."""

    def __init__(
        self,
        dream: Dream,
        places: dict[str, VecEnv],
        steps: int,
        evaluations: int,
        episodes: int,
        seed: int,
        output: Path | None,
        began: float,
        progress: Progress,
    ) -> None:
        super().__init__()
        self.dream, self.places, self.episodes, self.output = dream, places, episodes, output
        self.steps, self.every, self.seed = steps, steps / evaluations, seed
        self.began, self.progress = began, progress
        self.curve, self.best, self.evaluating = Curve(), {}, 0.0

    def _on_training_start(self) -> None:
        self.first = self.num_timesteps
        self.next = self.every

    def _on_step(self) -> bool:
        done = self.num_timesteps - self.first
        self.progress("training in the dream", min(done, self.steps), self.steps, self._text())
        if self.next <= done < self.steps:
            self.next += self.every
            self._look()
        return True

    def _on_training_end(self) -> None:
        self._look()

    def _look(self) -> None:
        started = time.monotonic()
        played = {}
        for place, env in self.places.items():
            env.seed(FIRST_CHOOSING_SEED + 1000 * self.seed)
            played[place] = play(self.model, env, self.episodes, deterministic=False)
        dreamt, real = played["dream"], played["reality"]
        self.evaluating += time.monotonic() - started
        gap = difference(dreamt.returns, real.returns)
        point = Point(
            steps=self.num_timesteps - self.first,
            seconds=time.monotonic() - self.began,
            evaluating=self.evaluating,
            dream=float(dreamt.returns.mean()),
            reality=float(real.returns.mean()),
            success=float(real.successes.mean()) if real.successes is not None else None,
            gap=[gap.value, gap.low, gap.high],
        )
        self.curve.points.append(point)
        self.logger.record("reality/return", point.reality)
        self.logger.record("reality/gap", gap.value)
        if point.success is not None:
            self.logger.record("reality/success", point.success)
        self.logger.dump(self.num_timesteps)
        if self.curve.best is point:
            self.best = copy.deepcopy(self.model.get_parameters())
            if self.output:
                save_agent(self.model, self.output, self.dream)
        self.progress("training in the dream", min(point.steps, self.steps), self.steps, self._text())

    def _text(self) -> str:
        if not self.curve.points:
            return ""
        point = self.curve.points[-1]
        success = "" if point.success is None else f", success {point.success:.0%}"
        return f"return in the dream {point.dream:.2f}, in reality {point.reality:.2f}{success}"
