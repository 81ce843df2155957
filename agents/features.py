"""What policies are made of: standardised latents, layers with LayerNorm, a small convolutional network over pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn


class StandardizedLatents(BaseFeaturesExtractor):
    """Latents with mean 0, and variance 1 in every coordinate that varies much.

    States have mean square 1 over all coordinates, but the first ones spread six times as far, which a policy network
    learns from slowly. Coordinates that vary little are not blown up: beside their spread, dreamt states differ from
    encoded frames most in these.

    Args:
        observation_space: (K,) float32.
        mean, spread: K numbers each.
    """

    #: Coordinates that spread less than this stay small.
    LEAST = 1.0

    def __init__(self, observation_space: spaces.Box, mean: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__(observation_space, observation_space.shape[0])
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("factor", 1.0 / torch.tensor(spread).clamp(min=self.LEAST))

    def forward(self, observations: Tensor) -> Tensor:
        """(B, K) float32 → (B, K)."""
        return ((observations - self.mean) * self.factor).clamp(-10.0, 10.0)


class NormalizedReLU(nn.Sequential):
    """LayerNorm, then ReLU: what stands after each linear layer of a policy, as SB3's `activation_fn`.

    Args:
        width: units of the layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.ReLU())


class PatchCNN(BaseFeaturesExtractor):
    """Patches of 8×8 pixels, two 3×3 convolutions over them, one linear layer: far cheaper than SB3's `NatureCNN`.

    Args:
        observation_space: (C, H, W) uint8, at least 8 pixels a side.
        features_dim: length of the output.
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        self.patches = nn.Sequential(
            nn.Conv2d(observation_space.shape[0], 32, 8, stride=8),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            length = self.patches(torch.zeros(1, *observation_space.shape)).shape[1]
        self.linear = nn.Sequential(nn.Linear(length, features_dim), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] → (B, features_dim)."""
        return self.linear(self.patches(observations))
