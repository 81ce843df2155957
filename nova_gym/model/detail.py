"""What larger frames are drawn by: base weights and a basis of their own, from the same states.

A frame of 72 × 72 pixels does not say where in a pixel an edge lies, so the coordinate network that learned from such
frames draws larger ones with ragged edges. Detail has seen larger frames. Its network has more octaves of Fourier
features, and each is switched on only where the grid asked for can sample it (`nova_gym.model.inr.nyquist_mask`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nova_gym.model import inr
from nova_gym.model.config import INRConfig, ModelConfig


class Detail(nn.Module):
    """Base weights and basis for frames that are larger than the dream's own; `WorldModel.renderer` chooses.

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
        """Whether such a frame is larger than the dream's own, and samples an octave that the usual renderer lacks."""
        larger = height > self.frame_size[0] or width > self.frame_size[1]
        return larger and 2**self.usual < max(height, width) / 2

    def mask(self, height: int, width: int) -> Tensor:
        """(2 + 4F,) float32 of 0 and 1: the features that are on where frames have this size, never fewer than for the
        dream's own.
        """
        usual_height, usual_width = self.frame_size
        return inr.nyquist_mask(self.config.frequencies, max(height, usual_height), max(width, usual_width))

    def draw(self, state: Tensor, points: Tensor, mask: Tensor) -> Tensor:
        """States (B, K) → pixels (B, C, P) at points (P, 2), not clipped, with gradients; `mask` as from `mask`."""
        return inr.render_at(torch.addmm(self.base, state, self.basis), points, self.config, mask)


def widen(weights: Tensor, config: INRConfig, wider: INRConfig) -> Tensor:
    """Weights of networks that draw what they drew, in which octaves and units more have no effect yet.

    Args:
        weights: (B, D) float32 of networks of `config`.
        config: their sizes.
        wider: the sizes wanted, with as many layers and channels.

    Returns:
        (B, D') float32, 0 where there was nothing.
    """
    layers = []
    for (matrix, bias), (inputs, outputs) in zip(inr.unflatten(weights, config), inr.layer_sizes(wider), strict=True):
        rows = outputs - matrix.shape[1]
        layers += [F.pad(matrix, (0, inputs - matrix.shape[2], 0, rows)).flatten(1), F.pad(bias, (0, rows))]
    return torch.cat(layers, dim=1)


def start_new_units(base: Tensor, config: INRConfig, wider: INRConfig, generator: torch.Generator) -> Tensor:
    """Base weights that `widen` made, with random weights into each new unit: without, these would learn nothing.

    What is drawn stays the same, since none leads from them to a unit or colour that was there.

    Args:
        base: (D',) float32.
        config, wider: as in `widen`.
        generator: of the weights, drawn as those that training starts from.

    Returns:
        (D',) float32.
    """
    fresh, layers = inr.initial_weights(wider, generator).to(base), []
    parts = zip(
        inr.layer_sizes(config), inr.unflatten(base[None], wider), inr.unflatten(fresh[None], wider), strict=True
    )
    for (_, units), (matrix, bias), (random, _) in parts:
        layers += [torch.cat([matrix[0, :units], random[0, units:]]).flatten(), bias[0]]
    return torch.cat(layers)
