"""What is seen of an agent during its training: returns in the dream and in reality."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from nova_gym.agents.evaluation import Episodes, play
from nova_gym.agents.pace import longest_episode
from nova_gym.agents.reality_vec import FIRST_CHOOSING_SEED, make_reality_vec
from nova_gym.agents.saving import save_agent
from nova_gym.agents.vec_env import DreamVecEnv
from nova_gym.dream import Dream
from nova_gym.files import write_json
from nova_gym.measures import difference

Progress = Callable[..., None]

#: Share of a limit of time that evaluations may take; those that are asked for play few episodes where that is short.
EVALUATING = 0.2


@dataclass(frozen=True)
class Point:
    """One evaluation of the agent during its training.

    Attributes:
        steps: steps taken in the dream so far.
        seconds: since the start, evaluations included.
        evaluating: of those, seconds spent on evaluations, in the dream and in reality.
        dream: mean return in the dream, from its default starts, in all levels. Discrete actions are drawn.
        reality: mean return in reality, likewise.
        success: share of the real episodes that succeeded; None if the environment knows no success.
        successes: the same by environment, for those that know success.
        gap: [value, low, high], `dream` minus `reality` with Welch's 95 % interval.
    """

    steps: int
    seconds: float
    evaluating: float
    dream: float
    reality: float
    success: float | None
    successes: dict[str, float]
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


class RealityCheck(BaseCallback):
    """Evaluates the agent in dream and reality at intervals, logs it, and keeps the best version.

    Args:
        levels: the dream at each level that the agent learns for.
        observation: what the agent sees, `latent` or `pixels`.
        steps: that training takes.
        evaluations: how often to evaluate, evenly spread over the steps or, if that is sooner, over the minutes. The
            last time is at the end.
        episodes: of each evaluation, in each level's dream and reality.
        seed: of the episodes.
        output: file that each evaluation writes the best version so far to; None writes no file.
        began: when training began, as `time.monotonic()` has it.
        progress: called as `progress(part, done, total, text)`.
        minutes: after which training is stopped, evaluations included; None for no limit.
        usual: steps that training takes where none are asked for. Where a limit of time lets it go on beyond them, it
            is evaluated there too, and after twice, four times … as many, as long as evaluations take little of the
            time: an agent that goes on for long finds what its dream makes up.
        taught: whether the agent knows something already, so that it is evaluated before it learns, too.

    Attributes:
        curve: all evaluations.
        best: parameters of the best version.
        share: of the training that is done, by steps or, if that is more, by minutes.
    """

    def __init__(
        self,
        levels: Sequence[Dream],
        observation: str,
        steps: int,
        evaluations: int,
        episodes: int,
        seed: int,
        output: Path | None,
        began: float,
        progress: Progress,
        minutes: float | None = None,
        usual: int | None = None,
        taught: bool = False,
    ) -> None:
        super().__init__()
        count, device = min(32, episodes), levels[0].world_model.device
        self.levels, self.episodes, self.output = levels, episodes, output
        self.places = {
            "dream": [
                DreamVecEnv(level, count, observation, device=device, max_episode_steps=longest_episode(level))
                for level in levels
            ],
            "reality": [
                VecMonitor(
                    make_reality_vec(level, count, observation, device=device, max_episode_steps=longest_episode(level))
                )
                for level in levels
            ],
        }
        self.steps, self.evaluations, self.seed = steps, evaluations, seed
        self.limit = math.inf if minutes is None else 60.0 * minutes
        self.milestone = math.inf if minutes is None or usual is None else usual
        self.began, self.progress, self.taught = began, progress, taught
        self.curve, self.best, self.evaluating, self.share = Curve(), {}, 0.0, 0.0

    def close(self) -> None:
        """Closes the environments."""
        for env in [*self.places["dream"], *self.places["reality"]]:
            env.close()

    def _on_training_start(self) -> None:
        self.first, self.look = self.num_timesteps, 0
        if self.taught:
            self._look()

    def _on_step(self) -> bool:
        done = self.num_timesteps - self.first
        share = self.share = max(done / self.steps, self._share_of_time())
        self._report()
        if (share * self.evaluations >= self.look + 1 or self._at_milestone(done)) and share < 1.0:
            self.look = max(self.look, int(share * self.evaluations))
            self._look()
        return self._share_of_time() < 1.0

    def _at_milestone(self, done: int) -> bool:
        """Whether so many steps are usual, or twice as many and so on, and there is time to evaluate."""
        if done < self.milestone:
            return False
        while done >= self.milestone:
            self.milestone *= 2
        one = self.evaluating / max(1, len(self.curve.points))
        return self.evaluating + one <= EVALUATING * self.limit

    def _share_of_time(self) -> float:
        """The share of the time that is used up, if the last evaluation takes as long as those before it."""
        used = time.monotonic() - self.began
        one = self.evaluating / max(1, len(self.curve.points))
        return (used + one) / self.limit

    def _on_training_end(self) -> None:
        self._look()

    def _look(self) -> None:
        started = time.monotonic()
        played = {place: [self._play(env) for env in envs] for place, envs in self.places.items()}
        self.evaluating += time.monotonic() - started
        dreamt, real = (np.concatenate([each.returns for each in played[place]]) for place in self.places)
        successes = {
            level.card.env_id: float(each.successes.mean())
            for level, each in zip(self.levels, played["reality"], strict=True)
            if each.successes is not None
        }
        gap = difference(dreamt, real)
        point = Point(
            steps=self.num_timesteps - self.first,
            seconds=time.monotonic() - self.began,
            evaluating=self.evaluating,
            dream=float(dreamt.mean()),
            reality=float(real.mean()),
            success=float(np.mean(list(successes.values()))) if successes else None,
            successes=successes,
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
                save_agent(self.model, self.output, self.levels[0])
        self._report()

    def _report(self) -> None:
        """Tells how much is done, and of how many steps: of those that the time is enough for, if that is less."""
        done = min(self.num_timesteps - self.first, self.steps)
        self.progress("training in the dream", done, max(done, int(done / max(self.share, 1e-9))), self._text())

    def _play(self, env: VecEnv) -> Episodes:
        env.seed(FIRST_CHOOSING_SEED + 1000 * self.seed)
        continuous = isinstance(self.model.action_space, spaces.Box)  # drawn ones are never at rest
        return play(self.model, env, self.episodes, deterministic=continuous)

    def _text(self) -> str:
        if not self.curve.points:
            return ""
        point = self.curve.points[-1]
        success = "" if point.success is None else f", success {point.success:.0%}"
        return f"return in the dream {point.dream:.2f}, in reality {point.reality:.2f}{success}"
