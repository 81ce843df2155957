"""PPO in the dream against PPO in the real environment, the same wall clock each.

`python -m nova_gym.benchmarks.agent_against_reality [--json FILE]` trains in the dream (latents), then for as many
seconds in the real environment with RGB frames (a convolutional policy, 16 environments, else the same
hyperparameters), and plays both in reality. Where the dream comes from, its recording and training, is not part of its
time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor

from nova_gym import Dream
from nova_gym.agents import make_agent, make_reality_vec, train_agent
from nova_gym.agents.evaluation import play
from nova_gym.agents.reality_vec import FIRST_UNSEEN_SEED
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import interval, show
from nova_gym.measures import mean, share


class _Deadline(BaseCallback):
    """Stops training after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.end = time.monotonic() + seconds

    def _on_step(self) -> bool:
        return time.monotonic() < self.end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream (default: minigrid)")
    parser.add_argument("--steps", type=int, default=2_000_000, help="in the dream (default: 2,000,000)")
    parser.add_argument("--episodes", type=int, default=200, help="real episodes of each test (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    began = time.monotonic()
    dream = Dream.load(arguments.dream)
    dreamer, _ = train_agent(dream, steps=arguments.steps, seed=arguments.seed, evaluations=1, device="cpu")
    seconds = time.monotonic() - began
    env = VecMonitor(make_reality_vec(dream, 16, "pixels", device="cpu"))
    env.seed(arguments.seed)
    waking = make_agent("ppo", env, "pixels", arguments.seed, "cpu")
    waking.learn(10**9, callback=_Deadline(seconds))
    figures = {"seconds of training each": seconds}
    for name, agent, kind in (("trained in the dream", dreamer, "latent"), ("trained in reality", waking, "pixels")):
        reality = VecMonitor(make_reality_vec(dream, 32, kind, device="cpu"))
        reality.seed(FIRST_UNSEEN_SEED + 1000 * arguments.seed)
        played = play(agent, reality, arguments.episodes, deterministic=False)
        returns, success = mean(played.returns), share(played.successes)
        figures[name] = {
            "steps": agent.num_timesteps,
            "return": returns.to_dict(),
            "success": success.to_dict(),
        }
    trained = {name: row for name, row in figures.items() if name.startswith("trained")}
    rows = [(name, f"{r['steps']:,}", interval(r["success"]), interval(r["return"])) for name, r in trained.items()]
    show(f"PPO, {seconds:.0f} s each", ("", "steps", "success in reality", "return in reality"), rows)
    if arguments.json:
        write_results(arguments.json, figures, arguments.dream)


if __name__ == "__main__":
    main()
