"""The memory of a step: what one frame does not show, such as velocity, or what the agent carries."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.local import CellConvolution, LocalNetwork


class RecurrentMemory(nn.Module):
    """`h' = memory(h, z, z', a)`, a convolutional gated recurrent unit (arXiv 1511.06432), the same in every cell.

    In each cell it hears a neighbourhood of the states before and after a step, and the action. It also hears the
    largest memory of all cells, so that what happened far away, such as a key that was picked up, is known everywhere.
    That is of the same size in every field.

    Attributes:
        first: (M,) float32, the memory in every cell where an episode begins. Zeros mean that the past is not known.
        unforeseen: (K, K) float32, lower triangular. With a normal vector it gives an error such as real frames have
            against what is foreseen of a cell; zeros where it was not measured.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size = config.memory
        self.heard = LocalNetwork(2 * config.rank, 3 * size, config.hidden, config.reach)
        self.kept = CellConvolution(size, 3 * size, config.reach, bias=False)
        self.everywhere = nn.Linear(size, 3 * size, bias=False)
        self.acted = nn.Linear(config.actions, 3 * size, bias=False)
        self.first = nn.Parameter(torch.zeros(size))
        self.register_buffer("unforeseen", torch.zeros(config.rank, config.rank))

    def forward(self, memory: Tensor, state: Tensor, following: Tensor, actions: Tensor) -> Tensor:
        """The memory after a step.

        Args:
            memory: (B, M, rows, cols) float32, before it.
            state, following: (B, K, rows, cols) float32, what the frames before and after it show.
            actions: (B, A) float32, one-hot where actions are discrete; zeros for an action that is not known.

        Returns:
            (B, M, rows, cols) float32.
        """
        far = self.everywhere(memory.amax((2, 3))) + self.acted(actions)
        # the change is small where things move gradually, and says more than the two states do
        heard = self.heard(torch.cat([following, following - state], dim=1)) + far[:, :, None, None]
        kept = self.kept(memory)
        keep, reset = (heard + kept)[:, : 2 * memory.shape[1]].sigmoid().chunk(2, dim=1)
        news = (heard[:, 2 * memory.shape[1] :] + reset * kept[:, 2 * memory.shape[1] :]).tanh()
        return keep * memory + (1.0 - keep) * news
