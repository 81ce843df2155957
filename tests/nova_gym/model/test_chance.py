"""Chance: which outcomes are drawn."""

import torch

from nova_gym.model.chance import pick
from nova_gym.model.config import ModelConfig
from nova_gym.model.world_model import WorldModel


def test_outcomes_whose_odds_are_below_the_least_are_not_drawn_and_the_others_keep_their_odds():
    chance = WorldModel(ModelConfig(actions=2, outcomes=4)).part("chance")
    expected = torch.tensor([0.6, 0.3, 0.08, 0.02]).log().view(1, 4, 1, 1).expand(4000, 4, 1, 1)
    uniform = torch.linspace(0, 1 - 1e-6, 4000).view(4000, 1, 1)
    assert torch.allclose(chance.likely(expected), expected, atol=1e-5)  # nothing is left out before it is measured
    chance.least.fill_(0.2)
    shares = pick(chance.likely(expected), uniform).mean((0, 2, 3))
    assert torch.allclose(shares, torch.tensor([2 / 3, 1 / 3, 0.0, 0.0]), atol=1e-3)
