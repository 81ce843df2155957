"""The encoder: frame → field of states."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig

#: Strides of the first two convolutions, largest first: each takes the largest that divides what is left of a cell.
STRIDES = ((4, 3, 2, 1), (2, 3, 1))


class Encoder(nn.Module):
    """Encodes each cell of a frame by itself: strided convolutions, none of which looks beyond its cell.

    So equal cells have equal states wherever they are, and a frame may have any number of cells
    (`docs/how-it-works.md`, Encoder).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        strides = list(zip(*map(_strides, config.cell), strict=True))
        widths = [config.inr.channels, *config.encoder_widths]
        self.convolutions = nn.Sequential()
        for before, after, stride in zip(widths, widths[1:], strides, strict=False):
            self.convolutions += nn.Sequential(nn.Conv2d(before, after, stride, stride), nn.GELU())
        stride = strides[-1] if len(widths) == len(strides) else (1, 1)
        self.last = nn.Conv2d(widths[-1], config.rank, stride, stride)

    def forward(self, frames: Tensor) -> Tensor:
        """Encodes frames.

        Args:
            frames: (B, C, H, W) float32 in [0, 1], H and W multiples of a cell's.

        Returns:
            (B, K, rows, cols) float32 states.

        Raises:
            BadInputError: the frames do not divide into cells.
        """
        shown = frames - 0.5
        if self.config.cells_of(*frames.shape[-2:]) == (1, 1):  # as convolutions these take much longer
            for layer in self.convolutions:
                shown = _in_patches(layer, shown) if isinstance(layer, nn.Conv2d) else layer(shown)
            return _in_patches(self.last, shown)
        return self.last(self.convolutions(shown))

    @torch.no_grad()
    def change_basis(self, matrix: Tensor, mean: Tensor) -> None:
        """Changes the last layer so that it outputs `matrix @ (state - mean)` in each cell; exact, without training.

        Args:
            matrix: (K, K) float32.
            mean: (K,) float32.
        """
        self.last.weight.copy_(torch.einsum("ij,j...->i...", matrix, self.last.weight))
        self.last.bias.copy_(matrix @ (self.last.bias - mean))


def _in_patches(layer: nn.Conv2d, shown: Tensor) -> Tensor:
    """What a convolution gives whose strides are the sides of its kernel, as one product of matrices."""
    height, width = layer.kernel_size
    cut = shown.unflatten(3, (-1, width)).unflatten(2, (-1, height)).permute(0, 2, 4, 1, 3, 5)  # (B, h, w, C, kh, kw)
    return F.linear(cut.flatten(3), layer.weight.flatten(1), layer.bias).movedim(3, 1)


def _strides(side: int) -> list[int]:
    """Strides along one axis of three convolutions that together reduce `side` pixels to one."""
    strides = []
    for choices in STRIDES:
        strides.append(next((stride for stride in choices if side % stride == 0), 1))
        side //= strides[-1]
    return [*strides, side]
