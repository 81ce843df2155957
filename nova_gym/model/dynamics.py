"""The dynamics: forward `z' = A(z) + B(u)`, inverse `(z, z') → u`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.local import LocalNetwork


class ForwardDynamics(nn.Module):
    """Additive forward dynamics (FDM): content `A(z)` plus motion `B(u)` (arXiv 2605.06298), the same in every cell.

    A is `z + f(z)`: what f leaves alone cannot drift. B has no biases, so B(0) = 0: where the latent action is 0,
    A alone decides (`docs/how-it-works.md`, Forward dynamics).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.content_network = LocalNetwork(config.rank, config.rank, config.hidden)
        self.motion_network = LocalNetwork(config.latent_action, config.rank, config.hidden, bias=False)

    def content(self, state: Tensor) -> Tensor:
        """A: states (B, K, rows, cols) float32 → their part in the next states, of the same shape."""
        return state + self.content_network(state)

    def motion(self, latent_action: Tensor) -> Tensor:
        """B: latent actions (B, U, rows, cols) float32 → their part in the next states (B, K, rows, cols)."""
        return self.motion_network(latent_action)

    def forward(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """One step: states (B, K, rows, cols) and latent actions (B, U, rows, cols) → next states."""
        return self.content(state) + self.motion(latent_action)


class InverseDynamics(nn.Module):
    """Inverse dynamics (IDM): the latent action that leads from one state to the next (arXiv 2605.06298).

    In each cell it sees a neighbourhood of both states.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.network = LocalNetwork(2 * config.rank, config.latent_action, config.hidden, config.reach, config.depth)

    def forward(self, state: Tensor, next_state: Tensor) -> Tensor:
        """Infers latent actions.

        Args:
            state, next_state: (B, K, rows, cols) float32.

        Returns:
            (B, U, rows, cols) float32.
        """
        return self.network(torch.cat([state, next_state], dim=1))
