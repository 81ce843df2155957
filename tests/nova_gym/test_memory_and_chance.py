"""Dreams with memory and chance: random weights, so that they run at once; what is promised does not need training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nova_gym import Dream, DreamSimulator, noise
from nova_gym.dream import Card
from nova_gym.envs.dream_env import NovaDreamEnv
from nova_gym.envs.vector_env import NovaDreamVectorEnv
from nova_gym.model import chance
from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.world_model import WorldModel

SIZES = {"encoder_widths": (8, 8), "hidden": 16, "head_hidden": 16, "rank": 6, "inr": INRConfig(3, 2, 8, 2)}


def made(**config):
    """A dream of 2 × 3 cells with random weights, in which every step moves something."""
    sizes = {"frame_size": (16, 24), "cell": (8, 8), "actions": 3, "reward_values": (-1.0, 0.0, 2.0), **SIZES}
    model = WorldModel(ModelConfig(**{**sizes, **config}), torch.Generator().manual_seed(1))
    model = model.eval().requires_grad_(False)
    for part in (model.chance, model.memory, model.bridge):
        for parameter in part.parameters() if part is not None else ():
            parameter.mul_(3.0)
    model.heads.termination.bias.fill_(-20.0)  # it never ends by itself
    starts = torch.randn(4, model.config.rank, *model.config.cells, generator=torch.Generator().manual_seed(2))
    return Dream(model, {"official": model.begin(starts, True)}, Card("", horizon=50))


@pytest.fixture(scope="module")
def lucky():
    return made(outcomes=4, memory=5)


@pytest.fixture(scope="module")
def mindful():
    return made(memory=5)


def played(env, seed, steps=8):
    """What a scalar or vector environment shows in so many steps of the same action."""
    first, _ = env.reset(seed=seed)
    action = 1 if env.action_space.shape == () else np.ones(env.num_envs, np.int64)
    return np.stack([first, *(env.step(action)[0] for _ in range(steps))])


def test_the_seed_of_a_reset_decides_what_chance_brings(lucky):
    env = NovaDreamEnv(lucky)
    assert (played(env, 3) == played(env, 3)).all()
    start = lucky.starts["official"][0].numpy()
    ends = []
    for seed in range(6):
        env.reset(seed=seed, options={"latent": start})
        ends.append([env.step(1)[0] for _ in range(4)][-1])
    assert len(np.unique(np.stack(ends), axis=0)) > 1


def test_dreams_of_a_batch_draw_apart_and_each_as_it_would_alone(lucky):
    batch = played(NovaDreamVectorEnv(num_envs=4, dream=lucky), 7)
    for i in range(4):
        np.testing.assert_allclose(played(NovaDreamEnv(lucky), 7 + i), batch[:, i], atol=1e-4)
    simulator = DreamSimulator(lucky, 4)
    simulator.reset(states=lucky.starts["official"][:1].expand(4, -1, -1, -1))
    for _ in range(4):
        ends = simulator.step(torch.ones(4, dtype=torch.int64)).state
    assert len(ends.unique(dim=0)) > 1


def test_without_chance_the_likeliest_happens_always(lucky):
    simulator = DreamSimulator(lucky, 4, deterministic=True)
    state = simulator.reset(states=lucky.starts["official"][:1].expand(4, -1, -1, -1))
    actions, model = torch.ones(4, dtype=torch.int64), lucky.world_model
    likeliest = model.translate(state, actions, model.chance.draw(state, model.as_numbers(actions, len(state)), None))
    result = simulator.step(actions)
    torch.testing.assert_close(result.latent_action, likeliest)
    assert (result.state == result.state[0]).all()


def test_outcomes_are_drawn_as_often_as_they_are_expected():
    expected = torch.tensor([0.1, 0.6, 0.3])
    drawn = chance.pick(expected.log().view(1, 3, 1, 1).expand(1, 3, 100, 100), torch.rand(1, 100, 100))
    torch.testing.assert_close(drawn.mean((0, 2, 3)), expected, atol=0.03, rtol=0.0)
    assert (drawn.sum(1) == 1).all()


def test_noise_is_even_and_depends_on_key_step_and_place_alone():
    keys, steps = torch.tensor([5, 6, 5]), torch.tensor([0, 0, 1])
    numbers = noise.uniform(keys, steps, 20_000)
    assert (numbers[0] == noise.uniform(keys[:1], steps[:1], 20_000)[0]).all()
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert (numbers.mean(1) - 0.5).abs().max() < 0.01
    assert numbers.corrcoef().fill_diagonal_(0.0).abs().max() < 0.03


def test_random_rewards_and_endings_come_as_often_as_the_heads_say():
    dream = made()
    dream = replace(dream, card=replace(dream.card, random_rewards=True, random_endings=True))
    heads = dream.world_model.heads
    for layer, bias in ((heads.reward, [0.0, 1.0, 0.0]), (heads.termination, [-1.0])):
        layer.weight.fill_(0.0)
        layer.bias.copy_(torch.tensor(bias))
    simulator = DreamSimulator(dream, 2000)
    simulator.reset(states=dream.starts["official"][:1].expand(2000, -1, -1, -1))
    result = simulator.step(torch.ones(2000, dtype=torch.int64))
    shares = torch.stack([(result.reward == value).float().mean() for value in (-1.0, 0.0, 2.0)])
    torch.testing.assert_close(shares, torch.tensor([0.0, 1.0, 0.0]).softmax(0), atol=0.04, rtol=0.0)
    assert result.terminated.float().mean() == pytest.approx(1 / (1 + np.e), abs=0.04)


def test_memory_and_chance_survive_a_file(lucky, tmp_path):
    lucky.save(tmp_path / "lucky.safetensors")
    loaded = Dream.load(tmp_path / "lucky.safetensors")
    config = loaded.world_model.config
    assert (config.memory, config.outcomes) == (5, 4)
    # files hold numbers of half the precision
    np.testing.assert_allclose(played(NovaDreamEnv(loaded), 0, 1), played(NovaDreamEnv(lucky), 0, 1), atol=0.05)


def test_the_memory_of_a_step_depends_on_what_was_before(mindful):
    simulator = DreamSimulator(mindful, 2)
    simulator.reset(states=mindful.starts["official"][:1].expand(2, -1, -1, -1))
    first = simulator.step(torch.tensor([0, 1])).state
    seen = mindful.world_model.seen(first)[:1].expand(2, -1, -1, -1)
    states = torch.cat([seen, first[:, mindful.world_model.config.rank :]], 1)
    assert not torch.equal(states[0], states[1])
    after = mindful.world_model.translate(states, torch.tensor([2, 2]))
    assert not torch.allclose(after[0], after[1])  # the same frame and action, another past


def test_states_of_frames_alone_begin_with_a_memory_of_nothing(mindful):
    simulator = DreamSimulator(mindful, 2)
    bare = torch.ones(2, 6, *mindful.cells)
    state = simulator.reset(states=bare)
    assert torch.equal(state[:, :6], bare)
    assert not state[:, 6:].any()
    simulator.step_latent(torch.zeros(2, 4, *mindful.cells))
    assert simulator.state[:, 6:].any()  # steps by latent actions are heard too


def test_what_is_far_counts_only_where_the_model_looks_far():
    for far in (False, True):
        model = made(far=far, frame_size=(8, 80)).world_model
        states = torch.zeros(2, 6, 1, 10)
        states[1, :, :, 9] = 5.0
        latent = model.translate(states, torch.zeros(2, dtype=torch.int64))
        assert torch.allclose(latent[0, :, :, 0], latent[1, :, :, 0]) is not far


def test_heads_that_look_everywhere_read_the_action_where_nothing_changes():
    rewards = []
    for everywhere in (False, True):
        model = made(everywhere=everywhere, reward_bins=True, reward_values=(0.0, 1.0, 2.0)).world_model
        state, still = torch.zeros(2, 6, 2, 3), torch.zeros(2, 4, 2, 3)
        rewards.append(model.outcome(state, still, state, torch.tensor([0, 1]))[0])
    assert rewards[0][0] == rewards[0][1]
    assert rewards[1][0] != rewards[1][1]


def test_doubt_follows_what_chance_brought_and_changes_nothing_of_it():
    dream = made(outcomes=4, memory=5, doubt=8)
    doubt = dream.world_model.doubt
    doubt.codes.copy_(torch.randn(doubt.codes.shape, generator=torch.Generator().manual_seed(3)))
    doubt.step_weights.copy_(torch.tensor([1.0, 1.0, 1.0, 0.0, -6.0]))
    followed, plain, again = (DreamSimulator(dream, 64, doubt=follows) for follows in (True, False, True))
    for simulator in (followed, plain, again):
        simulator.reset(generator=torch.Generator().manual_seed(0))
        last = torch.zeros(64)
        for _ in range(5):
            simulator.step(torch.ones(64, dtype=torch.int64))
            if simulator.follows_doubt:
                assert (simulator.doubt >= last).all()
                last = simulator.doubt
    assert torch.equal(followed.state, plain.state)
    assert torch.equal(followed.doubt, again.doubt)
    assert followed.doubt.unique().numel() > 4  # one start is one of four, what follows is chance
    assert followed.doubt.max() <= 1.0
    assert followed.doubt_map.shape == (64, 2, 3)
