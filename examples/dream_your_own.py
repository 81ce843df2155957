"""Dream an environment of your own: define it, record it, train a dream of it, step the dream.

It takes seconds, with the preset for tests: all parts work, but the dream is poor. For a faithful one take
`preset("cpu")` and 10,000s of transitions, and some minutes.
"""

from pathlib import Path

import gymnasium as gym
import minari
import numpy as np

import nova_gym  # noqa: F401  registers the ids
from nova_gym.data import load_clips
from nova_gym.envs import reality_spec, record
from nova_gym.training import Run, preset, train

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # left, right, up, down


class Square(gym.Env):
    """A red square walks on a board of 6 × 6 fields; reaching the green field pays 1."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = gym.spaces.Discrete(len(MOVES))
        self.observation_space = gym.spaces.Box(0, 5, (2,), np.int64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.integers(0, 5, size=2)
        return self.place.copy(), {}

    def step(self, action):
        self.place = np.clip(self.place + MOVES[action], 0, 5)
        won = bool((self.place == 5).all())
        return self.place.copy(), float(won), won, False, {}

    def render(self) -> np.ndarray:
        board = np.zeros((6, 6, 3), np.uint8)
        board[5, 5] = (0, 255, 0)
        board[self.place[1], self.place[0]] = (255, 0, 0)
        return board.repeat(8, axis=0).repeat(8, axis=1)  # 48 × 48 pixels


# The recording stores the entry point, so it must be a string.
gym.register("Square-v0", entry_point=f"{__name__}:Square", max_episode_steps=100)

name, file = "examples/square-v0", Path("square.safetensors")
if name not in minari.list_local_datasets():
    record(reality_spec("Square-v0", size=48), name, transitions=2_000)
clips = load_clips(name)
checkpoint = Path("square.ckpt")  # a stopped run continues from it
dream = train(clips, name, preset("tiny"), Run(checkpoint, device="cpu"))
dream.save(file)
checkpoint.unlink(missing_ok=True)

env = gym.make("NovaDream-v0", dream=str(file), render_mode="rgb_array", resolution=192)
env.reset(seed=0)
for _ in range(10):
    env.step(env.action_space.sample())
print(f"{len(clips.frames)} frames → {file}, drawn as {env.render().shape}")
