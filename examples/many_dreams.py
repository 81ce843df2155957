"""Step 256 dreams as one batch."""

import time

import gymnasium as gym

import nova_gym  # noqa: F401  registers the ids

envs = gym.make_vec("NovaDream-MiniGrid-v0", num_envs=256, starts="random")
envs.reset(seed=0)
envs.action_space.seed(0)
began, episodes, steps = time.perf_counter(), 0, 50
for _ in range(steps):
    observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
    episodes += int((terminated | truncated).sum())
seconds = time.perf_counter() - began
print(f"{256 * steps / seconds:,.0f} steps per second; {episodes} episodes ended, observations {observations.shape}")
