"""Chance: what neither the frame nor the past decides."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.bridge import ActionNetwork
from nova_gym.model.config import ModelConfig
from nova_gym.model.local import LocalNetwork

#: Share of the probability that is spread evenly over all outcomes, so that none is impossible (arXiv 2301.04104).
UNIFORM = 0.01


class Chance(nn.Module):
    """A distribution over a few outcomes in each cell, one of which is drawn in a step.

    An outcome has no meaning of its own: training gives it one. The bridge turns it into a latent action, in its own
    cell and in those around. So one outcome in one cell can say where something goes that several cells show. This is
    the discrete latent state of arXiv 2010.02193, in each cell of a field. Where nothing is random, one outcome is
    certain, or all lead to the same.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.prior = ActionNetwork(config, config.rank + config.memory, config.outcomes)
        inputs = 2 * config.rank + config.memory
        self.posterior = LocalNetwork(inputs, config.outcomes, config.hidden, config.reach, config.depth)

    def expect(self, state: Tensor, actions: Tensor) -> Tensor:
        """What may happen: states (B, K + M, rows, cols) and actions → log-probabilities (B, n, rows, cols)."""
        return _log_probabilities(self.prior(state, actions))

    def explain(self, state: Tensor, following: Tensor) -> Tensor:
        """What did happen, in training: states (B, K + M, rows, cols) and what the next frames show → as `expect`."""
        return _log_probabilities(self.posterior(torch.cat([state, following], dim=1)))


def _log_probabilities(logits: Tensor) -> Tensor:
    probabilities = logits.softmax(1) * (1.0 - UNIFORM) + UNIFORM / logits.shape[1]
    return probabilities.log()


def draw(log_probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Draws outcomes, one in each cell.

    Args:
        log_probabilities: (B, n, rows, cols).
        uniform: (B, rows, cols) float32 in [0, 1), which decides.

    Returns:
        (B, n, rows, cols) float32, one-hot.
    """
    below = log_probabilities.exp().cumsum(1) <= uniform[:, None]
    index = below.sum(1).clamp(max=log_probabilities.shape[1] - 1)
    return one_hot(index, log_probabilities.shape[1])


def likeliest(log_probabilities: Tensor) -> Tensor:
    """The likeliest outcome of each cell, (B, n, rows, cols) float32, one-hot."""
    return one_hot(log_probabilities.argmax(1), log_probabilities.shape[1])


def one_hot(index: Tensor, count: int) -> Tensor:
    """(B, rows, cols) int64 → (B, count, rows, cols) float32."""
    return torch.zeros(len(index), count, *index.shape[1:], device=index.device).scatter_(1, index[:, None], 1.0)
