"""Where episodes in training start."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nova_gym.agents import DreamVecEnv, make_agent
from nova_gym.agents.starts import SHARES, PrioritizedStarts, starts_of


@pytest.fixture
def starts():
    """Fifty starts of each kind, each with its number in every place."""
    numbers = torch.arange(150.0)[:, None, None, None].expand(150, 2, 3, 3).contiguous()
    return PrioritizedStarts(dict(zip(SHARES, numbers.split(50), strict=True)))


def share_of(starts, low, high):
    """Share of the bank that was drawn from starts low … high - 1."""
    numbers = starts.bank[:, 0, 0, 0]
    return float(((numbers >= low) & (numbers < high)).float().mean())


def test_at_first_most_episodes_begin_close_to_a_reward(starts):
    assert share_of(starts, 100, 150) > 0.55
    assert share_of(starts, 0, 50) > 0.05
    assert share_of(starts, 50, 100) > 0.05


def test_later_a_start_that_the_agent_fails_from_is_drawn_more_often(starts):
    starts.success[:] = 1.0
    starts.success[:5] = 0.0
    starts._draw()
    assert share_of(starts, 0, 5) > 0.25  # a thirtieth of the starts
    assert share_of(starts, 100, 150) > 0.1


def test_training_draws_from_the_bank_and_counts_successes(tiny):
    """Episodes of one step at most: each is counted for the start that it began from."""
    starts = PrioritizedStarts(starts_of([tiny]))
    bank = starts.bank.clone()
    env = DreamVecEnv(replace(tiny, starts={"training": starts.bank}), 8, starts="training", max_episode_steps=1)
    starts.success[:] = 0.5
    make_agent("a2c", env, device="cpu").learn(8 * 16, callback=starts)
    assert not torch.equal(starts.bank, bank)
    assert (starts.success != 0.5).any()
    starts.bank[:] = starts.states[0]  # what is written there is where the next episodes start
    env.reset()
    assert all((info["latent"] == starts.states[0].numpy()).all() for info in env.reset_infos)


def test_levels_put_their_starts_together(tiny):
    kinds = starts_of([tiny, tiny])
    assert len(kinds["own"]) == 2 * len(tiny.starts["official"])
    assert len(kinds["random"]) == 2 * len(tiny.starts["random"])


def test_a_dream_without_random_starts_gives_what_it_has(tiny):
    kinds = starts_of([replace(tiny, starts={"recorded": tiny.starts["official"]})])
    assert list(kinds) == ["own"]
    starts = PrioritizedStarts(kinds)
    assert len(starts.success) == len(tiny.starts["official"])


def test_the_same_seed_draws_the_same_starts(tiny):
    banks = [PrioritizedStarts(starts_of([tiny]), seed).bank.numpy() for seed in (3, 3, 4)]
    np.testing.assert_array_equal(banks[0], banks[1])
    assert (banks[0] != banks[2]).any()
