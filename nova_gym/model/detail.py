"""Detail, the renderer for super-resolution: its own base weights and basis draw larger frames from the same states.

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
    """Base weights and basis for frames larger than the dream's own; `WorldModel.renderer` says when they are used.

    Args:
        config: sizes of the world model; `config.detail` is not None.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.cell = config.detail, config.cell
        count = inr.weight_count(self.config)
        self.base = nn.Parameter(torch.zeros(count))
        self.basis = nn.Parameter(torch.zeros(config.rank, count))

    def suits(self, height: float, width: float) -> bool:
        """Whether detail draws frames whose cells have this size in pixels: if they are larger than the dream's own."""
        return height > self.cell[0] or width > self.cell[1]

    def mask(self, height: float, width: float) -> Tensor:
        """(2 + 4F,) float32 of 0 and 1: the Fourier features that are on for cells of this size in pixels.

        They are never fewer than for the dream's own size.
        """
        return inr.nyquist_mask(self.config.frequencies, max(height, self.cell[0]), max(width, self.cell[1]))

    def draw(self, state: Tensor, points: Tensor, mask: Tensor) -> Tensor:
        """States (N, K) of cells → pixels (N, C, P) at points (P, 2) in [-1, 1], not clipped, with gradients.

        For training. `mask` (2 + 4F,) is what `mask` gives for the size of the cells.
        """
        return inr.render_at(torch.addmm(self.base, state, self.basis), points, self.config, mask)


def widen(weights: Tensor, config: INRConfig, wider: INRConfig) -> Tensor:
    """Weights of larger networks that draw the same; their additional octaves and units have no effect yet.

    Args:
        weights: (B, D) float32 of networks of `config`.
        config: their sizes.
        wider: the sizes wanted, with as many layers and channels.

    Returns:
        (B, D') float32, 0 for all that is new.
    """
    layers = []
    for (matrix, bias), (inputs, outputs) in zip(inr.unflatten(weights, config), inr.layer_sizes(wider), strict=True):
        rows = outputs - matrix.shape[1]
        layers += [F.pad(matrix, (0, inputs - matrix.shape[2], 0, rows)).flatten(1), F.pad(bias, (0, rows))]
    return torch.cat(layers, dim=1)


def start_new_units(base: Tensor, config: INRConfig, wider: INRConfig, generator: torch.Generator) -> Tensor:
    """Gives the new units of a network that `widen` made random input weights; at 0 they would not learn.

    The network still draws the same, since the weights from new units to old units and colours stay 0.

    Args:
        base: (D',) float32.
        config, wider: as in `widen`.
        generator: for the new weights, which are drawn as in `inr.initial_weights`.

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
