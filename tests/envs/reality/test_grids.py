"""Where things move on a grid, a step of it takes whole cells of a frame; elsewhere the proportions decide."""

import json
from dataclasses import asdict
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from nova_gym.envs import RealitySpec, find_reality, reality_spec
from nova_gym.envs.reality.views import about_grid


class Board(gym.Env):
    """A thing that moves on a board of fields of odd sizes, which begins somewhere in the picture."""

    metadata: ClassVar = {"render_modes": ["rgb_array"]}
    render_mode = "rgb_array"
    action_space = gym.spaces.Discrete(4)
    observation_space = gym.spaces.Discrete(42)

    def __init__(self, pitch=(11, 17), offset=(5, 9), fields=(6, 7), margin=4):
        self.margin, self.pitch, self.offset, self.fields = margin, np.array(pitch), np.array(offset), np.array(fields)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.integers(0, self.fields)
        return 0, {}

    def step(self, action):
        way = ((1, 0), (0, 1), (-1, 0), (0, -1))[action]
        self.at = np.clip(self.at + way, 0, self.fields - 1)
        return 0, 0.0, False, False, {}

    def render(self):
        height, width = np.ceil(self.offset + self.fields * self.pitch + self.margin).astype(int)
        (top, left), (bottom, right) = (
            (self.offset + (self.at + part) * self.pitch).astype(int) for part in (0.2, 0.8)
        )
        frame = np.full((height, width, 3), 40, np.uint8)
        frame[top:bottom, left:right] = (200, 60, 30)
        return frame


def seen(spec):
    """Where the thing of a `Board` is in frames of random play, (n, 2) of its top left, and what it looks like."""
    reality = find_reality(spec)
    env = reality.make()
    env.reset(seed=3)
    env.action_space.seed(3)
    frames = []
    for _ in range(80):
        env.step(env.action_space.sample())
        frames.append(reality.frame(env))
    background = np.median(frames, axis=0)
    where = [np.argwhere((frame != background).any(2)) for frame in frames]
    looks = {
        frame[top : bottom + 1, left : right + 1].tobytes()
        for frame, places in zip(frames, where, strict=True)
        for (top, left), (bottom, right) in [(places.min(0), places.max(0))]
    }
    return np.array([places.min(0) for places in where]), looks


@pytest.mark.parametrize(
    ("env", "size", "step", "padding"),
    [
        ("Taxi-v4", (72, 112), (8, 16), (40, 8, 40, 40)),
        (Board, (56, 128), (8, 16), (1, 1, 2, 2)),  # 75 × 132 pixels
        (lambda: Board((102.4, 102.4), (0, 0), (5, 5), 0), (80, 80), (16, 16), (0, 0, 0, 0)),
        ("FrozenLake-v1", (32, 32), (0, 0), (0, 0, 0, 0)),
        ("CliffWalking-v1", (32, 96), (0, 0), (0, 0, 0, 0)),
        ("CartPole-v1", (64, 96), (0, 0), (0, 0, 0, 0)),
    ],
)
def test_a_step_of_a_grid_takes_whole_cells_and_nothing_else_is_taken_for_a_grid(env, size, step, padding):
    spec = reality_spec(env)
    assert (spec.frame_size, spec.step, spec.padding) == (size, step, padding)


def test_a_thing_on_a_grid_looks_the_same_in_each_place_and_moves_by_whole_cells():
    spec = reality_spec(Board)
    places, looks = seen(spec)
    assert len(looks) == 1
    assert len(np.unique(places, axis=0)) > 20
    assert not ((places - places[0]) % spec.step).any()
    assert len(seen(reality_spec(Board, spec.frame_size))[1]) > 5  # a size that is given is taken as it is


def test_frames_of_a_padded_picture_are_made_again_from_plain_data_and_drawn_larger():
    spec = reality_spec("Taxi-v4")
    again = find_reality(RealitySpec(**json.loads(json.dumps(asdict(spec)))))
    assert again.spec == spec
    assert "8 pixels down and 16 pixels across" in about_grid(spec)
    env = again.make()
    env.reset(seed=0)
    assert again.picture(env).shape == (9 * 56, 7 * 88, 3)
    large = again.draw(env, 2).reshape(72, 2, 112, 2, 3).mean((1, 3))  # pixels of both are means over areas
    assert np.abs(large - again.frame(env)).mean() < 1
