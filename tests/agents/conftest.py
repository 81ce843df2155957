"""Dreams of environments of other kinds than MiniGrid, with random weights: they run at once, and are not true."""

from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from nova_gym import Dream
from nova_gym.data.actions import ActionMap
from nova_gym.dream import Card
from nova_gym.envs.frames import encode_frames
from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.world_model import WorldModel


class Walk(gym.Env):
    """A block walks along a strip; each step costs 1, and the right edge ends the episode."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gym.spaces.Box(0, 255, (8, 32, 3), np.uint8)

    def __init__(self, space, render_mode=None):
        self.action_space, self.render_mode = space, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = float(self.np_random.integers(1, 5))
        return self.render(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.place = float(np.clip(self.place + np.ravel(action)[0] - getattr(self.action_space, "start", 0), 0, 7))
        return self.render(), -1.0, self.place >= 7, False, {}

    def render(self):
        frame = np.full((8, 32, 3), 30, np.uint8)
        frame[2:6, 4 * int(self.place) : 4 * int(self.place) + 4] = 220
        return frame


#: Continuous pushes for 12 steps, and steps without a limit that count from -1.
PUSHES, STEPS = gym.spaces.Box(-1.0, 1.0, (1,), np.float32), gym.spaces.Discrete(3, start=-1)


@pytest.fixture(scope="session", autouse=True)
def walks():
    """Registers both."""
    gym.register("NovaTestPushes-v0", Walk, max_episode_steps=12, kwargs={"space": PUSHES})
    gym.register("NovaTestSteps-v0", Walk, kwargs={"space": STEPS})


def dream_of(env_id, cell, **config):
    """A dream with random weights."""
    sizes = {"encoder_widths": (8, 8), "hidden": 16, "head_hidden": 16, "rank": 8, "inr": INRConfig(3, 2, 8, 2)}
    config = ModelConfig(frame_size=(8, 32), cell=cell, reward_values=(-1.0,), **sizes, **config)
    env, model = gym.make(env_id, render_mode="rgb_array"), WorldModel(config).eval().requires_grad_(False)
    model.heads.termination.bias.fill_(-20.0)  # it never ends by itself
    frames = [env.reset(seed=seed)[0] for seed in range(8)]
    horizon = env.spec.max_episode_steps or 0
    acts = {} if config.discrete else ActionMap(PUSHES).to_dict()
    dream = Dream(model, {}, Card(env_id, frame_size=[8, 32], horizon=horizon, action_space=acts))
    dream.starts["official"] = encode_frames(dream, np.stack(frames))
    return dream


@pytest.fixture(scope="session")
def pushes(walks):
    """A dream of one cell, with continuous actions."""
    return dream_of("NovaTestPushes-v0", (8, 32), actions=1, discrete=False)


@pytest.fixture(scope="session")
def steps(walks):
    """A dream of cells, with discrete actions and without a horizon."""
    return dream_of("NovaTestSteps-v0", (8, 8), actions=3)
