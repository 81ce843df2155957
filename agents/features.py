"""Parts of policies: standardised latents, layers with LayerNorm, a small convolutional network over pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn


class StandardizedLatents(BaseFeaturesExtractor):
    """Shifts latents to mean 0, and scales coordinates that vary much to variance 1, for faster learning.

    States have mean square 1 over all coordinates, but the first coordinates spread six times as far. Coordinates that
    vary little are not scaled up, because in these dreamt states differ most from encoded frames, relative to their
    spread.

    Args:
        observation_space: (K,) float32.
        mean, spread: mean and standard deviation of the K coordinates.
    """

    #: Coordinates with a smaller standard deviation are not scaled.
    LEAST = 1.0

    def __init__(self, observation_space: spaces.Box, mean: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__(observation_space, observation_space.shape[0])
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("factor", 1.0 / torch.tensor(spread).clamp(min=self.LEAST))

    def forward(self, observations: Tensor) -> Tensor:
        """Latents (B, K) float32 → features (B, K) float32 in [-10, 10]."""
        return ((observations - self.mean) * self.factor).clamp(-10.0, 10.0)


class NormalizedReLU(nn.Sequential):
    """LayerNorm, then ReLU: an `activation_fn` for SB3, which puts it after each linear layer of a policy.

    Args:
        width: units of the linear layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.ReLU())


class PatchCNN(BaseFeaturesExtractor):
    """Features of pixels, far cheaper than SB3's `NatureCNN`: 8×8 patches, two 3×3 convolutions, one linear layer.

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
        """Frames (B, C, H, W) float32 in [0, 1] → features (B, features_dim) float32."""
        return self.linear(self.patches(observations))
