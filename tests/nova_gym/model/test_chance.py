"""Chance: which outcomes are drawn."""

import pytest
import torch

from nova_gym.model.chance import pick, turns
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


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize(("depth", "cells"), [(1, (5, 7)), (2, (4, 4)), (3, (5, 7)), (2, (1, 1)), (2, (2, 6))])
def test_each_turn_draws_what_is_expected_after_the_turns_before_it(depth, cells, far):
    """`draw` computes a turn's cells alone; `expect` computes all of them, as in training."""
    torch.manual_seed(0)
    model = WorldModel(ModelConfig(actions=3, outcomes=4, memory=2, depth=depth, far=far))
    chance = model.part("chance")
    state, uniform = torch.randn(6, model.config.rank + 2, *cells), torch.rand(6, *cells)
    actions = model.as_numbers(torch.arange(6) % 3, 6)
    with torch.no_grad():
        drawn = chance.draw(state, actions, uniform)
        turn = turns(*cells, state.device)
        for now in range(int(turn.max()) + 1):
            known = drawn * (turn < now)
            due = pick(chance.expect(state, actions, known), uniform)
            assert torch.equal(due[:, :, turn == now], drawn[:, :, turn == now])
