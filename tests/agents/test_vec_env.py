import copy
import warnings
from types import SimpleNamespace

import imageio.v3
import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecVideoRecorder,
    is_vecenv_wrapped,
)

from nova_gym.agents import DreamVecEnv, make_reality_vec
from nova_gym.agents.hyperparameters import default_doubt
from nova_gym.agents.perception import LARGER
from nova_gym.envs import NovaDreamEnv, NovaDreamVectorEnv, make_reality
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


def test_one_dream_dreams_of_levels_of_other_sizes(tiny):
    env = DreamVecEnv(tiny, 2, reality="MiniGrid-FourRooms-v0")
    assert env.observation_space.shape[1:] == (19, 19)
    assert env.reset().shape == (2, *env.observation_space.shape)
    assert env.step(np.array([0, 2]))[0].shape == (2, *env.observation_space.shape)
    assert make_reality_vec(tiny, 2, reality="MiniGrid-FourRooms-v0").observation_space == env.observation_space


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
    assert env.env_is_wrapped(TimeLimit) == [False] * 3
    assert env.env_is_wrapped(Monitor, [0, 2]) == [True] * 2
    assert env.has_attr("resolution")
    assert not env.has_attr("no such thing")
    assert env.get_attr("spec") == [None] * 3
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


@pytest.mark.parametrize("wrap", [lambda env: env, VecMonitor])
def test_usual_wrappers_work(tiny, wrap):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SB3's: `VecMonitor` notes again what is noted already
        env = VecNormalize(VecFrameStack(wrap(DreamVecEnv(tiny, 2, max_episode_steps=3)), 2))
    env.reset()
    finished = []
    for step in range(6):
        *_, infos = env.step(actions(env, step))
        finished += [info["episode"]["l"] for info in infos if "episode" in info]
    assert len(finished) >= 4


def lost_and_limited(tiny):
    """Two dreams that end at once: one is lost, the other at its time limit."""
    env = DreamVecEnv(tiny, 2, max_episode_steps=1)
    env.set_options([{"latent": np.full(tiny.starts["official"].shape[1:], 2000.0)}, {}])
    return env


def test_a_time_limit_is_told_apart_from_a_lost_dream(tiny):
    env = lost_and_limited(tiny)
    env.reset()
    _, _, ended, infos = env.step(np.array([2, 2]))
    assert ended.all()
    assert [info["lost"] for info in infos] == [True, False]
    assert [info["TimeLimit.truncated"] for info in infos] == [False, True]
    assert [info["lost"] for info in env.reset_infos] == [False, False]


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_no_value_is_estimated_from_a_lost_dream(tiny, algorithm, monkeypatch):
    """SB3 adds the value of the last state to the reward at a time limit: 1,000 here, so that it shows."""
    agent = algorithm("MlpPolicy", lost_and_limited(tiny), n_steps=1, gamma=0.5, device="cpu")
    monkeypatch.setattr(agent.policy, "predict_values", lambda seen: torch.full((len(seen), 1), 1000.0))
    _, callback = agent._setup_learn(2, None)
    agent.collect_rollouts(agent.env, callback, agent.rollout_buffer, n_rollout_steps=1)
    lost, limited = agent.rollout_buffer.rewards[0]
    assert abs(lost) < 10
    assert limited == pytest.approx(500.0, abs=10)


def test_a_recorder_films_at_the_dream_s_pace(tiny, tmp_path):
    for depth, wrap in enumerate((lambda env: env, VecNormalize, lambda env: VecNormalize(VecFrameStack(env, 2)))):
        env = VecVideoRecorder(wrap(DreamVecEnv(tiny, 2)), str(tmp_path / str(depth)), lambda step: step == 0, 5)
        assert env.frames_per_sec == NovaDreamEnv.metadata["render_fps"] == 10
        env.reset()
        for step in range(6):
            env.step(actions(env, step))
        env.close()
        (video,) = (tmp_path / str(depth)).glob("*.mp4")
        assert imageio.v3.immeta(video)["fps"] == 10


@pytest.mark.parametrize("wrap", [lambda env: env, VecNormalize, lambda env: VecFrameStack(VecNormalize(env), 2)])
def test_evaluation_knows_that_it_is_monitored_and_takes_true_returns(tiny, wrap):
    env = wrap(DreamVecEnv(tiny, 2, max_episode_steps=4))
    agent = PPO("MlpPolicy", env, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        returns, lengths = evaluate_policy(agent, env, 6, deterministic=False, return_episode_rewards=True)
    assert len(returns) == 6
    assert max(lengths) <= 4
    env.seed(3), env.reset()
    twin = DreamVecEnv(tiny, 2, max_episode_steps=4)
    twin.seed(3), twin.reset()
    total = np.zeros(2)
    for step in range(4):
        chosen = actions(env, step)
        _, _, ended, infos = env.step(chosen)
        total += twin.step(chosen)[1]
        for i in np.flatnonzero(ended):
            assert infos[i]["episode"]["r"] == pytest.approx(total[i], abs=1e-6)
            total[i] = 0.0


@pytest.mark.parametrize("observation", ["latent", "pixels"])
def test_reality_says_truthfully_that_nobody_monitors_it(tiny, observation):
    env = make_reality_vec(tiny, 2, observation)
    assert env.env_is_wrapped(Monitor) == [False, False]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_vecenv_wrapped(VecMonitor(env), VecMonitor)


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


def walked(dream, steps=12):
    """One walk by an agent's environment and by Gymnasium's: observations of both, rewards of both, and resets."""
    env = DreamVecEnv(dream, 4, max_episode_steps=5, device="cpu")
    twin = NovaDreamVectorEnv(4, dream=dream, max_episode_steps=5, autoreset_mode="SameStep", device="cpu")
    env.seed(3)
    walk = [(env.reset(), twin.reset(seed=3)[0], np.zeros(4), np.zeros(4), np.ones(4, bool))]
    for step in range(steps):
        chosen = actions(env, step)
        seen, paid, ended, _ = env.step(chosen)
        shown, due, *_ = twin.step(chosen)
        walk.append((seen, shown, paid, due, ended))
    return [np.stack(each) for each in zip(*walk, strict=True)]


def test_dreams_with_memory_are_observed_with_the_error_of_real_frames_and_go_on_undisturbed(deep):
    rank = deep.world_model.config.rank
    exact = copy.deepcopy(deep)
    exact.world_model.part("memory").unforeseen.zero_()
    seen, shown, paid, due, _ = walked(exact)
    np.testing.assert_allclose(seen, shown, atol=1e-5)
    np.testing.assert_allclose(paid, due, atol=1e-6)
    blurred = copy.deepcopy(exact)
    blurred.world_model.part("memory").unforeseen.copy_(0.1 / LARGER * torch.eye(rank))
    seen, shown, paid, due, begun = walked(blurred)
    np.testing.assert_array_equal(seen[begun], shown[begun])  # where an episode begins nothing was foreseen
    off = (seen - shown)[~begun]
    assert off[:, :rank].std() == pytest.approx(0.1, rel=0.1)
    assert np.abs(off[:, rank:]).max() > 0  # the memory has heard it
    np.testing.assert_allclose(paid, due, atol=1e-6)
    np.testing.assert_array_equal(walked(blurred)[0], seen)  # the same seed, the same errors


@pytest.mark.parametrize(
    ("knows", "chosen"),
    [
        ({"has_memory": True}, "penalise"),
        ({"has_memory": True, "has_chance": True}, "ignore"),
        ({"has_memory": True, "has_doubt": False}, "ignore"),
        ({}, "ignore"),
    ],
)
def test_doubted_steps_count_less_by_default_where_a_dream_strays(knows, chosen):
    model = SimpleNamespace(**{"has_doubt": True, "has_memory": False, "has_chance": False, **knows})
    assert default_doubt(SimpleNamespace(world_model=model), "ppo") == chosen
    assert default_doubt(SimpleNamespace(world_model=model), "sac") == "ignore"
