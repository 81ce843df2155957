"""The codebook: discrete latent actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig


class Codebook(nn.Module):
    """Discrete latent actions: a few codes that stand for all that can happen in a cell.

    Code 0 is the latent action 0: nothing that moves is there afterwards. Source: arXiv 2605.06298, codebook;
    `docs/how-it-works.md`, Codebook. n is `config.codes`.

    Attributes:
        codes: (n, U) float32, the first one 0.
        usage: (n,) float32, for each code the running share of latent actions that are nearest to it, in training.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        codes = torch.empty(config.codes, config.latent_action).uniform_(-1.0, 1.0)
        codes[0] = 0.0
        self.codes = nn.Parameter(codes)
        self.register_buffer("usage", torch.full((config.codes,), 1.0 / config.codes))

    def nearest(self, latent_action: Tensor) -> Tensor:
        """(B, U, rows, cols) float32 → (B, rows, cols) int64, the index of the nearest code in each cell."""
        return (
            torch.cdist(latent_action.movedim(1, -1).flatten(0, 2), self.codes)
            .argmin(-1)
            .view(len(latent_action), *latent_action.shape[2:])
        )

    def decode(self, codes: Tensor) -> Tensor:
        """(B, rows, cols) int64 indices → (B, U, rows, cols) float32 latent actions."""
        return self.codes[codes].movedim(-1, 1)

    def perplexity(self) -> Tensor:
        """() float32, how many codes are in use: the exponential of the entropy of `usage`, from 1 to n."""
        shares = self.usage / self.usage.sum()
        return torch.exp(-(shares * shares.clamp(min=1e-12).log()).sum())
