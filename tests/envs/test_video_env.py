"""A dream made from video without labels, as an environment."""

import warnings
from dataclasses import replace
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordVideo

from nova_gym import DreamSimulator
from nova_gym.envs import NovaDreamEnv
from nova_gym.errors import BadInputError
from nova_gym.model.config import ModelConfig
from nova_gym.model.world_model import WorldModel


@pytest.mark.parametrize("observation", ["latent", "pixels"])
@pytest.mark.parametrize("action", ["latent", "codebook"])
def test_gymnasium_s_checker_passes_without_a_warning(observation, action, filmed):
    env = gym.make("NovaDream-v0", dream=filmed, observation=observation, action=action, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_the_id_of_moving_digits_acts_by_latent_actions():
    spec = gym.spec("NovaDream-MovingDigits-v0")
    assert spec.kwargs == {"dream": "digits", "action": "latent"}


def test_nothing_is_paid_and_an_episode_is_as_long_as_a_clip(filmed):
    env = gym.make("NovaDream-v0", dream=filmed, action="codebook")
    env.reset(seed=0)
    steps = [env.step(env.action_space.sample()) for _ in range(11)]
    assert all(reward == 0.0 and not terminated for _, reward, terminated, _, _ in steps)
    assert [truncated for *_, truncated, _ in steps] == [False] * 10 + [True]
    endless = NovaDreamEnv(filmed, action="latent", max_episode_steps=0)
    endless.reset(seed=0)
    assert not any(result[3] for result in endless.autopilot(30))


def test_a_grey_dream_is_observed_grey_and_drawn_as_rgb(filmed, tmp_path):
    env = gym.make("NovaDream-v0", dream=filmed, observation="pixels", action="latent", render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert observation.shape == (32, 32, 1)
    np.testing.assert_array_equal(env.render(), observation.repeat(3, axis=2))
    film = RecordVideo(env, str(tmp_path / "film"))
    film.reset(seed=0)
    film.step(np.zeros(film.action_space.shape, np.float32))
    film.close()
    assert list((tmp_path / "film").glob("*.mp4"))


def test_many_such_dreams_step_as_one_batch(filmed):
    envs = gym.make_vec("nova_gym:NovaDream-v0", num_envs=3, dream=filmed, action="codebook", observation="pixels")
    observations, _ = envs.reset(seed=0)
    assert observations.shape == (3, 32, 32, 1)
    _, rewards, terminated, *_ = envs.step(envs.action_space.sample())
    assert not rewards.any()
    assert not terminated.any()


def test_actions_that_a_video_has_not_are_refused(filmed):
    with pytest.raises(BadInputError, match="action='latent' or 'codebook'"):
        NovaDreamEnv(filmed)
    with pytest.raises(BadInputError, match="this dream has clips"):
        NovaDreamEnv(filmed, action="latent", starts="official")


def test_the_autopilot_goes_on_from_what_happened_in_this_episode(filmed):
    env = NovaDreamEnv(filmed, action="latent", observation="latent")

    def future(actions):
        env.reset(seed=3)
        for action in actions:
            env.step(np.full(env.action_space.shape, action, np.float32))
        simulator = env.simulator
        simulator.reset(states=simulator.state * 0)  # the same present for all of them
        return env.autopilot(1)[0][4]["latent_action"]

    np.testing.assert_array_equal(future([0.5, -0.5]), future([0.5, -0.5]))
    assert np.abs(future([0.5, -0.5]) - future([-0.5, 0.9])).max() > 1e-6
    assert np.abs(future([0.5, -0.5]) - future([])).max() > 1e-6
    np.testing.assert_array_equal(future([]), future([]))  # a reset forgets


def test_the_autopilot_in_parts_is_the_autopilot_at_once_and_ends_with_the_episode(filmed):
    env = NovaDreamEnv(filmed, action="latent")
    env.reset(seed=0)
    at_once = env.autopilot(99)
    assert len(at_once) == 11
    assert [result[3] for result in at_once] == [False] * 10 + [True]
    env.reset(seed=0)
    in_parts = env.autopilot(4) + env.autopilot(1) + env.autopilot(99)
    for one, other in zip(at_once, in_parts, strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_the_autopilot_remembers_steps_by_hand_and_its_own_alike(filmed):
    env = NovaDreamEnv(filmed, action="latent")
    infos = [env.reset(seed=0)[1], *(result[4] for result in env.autopilot(3))]
    infos.append(env.step(np.full(env.action_space.shape, 0.5, np.float32))[4])
    fields = [{key: torch.from_numpy(info[key])[None] for key in ("latent", "latent_action")} for info in infos]
    simulator = DreamSimulator(filmed)
    memory = simulator.remember((one["latent"], two["latent_action"]) for one, two in pairwise(fields))
    simulator.reset(states=fields[-1]["latent"])
    expected = [transition.state[0].numpy() for transition in simulator.autopilot(2, memory)]
    np.testing.assert_allclose(env.autopilot(2)[-1][0], expected[-1], atol=1e-5)


def test_an_autopilot_that_is_not_there_is_one_clear_error(filmed):
    env = NovaDreamEnv(filmed, action="latent")
    with pytest.raises(gym.error.ResetNeeded):
        env.autopilot(1)
    env.reset()
    with pytest.raises(BadInputError, match="at least 1 step"):
        env.autopilot(0)
    config: ModelConfig = replace(filmed.world_model.config, control=None)
    without = NovaDreamEnv(replace(filmed, world_model=WorldModel(config)), action="latent")
    without.reset()
    with pytest.raises(BadInputError, match="--stage control"):
        without.autopilot(1)


def test_the_dream_of_digits_that_ships_steps_draws_and_goes_on_by_itself():
    env = gym.make("NovaDream-MovingDigits-v0", render_mode="rgb_array", resolution=128)
    first, _ = env.reset(seed=3)
    before = env.render()
    assert before.shape == (128, 128, 3)
    assert 0.005 < (before > 128).mean() < 0.3  # two digits on black
    played = env.unwrapped.autopilot(10)
    assert len(played) == 10
    assert not np.allclose(played[-1][0], first)
    assert not any(info["lost"] for *_, info in played)  # without a context it knows no speed, and digits fade
    env.close()
