"""Tuning: more of the model's own roll-outs, with what it still gets wrong shown more often."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nova_gym.data import Clips
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.unrolling import Unrolling

#: Mean squared distance of states (mean square 1) from which a predicted state is wrong; a step of the agent is 0.3.
WRONG = 0.05
#: How much more often a roll-out starts with a transition that was wrong, and the share of roll-outs that do at most.
EMPHASIS, SHARE = 50.0, 0.5


class Tuning(Unrolling):
    """More unrolling, at a lower rate, for a model that was unrolled before.

    One transition in a thousand that is wrong in the same way hardly counts in a mean loss, but is the hole in a wall
    that an agent goes through.

    Args:
        wrong: (T,) bool, from `wrong_transitions` before this stage.
    """

    name = "tuning"

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig, wrong: Tensor) -> None:
        super().__init__(model, _emphasize(clips, wrong), states, replace(config, unrolling=config.tuning))


@torch.no_grad()
def wrong_transitions(model: WorldModel, clips: Clips, states: Tensor) -> Tensor:
    """(T,) bool: transitions whose next state, reward or ending the model predicts wrongly from (F, K) `states`."""
    wrong = []
    for chosen in torch.arange(len(clips.source)).split(4096):
        source = clips.source[chosen]
        state, following = states[source].to(model.device), states[source + 1]
        latent_action = model.translate(state, clips.actions[chosen].to(model.device))
        predicted = model.step(state, latent_action)
        reward, termination = model.outcome(state, latent_action, predicted)
        off = (predicted.cpu() - following).square().mean(1) > WRONG
        off |= (termination.cpu() > 0.5) != clips.terminations[chosen]
        wrong.append(off | ((reward.cpu() - clips.rewards[chosen]).abs() > 0.05))
    return torch.cat(wrong)


def _emphasize(clips: Clips, wrong: Tensor) -> Clips:
    """Draws wrong transitions `EMPHASIS` times as often, up to `SHARE` of the time (or more, if they are that many)."""
    weights = torch.ones(len(wrong)) if clips.weights is None else clips.weights
    bad, good = float(weights[wrong].sum()), float(weights[~wrong].sum())
    if bad == 0.0 or good == 0.0:
        return clips
    factor = max(1.0, min(EMPHASIS, SHARE / (1.0 - SHARE) * good / bad))
    return replace(clips, weights=torch.where(wrong, factor * weights, weights))
