from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy

from nova_gym import DreamSimulator
from nova_gym.agents import ControlPolicy, DreamVecEnv
from nova_gym.envs import NovaDreamEnv
from nova_gym.errors import BadInputError
from nova_gym.model.config import CONTROLS, ControlConfig
from nova_gym.model.world_model import WorldModel


@pytest.fixture(params=CONTROLS)
def dream(request, filmed):
    config = replace(filmed.world_model.config, control=ControlConfig(request.param, hidden=16, window=5))
    return replace(filmed, world_model=WorldModel(config).requires_grad_(False))


def test_it_acts_as_the_simulator_s_autopilot_does_and_rows_restart_with_their_episodes(dream):
    envs, policy = DreamVecEnv(dream, 3, action="latent", max_episode_steps=6), ControlPolicy(dream)
    envs.seed(0)
    observations, state = envs.reset(), None
    starts = np.ones(3, dtype=bool)
    for _ in range(2):  # two episodes: what the first one left behind must not show in the second
        simulator = DreamSimulator(dream, 3)
        simulator.reset(states=torch.from_numpy(observations))
        for transition in simulator.autopilot(6):
            actions, state = policy.predict(observations, state, starts)
            np.testing.assert_allclose(actions, transition.latent_action.numpy(), atol=1e-5)
            observations, _, starts, _ = envs.step(actions)
    assert starts.all()


def test_only_rows_whose_episode_starts_forget(dream):
    policy, latents = ControlPolicy(dream), np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    _, state = policy.predict(latents)
    kept, _ = policy.predict(latents, state, np.zeros(3, dtype=bool))
    mixed, _ = policy.predict(latents, state, np.array([False, True, False]))
    fresh, _ = policy.predict(latents)
    np.testing.assert_allclose(mixed[[0, 2]], kept[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(mixed[1], fresh[1], atol=1e-6)
    assert np.abs(kept[1] - fresh[1]).max() > 1e-5


def test_it_works_alone_and_in_sb3_s_evaluation(filmed):
    policy, env = ControlPolicy(filmed), NovaDreamEnv(filmed, action="latent")
    observation, _ = env.reset(seed=0)
    action, state = policy.predict(observation)
    assert env.action_space.contains(action)
    policy.predict(env.step(action)[0], state, np.array([False]))
    returns, lengths = evaluate_policy(policy, DreamVecEnv(filmed, 2, action="latent"), 4, return_episode_rewards=True)
    assert returns == [0.0] * 4
    assert lengths == [11] * 4


def test_a_dream_without_control_and_pictures_are_refused(filmed):
    config = replace(filmed.world_model.config, control=None)
    with pytest.raises(BadInputError, match="--stage control"):
        ControlPolicy(replace(filmed, world_model=WorldModel(config)))
    with pytest.raises(BadInputError, match="observation='latent'"):
        ControlPolicy(filmed).predict(np.zeros((32, 32, 1), np.uint8))


def test_with_discrete_actions_it_takes_the_one_whose_latent_action_comes_nearest(tiny):
    """And remembers what it did, not what it would have liked to do."""
    latent, discrete = ControlPolicy(tiny), ControlPolicy(tiny, "discrete")
    model, observation = tiny.world_model, tiny.starts["random"][:3]
    wanted = model.part("control").decode(model.fresh_memory(3), observation).clamp(-1, 1)
    moves, _ = latent.predict(observation.numpy())
    actions, memory = discrete.predict(observation.numpy())
    for state, u, action, move in zip(observation, wanted, actions, moves, strict=True):
        each = torch.arange(model.config.actions)
        possible = model.translate(state.expand(len(each), -1), each)
        assert action == (possible - u).square().sum(1).argmin()
        assert discrete.action_space.contains(action)
        np.testing.assert_allclose(move, possible[action].clamp(-1, 1).numpy(), atol=1e-5)
    done = model.translate(observation, torch.from_numpy(actions))
    expected = model.remember(model.fresh_memory(3), observation, done)
    for part, wanted_part in zip(memory, expected, strict=True):
        np.testing.assert_allclose(part, wanted_part.numpy(), atol=1e-5)


def test_discrete_actions_need_a_dream_that_has_them(filmed):
    with pytest.raises(BadInputError, match="no discrete actions"):
        ControlPolicy(filmed, "discrete")
