"""Minari datasets that others have made."""

import warnings

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from nova_gym import BadInputError
from nova_gym.data import load_clips
from nova_gym.envs import RealitySpec, find_reality

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (5, 24, 32, 3), dtype=np.uint8)


def box(shape, low=0, high=255, dtype=np.uint8):
    return spaces.Box(low, high, shape, dtype)


def written(observations, space, name="others/any-v0", env=None, reward=0.0):
    buffer = EpisodeBuffer(
        observations=observations,
        actions=np.zeros(4, np.int64),
        rewards=[0.0, reward, 0.0, 0.0],
        terminations=[False] * 4,
        truncations=[False] * 3 + [True],
    )
    if name in minari.list_local_datasets():
        minari.delete_dataset(name)
    with warnings.catch_warnings(action="ignore"):  # Minari would like an author and a link
        minari.create_dataset_from_buffers(
            name, [buffer], env=env, observation_space=space, action_space=spaces.Discrete(2), jpeg_encoding=False
        )
    return name


@pytest.mark.parametrize(
    ("observations", "space", "expected"),
    [
        (FRAMES, box((24, 32, 3)), FRAMES),
        (FRAMES.transpose(0, 3, 1, 2), box((3, 24, 32)), FRAMES),
        (FRAMES[..., 0], box((24, 32)), FRAMES[..., :1]),
        (FRAMES / 255.0, box((24, 32, 3), 0, 1, np.float64), FRAMES),
        (FRAMES.astype(np.float32), box((24, 32, 3), 0, 255, np.float32), FRAMES),
        (np.stack([FRAMES[::-1], FRAMES], 1), box((2, 24, 32, 3)), FRAMES),
        (np.stack([FRAMES[::-1], FRAMES], 4), box((24, 32, 3, 2)), FRAMES),
        (np.stack([255 - FRAMES[..., 0]] * 3 + [FRAMES[..., 0]], 1), box((4, 24, 32)), FRAMES[..., :1]),
        (np.concatenate([255 - FRAMES, FRAMES], 3), box((24, 32, 6)), FRAMES),
    ],
)
def test_pictures_are_found_however_they_lie(observations, space, expected):
    clips = load_clips(written(observations, space))
    np.testing.assert_array_equal(clips.frames.permute(0, 2, 3, 1).numpy(), expected)


def test_a_picture_within_a_dict_is_found_alone_or_by_its_key():
    left = {"arm": np.zeros((5, 2)), "camera": {"left": FRAMES}}
    space = {"arm": box((2,), -1, 1, np.float64), "camera": spaces.Dict({"left": box((24, 32, 3))})}
    clips = load_clips(written(left, spaces.Dict(space)))
    np.testing.assert_array_equal(clips.frames.permute(0, 2, 3, 1).numpy(), FRAMES)
    left["camera"]["right"] = 255 - FRAMES
    both = spaces.Dict({**space, "camera": spaces.Dict({k: box((24, 32, 3)) for k in ("left", "right")})})
    name = written(left, both)
    with pytest.raises(BadInputError, match="camera/left, camera/right, as DATASET#KEY"):
        load_clips(name)
    right = load_clips(f"{name}#camera/right")
    np.testing.assert_array_equal(right.frames.permute(0, 2, 3, 1).numpy(), 255 - FRAMES)


@pytest.mark.parametrize(
    ("observations", "space", "said"),
    [
        (np.zeros((5, 7, 7, 3), np.uint8), box((7, 7, 3)), r"arrays \(7, 7, 3\): these look like codes"),
        (FRAMES % 11, box((24, 32, 3)), "numbers up to 10: these look like codes"),
        (FRAMES % 11, box((24, 32, 3), 0, 10), "numbers up to 10: these look like codes"),
        (np.zeros((5, 6)), box((6,), -1, 1, np.float64), "not frames"),
        (np.zeros((5, 24, 32)), box((24, 32), -1, 1, np.float64), r"frames are 0 to 255, or floats in \[0, 1\]"),
    ],
)
def test_what_only_looks_like_a_picture_is_refused(observations, space, said):
    with pytest.raises(BadInputError, match=said):
        load_clips(written(observations, space))


@pytest.mark.parametrize("reward", [float("nan"), -float("inf"), 1e300])
def test_a_reward_that_is_no_number_is_refused(reward):
    with pytest.raises(BadInputError, match=r"episode 0 of 'others/any-v0' has a reward that is no finite number"):
        load_clips(written(FRAMES, box((24, 32, 3)), reward=reward))


class Lamp(gym.Env):
    """Observes a picture whose brightness is the time, and cannot draw itself."""

    observation_space = spaces.Dict({"view": box((24, 32, 3)), "time": spaces.Discrete(9)})
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode=None, first=20):
        self.first = first

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.seen(), {}

    def step(self, action):
        self.time += 1
        return self.seen(), 0.0, False, False, {}

    def seen(self):
        return {"view": np.full((24, 32, 3), self.first + 10 * self.time, np.uint8), "time": self.time}


def test_the_environment_of_a_dataset_is_its_reality_and_shows_what_it_observes():
    gym.register("test/Lamp-v0", entry_point=Lamp, max_episode_steps=6)
    try:
        env = gym.make("test/Lamp-v0", first=50)
        views = np.stack([np.full((24, 32, 3), 50 + 10 * t, np.uint8) for t in range(5)])
        seen = {"view": views, "time": np.arange(5)}
        env.spec.entry_point = "lamps:Lamp"  # Minari keeps what is written as a string
        clips = load_clips(written(seen, Lamp.observation_space, "others/lamp-v0", env))
        assert clips.metadata["horizon"] == 6
        reality = find_reality(RealitySpec(**clips.metadata["reality"]))
        real = reality.make()
        real.reset(seed=0)
        np.testing.assert_array_equal(reality.frame(real), clips.frames[0].permute(1, 2, 0))
        real.step(0)
        np.testing.assert_array_equal(reality.frame(real), clips.frames[1].permute(1, 2, 0))
        assert reality.horizon(real) == 6
    finally:
        del gym.registry["test/Lamp-v0"]
