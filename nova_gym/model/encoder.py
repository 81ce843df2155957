"""The encoder: frame → state."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig

#: Pixels that the convolutions fold into one position.
STRIDE = 8


class Encoder(nn.Module):
    """A strided CNN that ends in one linear layer (`docs/how-it-works.md`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, second, third = config.encoder_widths
        self.frame_size = config.frame_size
        self.convolutions = nn.Sequential(
            nn.Conv2d(config.inr.channels, first, 4, stride=4),
            nn.GELU(),
            nn.Conv2d(first, second, 2, stride=2),
            nn.GELU(),
            nn.Conv2d(second, third, 3, padding=1),
            nn.GELU(),
        )
        positions = math.prod(math.ceil(side / STRIDE) for side in config.frame_size)
        self.linear = nn.Linear(third * positions, config.rank)

    def forward(self, frames: Tensor) -> Tensor:
        """Encodes frames.

        Args:
            frames: (B, C, H, W) float32 in [0, 1].

        Returns:
            (B, K) float32 states.

        Raises:
            ValueError: the frames are of another size.
        """
        height, width = frames.shape[-2:]
        if (height, width) != tuple(self.frame_size):
            raise ValueError(
                f"frames are {height}×{width}; this model encodes "
                f"{self.frame_size[0]}×{self.frame_size[1]} (height×width)"
            )
        padded = F.pad(frames - 0.5, (0, -width % STRIDE, 0, -height % STRIDE))
        return self.linear(self.convolutions(padded).flatten(1))

    @torch.no_grad()
    def change_basis(self, matrix: Tensor, mean: Tensor) -> None:
        """Makes the encoder output `matrix @ (state - mean)` from now on; exact, nothing is retrained.

        Args:
            matrix: (K, K) float32.
            mean: (K,) float32.
        """
        self.linear.weight.copy_(matrix @ self.linear.weight)
        self.linear.bias.copy_(matrix @ (self.linear.bias - mean))
