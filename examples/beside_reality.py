"""Take the same actions in the dream and in the real MiniGrid, and see how far apart they are."""

import gymnasium as gym
import numpy as np

import nova_gym  # noqa: F401  registers the ids
from nova_gym.envs import make_reality

dream = gym.make("NovaDream-MiniGrid-v0", observation="pixels")
reality = make_reality("minigrid", observation="pixels", starts="random")
frame, _ = reality.reset(seed=0)
dream.reset(options={"frame": frame})
for step, action in enumerate([2, 2, 1, 2, 0, 2, 1, 1, 2], start=1):
    real, real_reward, real_end, _, _ = reality.step(action)
    dreamt, reward, end, _, _ = dream.step(action)
    error = np.abs(real.astype(int) - dreamt).mean() / 255
    print(f"step {step}: mean pixel error {error:.4f}, reward {reward:.2f} ({real_reward:.2f}), end {end} ({real_end})")
    if real_end:
        break
