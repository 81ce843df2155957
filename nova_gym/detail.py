"""What larger frames are drawn by: base weights and a basis of their own, from the same states.

A frame of 72 × 72 pixels does not say where in a pixel an edge lies, so the coordinate network that learned from such
frames draws larger ones with ragged edges. Detail has seen larger frames. Its network has more octaves of Fourier
features, and each is switched on only where the grid asked for can sample it (`nova_gym.inr.nyquist_mask`).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from nova_gym import inr
from nova_gym.config import INRConfig, ModelConfig


class Detail(nn.Module):
    """Draws frames that are larger than those that the dream was trained on.

    Args:
        config: sizes of the world model; `config.detail` is not None.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.usual, self.frame_size = config.detail, config.inr.frequencies, config.frame_size
        count = inr.weight_count(self.config)
        self.base = nn.Parameter(torch.zeros(count))
        self.basis = nn.Parameter(torch.zeros(config.rank, count))

    def suits(self, height: int, width: int) -> bool:
        """Whether such a frame is larger than the dream's own, and samples an octave that these are drawn without."""
        larger = height > self.frame_size[0] or width > self.frame_size[1]
        return larger and 2**self.usual < max(height, width) / 2

    def mask(self, height: int, width: int) -> Tensor:
        """(2 + 4F,) float32 of 0 and 1: the features that are on where frames have this size."""
        return inr.nyquist_mask(self.config.frequencies, height, width)

    def render(self, state: Tensor, height: int, width: int, as_bytes: bool = False) -> Tensor:
        """States (B, K) → frames (B, C, H, W) float32 in [0, 1], or (B, H, W, C) uint8."""
        weights = inr.combine(self.base, self.basis, state)
        return inr.render(weights, height, width, self.config, self.mask(height, width), as_bytes)


def add_octaves(weights: Tensor, config: INRConfig, octaves: int) -> Tensor:
    """Weights of networks that draw what they drew, with so many octaves more that change nothing yet.

    Args:
        weights: (B, D) float32 of networks of `config`.
        config: their sizes.
        octaves: 0 or more.

    Returns:
        (B, D') float32, of networks with `config.frequencies + octaves` octaves.
    """
    (first, bias), *others = inr.unflatten(weights, config)
    wider = replace(config, frequencies=config.frequencies + octaves)
    extra = first.new_zeros(*first.shape[:2], inr.layer_sizes(wider)[0][0] - first.shape[2])
    layers = [(torch.cat([first, extra], dim=2), bias), *others]
    return torch.cat([part.flatten(1) for layer in layers for part in layer], dim=1)
