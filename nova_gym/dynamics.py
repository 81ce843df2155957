"""The dynamics: forward `z' = A(z) + B(u)`, inverse `(z, z') → u`, and a codebook of latent actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.config import ModelConfig


class ResidualMLP(nn.Module):
    """`first`, then `depth` blocks `h + W₂ GELU(W₁ LayerNorm(h))`, then `last`.

    As the action bridge it fits where walls are far better than a plain GELU network does in as many steps.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden))
            for _ in range(depth)
        )
        self.last = nn.Linear(hidden, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs), float32."""
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden)


class ForwardDynamics(nn.Module):
    """Additive forward dynamics (FDM): content `A(z)` plus motion `B(u)`, and nothing else (`nova.md`).

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


class Codebook(nn.Module):
    """K latent actions that stand for all others (`nova.md`, "Codebook").

    Attributes:
        codes: (K, U) float32.
        usage: (K,) float32, running share of latent actions that are nearest to each code, while it is trained.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.empty(config.codes, config.latent_action).uniform_(-1.0, 1.0))
        self.register_buffer("usage", torch.full((config.codes,), 1.0 / config.codes))

    def nearest(self, latent_action: Tensor) -> Tensor:
        """(B, U) float32 → (B,) int64, the index of the nearest code."""
        return torch.cdist(latent_action, self.codes).argmin(-1)

    def perplexity(self) -> Tensor:
        """() float32, how many codes are in use: the exponential of the entropy of `usage`, from 1 to K."""
        shares = self.usage / self.usage.sum()
        return torch.exp(-(shares * shares.clamp(min=1e-12).log()).sum())
