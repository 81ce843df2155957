"""Dreams with memory through the door: the same in dream and reality, carried by starts, filled by clips."""

import numpy as np
import pytest
import torch

from nova_gym import Dream
from nova_gym.envs import make_reality
from nova_gym.envs.dream_env import NovaDreamEnv
from nova_gym.envs.frames import first_states, heard_states, next_states
from nova_gym.errors import BadInputError
from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.world_model import WorldModel


@pytest.fixture(scope="module")
def remembering(deep):
    """The dream with another memory for beginnings than for pasts that are not known."""
    model = WorldModel(deep.world_model.config).eval().requires_grad_(False)
    model.load_state_dict(deep.world_model.state_dict())
    model.memory.first.fill_(0.5)
    return Dream(model, deep.starts, deep.card)


def test_reality_and_a_dream_that_heard_the_same_have_the_same_memory(remembering):
    env = make_reality(remembering)
    seen = [env.reset(seed=0)[0]]
    frames = [env.frame()]
    for action in (2, 1, 2, 2):
        seen.append(env.step(action)[0])
        frames.append(env.frame())
    assert env.observation_space.contains(seen[-1])
    rank = remembering.world_model.config.rank
    assert (seen[0][rank:] == 0.5).all()
    state = first_states(remembering, frames[0][None], official=True)
    for frame, action in zip(frames[1:], (2, 1, 2, 2), strict=True):
        state = next_states(remembering, state, frame[None], torch.tensor([action]))
    np.testing.assert_allclose(seen[-1], state[0].numpy(), atol=1e-5)
    dream = NovaDreamEnv(remembering)
    assert dream.observation_space == env.observation_space
    assert dream.reset(options={"latent": seen[-1]})[0] == pytest.approx(seen[-1])


def test_a_reset_to_a_clip_hears_all_of_it(remembering):
    env, real = NovaDreamEnv(remembering), make_reality(remembering, "pixels")
    clip = np.stack([real.reset(seed=0)[0], *(real.step(action)[0] for action in (2, 1, 2))])
    heard = env.reset(options={"frames": clip})[0]
    alone = env.reset(options={"frame": clip[-1]})[0]
    rank = remembering.world_model.config.rank
    np.testing.assert_allclose(heard[:rank], alone[:rank], atol=1e-5)
    assert not alone[rank:].any()
    np.testing.assert_allclose(heard, heard_states(remembering, clip[None])[0].numpy(), atol=1e-6)
    assert np.abs(heard[rank:]).max() > 0
    for wrong in (clip[0], clip[:0]):
        with pytest.raises(BadInputError, match=r"frames must be \(T, H, W, C\)"):
            env.reset(options={"frames": wrong})


def test_starts_from_anywhere_in_the_recording_carry_what_was_before(deep):
    config = deep.world_model.config
    bank = deep.starts["recorded"]
    assert bank.shape[1:] == (config.rank + config.memory, *config.cells)
    assert bank[:, config.rank :].abs().amax((1, 2, 3)).min() == 0  # some are beginnings
    assert len(bank[:, config.rank :].unique(dim=0)) > len(bank) // 2
    env = NovaDreamEnv(deep, starts="recorded")
    first = env.reset(seed=0)[0]
    assert (np.abs(bank.numpy() - first).max((1, 2, 3)) < 1e-6).any()


def test_continuous_actions_are_heard_as_numbers():
    config = ModelConfig(
        frame_size=(8, 8), actions=2, discrete=False, rank=4, memory=3, outcomes=2, hidden=8, head_hidden=8,
        encoder_widths=(8, 8), inr=INRConfig(1, 2, 4, 1),
    )  # fmt: skip
    model = WorldModel(config).eval().requires_grad_(False)
    state = model.begin(torch.ones(2, 4, 1, 1))
    actions = torch.tensor([[0.0, 0.5], [1.0, -0.5]])
    memory = model.recall(state, torch.ones(2, 4, 1, 1), actions)[:, 4:]
    assert not torch.allclose(memory[0], memory[1])
