"""How unlikely something may be that happens, as a recording shows it."""

from __future__ import annotations

import torch
from torch import Tensor

from nova_gym.data import Clips
from nova_gym.model import chance as chances
from nova_gym.model.world_model import WorldModel
from nova_gym.training.heard import ENOUGH_HEARD, heard_states

#: Transitions that are looked at, at most.
SAMPLE = 4096
#: Share of the surprises that may be more unlikely than the bound, and how many have to be seen.
RARER, ENOUGH = 0.01, 100


def settle_odds(model: WorldModel, clips: Clips, states: Tensor) -> None:
    """Sets `Chance.least` of a trained model, if it has chance."""
    if model.has_chance:
        model.part("chance").least.fill_(least_odds(model, clips, states))


@torch.no_grad()
def least_odds(model: WorldModel, clips: Clips, states: Tensor) -> float:
    """The odds, against the likeliest outcome of a cell, that nearly all have which happened in a recording.

    Args:
        model: with chance, trained.
        clips: labelled.
        states: (F, K, rows, cols) float32 of all their frames.

    Returns:
        A number in [0, 1), `Chance.least`; 0 where too few surprises were seen.
    """
    chance, found, device = model.part("chance"), [], model.device
    known = torch.nonzero(clips.position >= ENOUGH_HEARD * model.has_memory).flatten()
    for at in known[:: max(1, len(known) // SAMPLE)].split(256):
        state = heard_states(model, clips, states, at)
        following, actions = states[clips.source[at] + 1].to(device), clips.actions[at].to(device)
        happened = chances.likeliest(chance.explain(state, following))
        turn = chances.turns(*state.shape[2:], state.device)
        for now in range(int(turn.max()) + 1):
            drawn = happened * (turn < now)
            expected = chance.expect(state, model.as_numbers(actions, len(state)), drawn)[:, :, turn == now]
            odds = (expected - expected.amax(1, keepdim=True)).exp()[happened[:, :, turn == now] > 0]
            found.append(odds[odds < 1.0].cpu())
    surprises = torch.cat(found) if found else torch.zeros(0)
    return float(torch.quantile(surprises[:1_000_000], RARER)) if len(surprises) >= ENOUGH else 0.0
