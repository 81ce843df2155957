import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize

from nova_gym.agents import DreamVecEnv, make_reality_vec
from nova_gym.envs import NovaDreamVectorEnv, make_reality
from nova_gym.errors import BadInputError


def actions(env, seed=0):
    env.action_space.seed(seed)
    return np.array([env.action_space.sample() for _ in range(env.num_envs)])


def test_it_is_the_gymnasium_vector_environment_step_by_step(tiny):
    env = DreamVecEnv(tiny, 4, max_episode_steps=5)
    twin = NovaDreamVectorEnv(4, dream=tiny, max_episode_steps=5, autoreset_mode="SameStep")
    env.seed(3)
    np.testing.assert_array_equal(env.reset(), twin.reset(seed=3)[0])
    for step in range(12):
        chosen = actions(env, step)
        observations, rewards, ended, infos = env.step(chosen)
        expected, paid, terminated, truncated, info = twin.step(chosen)
        np.testing.assert_array_equal(observations, expected)
        np.testing.assert_allclose(rewards, paid, rtol=1e-6)
        np.testing.assert_array_equal(ended, terminated | truncated)
        for i in range(4):
            if ended[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], info["final_obs"][i])
                assert infos[i]["TimeLimit.truncated"] == (truncated[i] and not terminated[i])
                np.testing.assert_array_equal(env.reset_infos[i]["latent"], observations[i])
            else:
                assert infos[i] == {}


def test_seeds_reproduce_and_dreams_differ(tiny):
    env = DreamVecEnv(tiny, 3)
    env.seed(1)
    first = env.reset()
    assert (first != env.reset()).any()
    env.seed(1)
    np.testing.assert_array_equal(first, env.reset())


def test_attributes_and_methods_reach_all_dreams(tiny):
    env = DreamVecEnv(tiny, 3)
    assert env.get_attr("num_envs") == [3, 3, 3]
    assert env.get_attr("num_envs", [0, 2]) == [3, 3]
    env.set_attr("resolution", 24)
    env.reset()
    assert env.get_images()[0].shape == (24, 24, 3)
    assert env.render().shape[2] == 3
    assert [frame.shape for frame in env.env_method("render", indices=[1])] == [(24, 24, 3)]
    assert env.get_attr("action_space")[0] == env.action_space
    with pytest.raises(BadInputError, match="all dreams together"):
        env.env_method("reset", indices=[1])
    assert env.env_is_wrapped(object) == [False] * 3
    with pytest.raises(BadInputError, match="all 3 dreams"):
        env.set_attr("resolution", 24, indices=0)
    with pytest.raises(AttributeError):
        env.get_attr("no such thing")


def test_options_reach_the_dreams(tiny):
    env = DreamVecEnv(tiny, 2)
    start = tiny.starts["official"][0].numpy()
    env.set_options({"latent": start})
    np.testing.assert_allclose(env.reset(), np.stack([start, start]))
    env.set_options([{"latent": start}, {"latent": start + 1}])
    np.testing.assert_allclose(env.reset(), np.stack([start, start + 1]))
    np.testing.assert_allclose([info["latent"] for info in env.reset_infos], np.stack([start, start + 1]))


def test_usual_wrappers_work(tiny):
    env = VecNormalize(VecFrameStack(VecMonitor(DreamVecEnv(tiny, 2, max_episode_steps=3)), 2))
    env.reset()
    finished = []
    for step in range(6):
        *_, infos = env.step(actions(env, step))
        finished += [info["episode"]["l"] for info in infos if "episode" in info]
    assert len(finished) >= 4


@pytest.mark.parametrize("observation", ["latent", "pixels"])
def test_reality_looks_as_the_single_real_environment_does(tiny, observation):
    many, single = make_reality_vec(tiny, 2, observation), make_reality(tiny, observation)
    many.seed(7)
    first, _ = single.reset(seed=7)
    np.testing.assert_allclose(many.reset()[0], first, atol=1e-3)
    observations, rewards, ended, _ = many.step(np.array([2, 2]))
    seen, reward, terminated, *_ = single.step(2)
    np.testing.assert_allclose(observations[0], seen, atol=1e-3)
    assert (rewards[0], ended[0]) == (reward, terminated)
    assert many.observation_space == single.observation_space
