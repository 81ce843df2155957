"""Time of PPO in the dream, split into dream, policy and update."""

from __future__ import annotations

import time
from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from nova_gym.agents import DreamVecEnv, make_agent
from nova_gym.benchmarks.figures import Figure, figures_beside
from nova_gym.dream import Dream

#: Dreams stepped as one batch, the default of `nova-gym agent train`, and rollouts in a round.
DREAMS, ROLLOUTS = 256, 2

Progress = Callable[[int, int], None]


class _Timed(VecEnvWrapper):
    """Measures how long the dream takes."""

    seconds = 0.0

    def reset(self):
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        began = time.perf_counter()
        result = self.venv.step_wait()
        self.seconds += time.perf_counter() - began
        return result


class _Collecting(BaseCallback):
    """Measures how long the collection of rollouts takes, the dream included."""

    seconds = 0.0

    def _on_rollout_start(self) -> None:
        self.began = time.perf_counter()

    def _on_rollout_end(self) -> None:
        self.seconds += time.perf_counter() - self.began

    def _on_step(self) -> bool:
        return True


def measure_learning(dream: Dream, rounds: int, progress: Progress) -> dict[str, list[Figure]]:
    """Seconds of 100,000 steps of PPO, in all and for each of the three parts."""
    spent: dict[str, list[float]] = {name: [] for name in ("PPO", "the dream", "the policy", "the update")}
    env = _Timed(DreamVecEnv(dream, DREAMS))
    agent = make_agent("ppo", env)
    steps = ROLLOUTS * DREAMS * agent.n_steps
    agent.learn(DREAMS * agent.n_steps)  # to warm up
    for done in range(rounds):
        env.seconds, collecting = 0.0, _Collecting()
        began = time.perf_counter()
        agent.learn(steps, callback=collecting, reset_num_timesteps=False)
        whole = time.perf_counter() - began
        parts = (whole, env.seconds, collecting.seconds - env.seconds, whole - collecting.seconds)
        for values, seconds in zip(spent.values(), parts, strict=True):
            values.append(seconds / steps * 100_000)
        progress(done + 1, rounds)
    return {"seconds of 100,000 steps of PPO, latents": figures_beside(spent, "s")}
