from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy

from nova_gym import DreamSimulator
from nova_gym.agents import ControlPolicy, DreamVecEnv
from nova_gym.envs import NovaDreamEnv
from nova_gym.errors import BadInputError
from nova_gym.model.config import ControlConfig
from nova_gym.model.world_model import WorldModel


@pytest.fixture
def dream(tiny):
    config = replace(tiny.world_model.config, control=ControlConfig(hidden=16))
    return replace(tiny, world_model=WorldModel(config).requires_grad_(False))


def test_it_acts_as_the_simulator_s_autopilot_does_and_rows_restart_with_their_episodes(dream):
    policy, simulator, state = ControlPolicy(dream), DreamSimulator(dream, 3), None
    for begin in (0, 3):  # two episodes: what the first one left behind must not show in the second
        before = simulator.reset(states=dream.starts["random"][begin : begin + 3])
        starts = np.ones(3, dtype=bool)
        for transition in simulator.autopilot(6):
            actions, state = policy.predict(before.numpy(), state, starts)
            latent_actions = dream.world_model.translate(before, torch.from_numpy(actions)).clamp(-1.0, 1.0)
            np.testing.assert_allclose(latent_actions, transition.latent_action, atol=1e-4)
            before, starts = transition.state, np.zeros(3, dtype=bool)


def test_only_rows_whose_episode_starts_forget(dream):
    """Row 1 begins a new episode: its memory after the step is a fresh one's, the others' is not."""
    policy, latents = ControlPolicy(dream), dream.starts["random"][:3].numpy()
    _, state = policy.predict(latents)
    _, kept = policy.predict(latents, state, np.zeros(3, dtype=bool))
    _, mixed = policy.predict(latents, state, np.array([False, True, False]))
    _, fresh = policy.predict(latents)
    hidden = [memory[0].swapaxes(0, 1) for memory in (kept, mixed, fresh)]
    np.testing.assert_allclose(hidden[1][[0, 2]], hidden[0][[0, 2]], atol=1e-6)
    np.testing.assert_allclose(hidden[1][1], hidden[2][1], atol=1e-6)
    assert np.abs(hidden[0][1] - hidden[2][1]).max() > 1e-5


def test_it_works_alone_and_in_sb3_s_evaluation(tiny):
    policy, env = ControlPolicy(tiny), NovaDreamEnv(tiny, max_episode_steps=5)
    observation, _ = env.reset(seed=0)
    action, state = policy.predict(observation)
    assert env.action_space.contains(action)
    policy.predict(env.step(action)[0], state, np.array([False]))
    _, lengths = evaluate_policy(policy, DreamVecEnv(tiny, 2, max_episode_steps=5), 4, return_episode_rewards=True)
    assert max(lengths) <= 5


def test_a_dream_without_control_and_pictures_are_refused(tiny):
    config = replace(tiny.world_model.config, control=None)
    with pytest.raises(BadInputError, match="--stage control"):
        ControlPolicy(replace(tiny, world_model=WorldModel(config)))
    with pytest.raises(BadInputError, match="observation='latent'"):
        ControlPolicy(tiny).predict(np.zeros((72, 72, 3), np.uint8))


def test_it_takes_the_action_whose_latent_action_comes_nearest(tiny):
    """And remembers what it did, not what it would have liked to do."""
    policy, model, observation = ControlPolicy(tiny), tiny.world_model, tiny.starts["random"][:3]
    fresh = model.fresh_memory(3, tiny.cells)
    wanted = model.part("control").decode(fresh, observation)
    actions, memory = policy.predict(observation.numpy())
    for state, u, action in zip(observation, wanted, actions, strict=True):
        each = torch.arange(model.config.actions)
        possible = model.translate(state.expand(len(each), *state.shape), each)
        assert action == (possible - u.clamp(-1.0, 1.0)).square().flatten(1).sum(1).argmin()
        assert policy.action_space.contains(action)
    taken = model.translate(observation, torch.from_numpy(actions)).clamp(-1.0, 1.0)
    expected = model.remember(fresh, observation, taken)
    for part, wanted_part in zip(memory, expected, strict=True):
        np.testing.assert_allclose(part, wanted_part.numpy(), atol=1e-4)


def test_it_needs_a_dream_with_discrete_actions(filmed):
    with pytest.raises(BadInputError, match="no discrete actions"):
        ControlPolicy(filmed)
