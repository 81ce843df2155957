"""The dynamics: forward `z' = A(z) + B(u)`, inverse `(z, z') → u`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.mlp import ResidualMLP


class ForwardDynamics(nn.Module):
    """Additive forward dynamics (FDM): content `A(z)` plus motion `B(u)` (arXiv 2605.06298).

    A is a residual network, `A(z) = z + f(z)`: what f leaves alone in a picture cannot drift.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.content_network = ResidualMLP(config.rank, config.rank, config.hidden, config.depth)
        self.motion_network = ResidualMLP(config.latent_action, config.rank, config.hidden, config.depth)

    def content(self, state: Tensor) -> Tensor:
        """A: states (B, K) float32 → their part in the next states (B, K)."""
        return state + self.content_network(state)

    def motion(self, latent_action: Tensor) -> Tensor:
        """B: latent actions (B, U) float32 → their part in the next states (B, K)."""
        return self.motion_network(latent_action)

    def forward(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """One step: states (B, K) and latent actions (B, U), float32 → next states (B, K)."""
        return self.content(state) + self.motion(latent_action)


class InverseDynamics(nn.Module):
    """What happened between two states (IDM)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.network = ResidualMLP(2 * config.rank, config.latent_action, config.hidden, config.depth)

    def forward(self, state: Tensor, next_state: Tensor) -> Tensor:
        """Infers latent actions.

        Args:
            state, next_state: (B, K) float32.

        Returns:
            (B, U) float32.
        """
        return self.network(torch.cat([state, next_state], dim=-1))
