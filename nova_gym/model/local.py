"""The network that A, B, the inverse dynamics and the action bridge are made of: the same small one in every cell."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class LocalNetwork(nn.Module):
    """The same network in every cell of a field, on the cell and its neighbourhood.

    Its hidden layers see `reach` × `reach` cells each, with zeros beyond the border; the last layer sees one cell. So
    it works on fields of any size.

    Args:
        inputs, outputs: channels.
        hidden: channels of a hidden layer.
        reach: side of the neighbourhood in cells, odd.
        depth: number of hidden layers, at least 1.
        bias: False for a network that maps 0 to 0.

    Attributes:
        layers: its convolutions, first to last; a GELU follows each but the last.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: int, reach: int = 1, depth: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * depth]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, hidden, reach, padding=reach // 2, bias=bias) for before in sizes[:-1]
        )
        self.layers.append(nn.Conv2d(hidden, outputs, 1, bias=bias))

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs, rows, cols) → (B, outputs, rows, cols), float32."""
        for layer in self.layers[:-1]:
            inputs = F.gelu(layer(inputs))
        return self.layers[-1](inputs)
