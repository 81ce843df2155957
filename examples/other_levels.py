"""Dream levels of MiniGrid that the dream has never seen, of any size, and compare each with the real one."""

import gymnasium as gym
import numpy as np

import nova_gym  # noqa: F401  registers the ids
from nova_gym.envs import make_reality

LEVELS = ("MiniGrid-SimpleCrossingS9N3-v0", "MiniGrid-FourRooms-v0", "MiniGrid-Empty-Random-6x6-v0")

for level in LEVELS:
    dream = gym.make("NovaDream-MiniGrid-v0", observation="pixels", reality=level)
    reality = make_reality("minigrid", observation="pixels", reality=level)
    frame, _ = reality.reset(seed=1)
    dream.reset(options={"frame": frame})
    dream.action_space.seed(1)
    worst = 0.0
    for _ in range(40):
        action = dream.action_space.sample()
        real, _, ended, _, _ = reality.step(action)
        dreamt = dream.step(action)[0]
        error = np.square(real / 255.0 - dreamt / 255.0).mean(2)
        height, width = error.shape
        tiles = error.reshape(height // 8, 8, width // 8, 8).mean((1, 3))
        worst = max(worst, float(tiles.max()))
        if ended:
            break
    print(f"{level}: {tiles.shape[0]} × {tiles.shape[1]} tiles, largest error of a tile {worst:.4f}")
