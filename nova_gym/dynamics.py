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
    """Additive forward dynamics (FDM): content `A(z)` plus motion `B(u)`, and nothing else (`nova.md`).

    A is a residual network, `A(z) = z + f(z)`: what f leaves alone in a picture cannot drift.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.content_network = mlp(config.rank, config.rank, config.hidden, config.depth)
        self.motion_network = mlp(config.latent_action, config.rank, config.hidden, config.depth)

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
        self.network = mlp(2 * config.rank, config.latent_action, config.hidden, config.depth)

    def forward(self, state: Tensor, next_state: Tensor) -> Tensor:
        """Infers latent actions.

        Args:
            state, next_state: (B, K) float32.

        Returns:
            (B, U) float32.
        """
        return self.network(torch.cat([state, next_state], dim=-1))
