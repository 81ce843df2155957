"""From evidence to probabilities: how doubt is calibrated on roll-outs whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from nova_gym.measures import agreement
from nova_gym.model.doubt import LEAST, Doubt
from nova_gym.training.walks import Walks

#: Keeps weights finite where evidence divides all steps without an error.
PRIOR = 1e-3
#: A feature that differs less is the same everywhere.
LEAST_SPREAD = 1e-6
#: Kinds of roll-outs of frames as they are: along clips as they are, and along clips that go on.
TRUE = HELD_OUT, PROLONGED = "held out", "prolonged"
#: How much strange roll-outs count beside those of frames as they are, where probabilities are fitted.
STRANGE = 0.1


def calibrate(doubt: Doubt, named: dict[str, Walks]) -> dict[str, Any]:
    """Fits the weights that turn evidence into probabilities, and says how well they agree with what happened.

    Args:
        doubt: whose network is trained; written to.
        named: roll-outs by their kind. Those of `TRUE` kinds count in full, others by `STRANGE`.
    """
    walks = list(named.values())
    first = torch.cat([part.gone[:, 0] for part in walks])
    for weights, name in ((doubt.drawn_weights, "drawn"), (doubt.likely_weights, "likely")):
        values = torch.cat([getattr(part, name) for part in walks])
        weights.copy_(logistic(torch.stack([values, torch.ones_like(values)], dim=1), first))
    evidence, missed = (torch.cat([getattr(part, of)[part.fine] for part in walks]) for of in ("evidence", "missed"))
    doubt.step_weights.copy_(logistic(evidence, missed))
    over = [_so_far(_largest(doubt, part)) for part in walks]
    frames, outcomes = [], []
    for (name, part), so_far in zip(named.items(), over, strict=True):
        much = 1.0 if name in TRUE else STRANGE
        counts = part.there[:, 1:] & ~part.gone[:, :1]
        frames.append((so_far[counts], part.gone[:, 1:][counts], so_far.new_full((int(counts.sum()),), much)))
        counts = part.there[:, 1:] & ~part.gone[:, 1:]
        values = part.undecided[:, 1:][counts]
        values = torch.stack([values, torch.ones_like(values)], dim=1)
        outcomes.append((values, part.off[:, 1:][counts], values.new_full((len(values),), much)))
    for weights, examples in ((doubt.frame_weights, frames), (doubt.outcome_weights, outcomes)):
        weights.copy_(logistic(*map(torch.cat, zip(*examples, strict=True))))
    found: dict[str, Any] = {}
    for (name, part), so_far in zip(named.items(), over, strict=True):
        begun = torch.sigmoid(doubt.drawn_weights[0] * part.drawn + doubt.drawn_weights[1])[:, None]
        decided = torch.sigmoid(-doubt.outcome_weights[0] * part.undecided[:, 1:] - doubt.outcome_weights[1])
        later = 1.0 - (1.0 - begun) * torch.sigmoid(-(so_far @ doubt.frame_weights)) * decided
        found[name] = agreement(torch.cat([begun, later], dim=1)[part.there].numpy(), part.wrong[part.there].numpy())
    return found


def _so_far(largest: Tensor) -> Tensor:
    """(R, T) logits of steps → (R, T, 4), what the probability that a frame is wrong is read from (`Doubt.step`)."""
    if not largest.shape[1]:
        return largest.new_zeros(*largest.shape, 4)
    steps = torch.arange(1, largest.shape[1] + 1).log().expand_as(largest)
    return torch.stack([largest.cummax(1).values, steps, largest, torch.ones_like(largest)], dim=2)


def _largest(doubt: Doubt, part: Walks) -> Tensor:
    """(R, T) float32, the largest logit of any cell at each step; `LEAST` where nothing was looked at."""
    size = part.gone.shape[1] - 1
    flat = torch.full((len(part.gone) * size,), LEAST)
    index = part.place[:, 0] * size + part.place[:, 1]
    return flat.scatter_reduce(0, index, part.evidence @ doubt.step_weights, "amax").view(len(part.gone), size)


def logistic(features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Logistic regression in which more of any feature never makes a label less likely.

    Args:
        features: (n, f) float32, the last of which is 1.
        labels: (n,) bool.
        weights: (n,) float32, how much each counts; None for all alike.

    Returns:
        (f,) float32 weights, those of all but the last from 0.
    """
    x, y = features.double().numpy(), labels.double().numpy()
    counts = np.ones(len(y)) if weights is None else weights.double().numpy()
    middle, spread = np.zeros(x.shape[1] - 1), np.ones(x.shape[1] - 1)
    if len(x):  # so that all features weigh alike
        middle, spread = (of(x[:, :-1], axis=0) for of in (np.mean, np.std))
        spread[spread < LEAST_SPREAD] = 1.0
    x = np.concatenate([(x[:, :-1] - middle) / spread, x[:, -1:]], axis=1)

    def loss(slopes: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ slopes
        value = counts @ (np.logaddexp(0.0, z) - y * z) + PRIOR * (slopes[:-1] @ slopes[:-1])
        return value, x.T @ (counts * (expit(z) - y)) + 2 * PRIOR * np.append(slopes[:-1], 0.0)

    bounds = [(0.0, None)] * (x.shape[1] - 1) + [(-30.0, 30.0)]
    rate = (y.sum() + 0.5) / (len(y) + 1.0)  # where one of the two labels is missing, the constant says how rare it is
    found = np.append(np.zeros(x.shape[1] - 1), np.log(rate / (1.0 - rate)))
    if 0 < y.sum() < len(y):
        found = minimize(loss, found, jac=True, bounds=bounds, method="L-BFGS-B").x
    slopes = found[:-1] / spread
    return torch.from_numpy(np.append(slopes, found[-1] - slopes @ middle)).float().half().float()  # as in the file
