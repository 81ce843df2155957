"""The dynamics: forward `z' = A(z) + B(u)`, and inverse `(z, z') → u`."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from nova_gym.config import ModelConfig


def mlp(inputs: int, outputs: int, hidden: int, depth: int) -> nn.Sequential:
    """A GELU network with `depth` hidden layers of `hidden` units."""
    sizes = [inputs, *[hidden] * depth, outputs]
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class ForwardDynamics(nn.Module):
    """Additive forward dynamics (FDM): content `A(z)` plus motion `B(u)`, and nothing else (`nova.md`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.content = mlp(config.rank, config.rank, config.hidden, config.depth)
        self.motion = mlp(config.latent_action, config.rank, config.hidden, config.depth)

    def forward(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """One step.

        Args:
            state: (B, K) float32.
            latent_action: (B, U) float32.

        Returns:
            (B, K) float32, the next state.
        """
        return self.content(state) + self.motion(latent_action)


class InverseDynamics(nn.Module):
    """What happened between two states (IDM)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.network = mlp(2 * config.rank, config.latent_action, config.hidden, config.depth)

    def forward(self, state: Tensor, next_state: Tensor) -> Tensor:
        """Infers latent actions.

        Args:
            state, next_state: (B, K) float32.

        Returns:
            (B, U) float32.
        """
        return self.network(torch.cat([state, next_state], dim=-1))
