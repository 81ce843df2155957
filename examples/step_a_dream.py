"""Step a dream like any Gymnasium environment, and draw it four times as large as its frames."""

import gymnasium as gym
import imageio.v3 as iio

import nova_gym  # noqa: F401  registers the ids

env = gym.make("NovaDream-MiniGrid-v0", render_mode="rgb_array", resolution=288)
observation, info = env.reset(seed=0)
frames, total = [env.render()], 0.0
env.action_space.seed(0)
for _ in range(50):
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    frames.append(env.render())
    total += reward
    if terminated or truncated:
        observation, info = env.reset()
env.close()
iio.imwrite("dream.gif", frames, duration=100, loop=0)
print(f"{len(frames)} frames of {frames[0].shape} in dream.gif, return {total:.2f}")
