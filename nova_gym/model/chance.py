"""Chance: what neither the frame nor the past decides."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.local import LocalNetwork

#: Channels of the network that expects, as a multiple of those of the others: odds depend on state, action and what was
#: drawn around, all together.
WIDER = 2
#: Cells that are so far apart, along one axis, are drawn at the same time; those between know of each other.
APART = 3


class Chance(nn.Module):
    """A distribution over a few outcomes in each cell, one of which is drawn in a step.

    An outcome has no meaning of its own: training gives it one. The bridge turns it into a latent action, in its own
    cell and in those around. This is the discrete latent state of arXiv 2010.02193, in each cell of a field.

    One thing moves to one place, though several cells show it. So outcomes of neighbours must not contradict each
    other, and cells are drawn in turns: each turn draws every third cell of every third row, and expects what goes with
    the outcomes that earlier turns drew around it. A field of one cell needs one turn.

    Where nothing is random, one outcome is certain.

    What never happens is still expected a little, and over many cells and steps that adds up. So outcomes are not drawn
    whose odds, against the likeliest, are lower than of nearly all that happened in the recording (min-p sampling,
    arXiv 2407.01082, with a bound from data).

    Attributes:
        least: () float32 in [0, 1), that bound.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.outcomes = config.outcomes
        inputs = config.rank + config.memory + config.outcomes + config.actions
        self.prior = LocalNetwork(
            inputs, config.outcomes, WIDER * config.hidden, config.reach, config.depth, far=config.far
        )
        inputs = 2 * config.rank + config.memory
        self.posterior = LocalNetwork(inputs, config.outcomes, config.hidden, config.reach, config.depth)
        self.register_buffer("least", torch.zeros(()))

    def expect(self, state: Tensor, actions: Tensor, drawn: Tensor) -> Tensor:
        """What may happen in each cell, given what was drawn in others.

        Args:
            state: (B, K + M, rows, cols).
            actions: (B, A) float32, as `WorldModel.as_numbers` has them.
            drawn: (B, n, rows, cols) float32, one-hot, zeros in cells that are not drawn yet.

        Returns:
            (B, n, rows, cols) log-probabilities.
        """
        return self.prior(self._inputs(state, actions, drawn)).log_softmax(1)

    def draw(self, state: Tensor, actions: Tensor, uniform: Tensor | None) -> Tensor:
        """Draws outcomes, one in each cell.

        Args:
            state, actions: as in `expect`.
            uniform: (B, rows, cols) float32 in [0, 1), which decides; None for what is likeliest in each turn.

        Returns:
            (B, n, rows, cols) float32, one-hot.
        """
        rows, cols = state.shape[2:]
        drawn = state.new_zeros(state.shape[0], self.outcomes, rows, cols)
        if torch.compiler.is_compiling():  # steps of 3 cells would fix the sizes of an exported graph
            return self._draw_in_whole_fields(state, actions, uniform, drawn)
        first = self.prior.layers[0]
        alone = first(self._inputs(state, actions, drawn))  # a layer is linear: what is drawn adds to that
        of_drawn = first.weight[:, state.shape[1] : state.shape[1] + self.outcomes]
        for row in range(min(APART, rows)):
            for col in range(min(APART, cols)):
                heard = alone + F.conv2d(drawn, of_drawn, padding=first.padding)
                expected = self.prior.finish(heard, (row, col, APART)).log_softmax(1)
                decides = None if uniform is None else uniform[:, row::APART, col::APART]
                chosen = likeliest(expected) if decides is None else pick(self.likely(expected), decides)
                drawn = drawn.clone()
                drawn[:, :, row::APART, col::APART] = chosen
        return drawn

    def _draw_in_whole_fields(self, state: Tensor, actions: Tensor, uniform: Tensor | None, drawn: Tensor) -> Tensor:
        """`draw`, with all cells computed in each turn."""
        rows, cols = state.shape[2:]
        turn = turns(rows, cols, state.device)
        for now in range(min(APART, rows) * min(APART, cols)):
            expected = self.expect(state, actions, drawn)
            chosen = likeliest(expected) if uniform is None else pick(self.likely(expected), uniform)
            drawn = torch.where(turn == now, chosen, drawn)
        return drawn

    def _inputs(self, state: Tensor, actions: Tensor, drawn: Tensor) -> Tensor:
        planes = actions[:, :, None, None].expand(-1, -1, *state.shape[2:])
        return torch.cat([state, drawn, planes], dim=1)

    def likely(self, expected: Tensor) -> Tensor:
        """Log-probabilities (B, n, rows, cols) without outcomes whose odds are below `least`."""
        odds = (expected - expected.amax(1, keepdim=True)).exp()
        return expected.masked_fill(odds < self.least, -torch.inf).log_softmax(1)

    def explain(self, state: Tensor, following: Tensor) -> Tensor:
        """What did happen, in training: states (B, K + M, rows, cols) and what the next frames show → logits."""
        return self.posterior(torch.cat([state, following], dim=1))


def turns(rows: int, cols: int, device: torch.device) -> Tensor:
    """(rows, cols) int64, the turn in which each cell is drawn, from 0; smaller fields need fewer turns."""
    row, col = (torch.arange(count, device=device) % APART for count in (rows, cols))
    return row[:, None] * min(APART, cols) + col


def pick(log_probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Outcomes (B, n, rows, cols), one-hot, that numbers (B, rows, cols) in [0, 1) decide on."""
    below = log_probabilities.exp().cumsum(1) <= uniform[:, None]
    index = below.sum(1).clamp(max=log_probabilities.shape[1] - 1)
    return one_hot(index, log_probabilities.shape[1])


def likeliest(log_probabilities: Tensor) -> Tensor:
    """The likeliest outcome of each cell, (B, n, rows, cols) float32, one-hot."""
    return one_hot(log_probabilities.argmax(1), log_probabilities.shape[1])


def one_hot(index: Tensor, count: int) -> Tensor:
    """(B, rows, cols) int64 → (B, count, rows, cols) float32."""
    return torch.zeros(index.shape[0], count, *index.shape[1:], device=index.device).scatter_(1, index[:, None], 1.0)
