"""What a recording says about change: when a cell has changed, and how far off a predicted cell may be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nova_gym.data import Clips
from nova_gym.model.world_model import WorldModel

#: Equal cells have states that are equal up to rounding; a larger mean squared change (states have mean square 1) is
#: one.
ROUNDING = 1e-6
#: The dead band is this share of the smallest changes, these being the given quantile of all.
BAND_SHARE, SMALLEST = 0.25, 0.001
#: A predicted cell is lost where it is further from the truth than this share of a clip's typical difference.
LOST_SHARE = 0.5
#: Transitions that the changes are measured on at most, evenly spread.
SAMPLE = 8192
#: Changes of single cells at most that the smallest are looked for in; PyTorch's quantiles take few million.
MOST = 1_000_000
#: How much more often a wrong transition is drawn, and the largest share of draws that wrong transitions are raised to.
EMPHASIS, SHARE = 50.0, 0.5
#: How far on the way to another look a predicted cell may be at no cost, half-way being the border between the two; and
#: from where on it costs no more.
ON_THE_WAY, GONE = 0.25, 5.0


@dataclass(frozen=True)
class Changes:
    """Sizes of change in a recording, as mean square over the state of a cell.

    Attributes:
        dead_band: up to which a step leaves a cell as it is (`docs/how-it-works.md`, Forward dynamics). Where things
            move tile by tile, all true changes are larger. Where they move gradually, it is near 0 and has hardly any
            effect.
        lost: from which on a predicted cell is not near the truth any more: half of what typically differs between
            two frames of one clip. Where things move gradually that is much more than what changes in a step.
    """

    dead_band: float
    lost: float

    @classmethod
    def of(cls, clips: Clips, states: Tensor) -> Changes:
        """Measures them.

        Args:
            clips: the recording.
            states: (F, K, rows, cols) float32 of all its frames.

        Returns:
            Both sizes; if all frames are equal, 0 and infinity.
        """
        source = clips.source[:: max(1, len(clips.source) // SAMPLE)]
        changes = (states[source + 1] - states[source]).square().mean(1)
        true = changes[changes > ROUNDING]
        if not len(true):
            return cls(0.0, float("inf"))
        apart = clips.elsewhere(
            torch.arange(len(clips.source))[:: max(1, len(clips.source) // SAMPLE)],
            source,
            1.0,
            torch.Generator().manual_seed(0),
        )
        largest = (states[apart] - states[source]).square().mean(1).flatten(1).amax(1)
        typical = largest[largest > ROUNDING].median() if (largest > ROUNDING).any() else true.max()
        smallest = torch.quantile(true[:: 1 + len(true) // MOST], SMALLEST)
        return cls(BAND_SHARE * float(smallest), LOST_SHARE * float(typical))

    def astray(self, model: WorldModel, settled: Tensor, truth: Tensor) -> Tensor:
        """(B,) bool: whether a cell of settled states (B, K, rows, cols) has another look than the true ones.

        All False for a model that knows no looks.
        """
        if model.looks is None:
            return torch.zeros(len(settled), dtype=torch.bool, device=settled.device)
        return self.changed(truth, model.nearest_look(settled)).flatten(1).any(1)

    def mistaken(self, model: WorldModel, state: Tensor, reached: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """(B,) float32, how far on the way to other looks the cells of a step are, summed over cells.

        The squared error hardly counts that a passenger is missing whom few pixels show. Here every cell counts alike
        that is nearer to another look than to its own, however near these two are to each other.

        Args:
            model: that knows looks.
            state, reached: (B, K, rows, cols) float32, before and after a step of the model.
            before, after: the same of the recording.
        """
        moves = (reached.detach() - model.seen(state)).square().mean(1) > self.dead_band
        moves |= self.changed(before, after)
        cells, true = (states.movedim(1, -1)[moves] for states in (reached, after))
        off, sizes = cells - true, model.looks.square().sum(1)
        apart = sizes - 2.0 * true @ model.looks.T + true.square().sum(1, keepdim=True)
        along = off @ model.looks.T - (off * true).sum(1, keepdim=True)
        other = apart > max(self.dead_band, ROUNDING) * cells.shape[1]
        way = torch.where(other, along / apart.where(other, torch.ones_like(apart)), 0.0).amax(1)
        cost = (way - ON_THE_WAY).clamp(min=0.0, max=GONE)
        return torch.zeros_like(moves, dtype=cost.dtype).masked_scatter(moves, cost).sum((1, 2))

    def changed(self, state: Tensor, following: Tensor) -> Tensor:
        """(B, rows, cols) bool: cells that true states (B, K, rows, cols) say have changed."""
        return (following - state).square().mean(1) > max(self.dead_band, ROUNDING)


@torch.no_grad()
def wrong_transitions(model: WorldModel, clips: Clips, states: Tensor) -> Tensor:
    """(T,) bool: transitions whose next state, reward or ending the model predicts wrongly.

    Args:
        model: with a bridge, and without memory and chance.
        clips: labelled.
        states: (F, K, rows, cols) float32 of all frames.
    """
    changes, wrong = Changes.of(clips, states), []
    spread = float(clips.rewards.max() - clips.rewards.min())
    for chosen in torch.arange(len(clips.source)).split(1024):
        source = clips.source[chosen]
        state, following = states[source].to(model.device), states[source + 1]
        actions = clips.actions[chosen].to(model.device)
        latent_action = model.translate(state, actions)
        predicted = model.settle(state, model.step(state, latent_action), changes.dead_band)
        reward, termination, _ = model.outcome(state, latent_action, predicted, actions)
        off = ((predicted.cpu() - following).square().mean(1) > changes.lost).flatten(1).any(1)
        off |= changes.astray(model, predicted, following.to(model.device)).cpu()
        off |= (termination.cpu() > 0.5) != clips.terminations[chosen]
        wrong.append(off | ((reward.cpu() - clips.rewards[chosen]).abs() > 0.05 * spread))
    return torch.cat(wrong)


def emphasize(clips: Clips, wrong: Tensor) -> Clips:
    """Draws wrong transitions `EMPHASIS` times as often, up to `SHARE` of the time (or more, if they are that many)."""
    weights = torch.ones(len(wrong)) if clips.weights is None else clips.weights
    bad, good = float(weights[wrong].sum()), float(weights[~wrong].sum())
    if bad == 0.0 or good == 0.0:
        return clips
    factor = max(1.0, min(EMPHASIS, SHARE / (1.0 - SHARE) * good / bad))
    return replace(clips, weights=torch.where(wrong, factor * weights, weights))
