"""Train PPO in the dream with plain Stable-Baselines3, then test it in the real MiniGrid."""

import sys

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from nova_gym.agents import DreamVecEnv, make_reality_vec

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000  # enough to see it run; a good agent needs some 100,000s

env = DreamVecEnv("minigrid", num_dreams=128)
agent = PPO("MlpPolicy", env, n_steps=64, batch_size=1024, n_epochs=4, learning_rate=5e-4, ent_coef=0.01, device="cpu")
agent.learn(steps)

mean, spread = evaluate_policy(agent, VecMonitor(make_reality_vec("minigrid", 16)), n_eval_episodes=16)
print(f"return in reality after {steps:,} steps in the dream: {mean:.2f} ± {spread:.2f}")
