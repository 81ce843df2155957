"""The codebook: discrete latent actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig


class Codebook(nn.Module):
    """K latent actions that stand for all others (arXiv 2605.06298, codebook; `docs/how-it-works.md`).

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

    def decode(self, codes: Tensor) -> Tensor:
        """(B,) int64 indices → (B, U) float32 latent actions."""
        return self.codes[codes]

    def perplexity(self) -> Tensor:
        """() float32, how many codes are in use: the exponential of the entropy of `usage`, from 1 to K."""
        shares = self.usage / self.usage.sum()
        return torch.exp(-(shares * shares.clamp(min=1e-12).log()).sum())
