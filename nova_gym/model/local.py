"""The network that A, B, the inverse dynamics and the action bridge are made of: the same small one in every cell."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class CellConvolution(nn.Conv2d):
    """A convolution over the cells of a field, which keeps their number.

    Where the field is one cell it is a matrix product, which is several times faster than PyTorch's convolution.
    """

    def __init__(self, inputs: int, outputs: int, reach: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, reach, padding=reach // 2, bias=bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs, rows, cols) → (B, outputs, rows, cols), float32."""
        if inputs.shape[2:] != (1, 1):
            return super().forward(inputs)
        middle = self.kernel_size[0] // 2
        return F.linear(inputs.flatten(1), self.weight[:, :, middle, middle], self.bias)[:, :, None, None]

    def some(self, inputs: Tensor, row: int, col: int, apart: int) -> Tensor:
        """The same in every `apart`-th cell of every `apart`-th row alone, from this row and column on."""
        if inputs.shape[2:] == (1, 1):
            return self(inputs)
        padded = F.pad(inputs, [self.padding[0]] * 4)[:, :, row:, col:]
        return F.conv2d(padded, self.weight, self.bias, stride=apart)


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
        far: whether each hidden layer but the first also hears the largest values of the one before it in all cells.
            That says in every cell what is somewhere, and holds for fields of any size.

    Attributes:
        layers: its convolutions, first to last; a GELU follows each but the last.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int,
        reach: int = 1,
        depth: int = 1,
        bias: bool = True,
        far: bool = False,
    ) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * depth]
        self.layers = nn.ModuleList(CellConvolution(before, hidden, reach, bias) for before in sizes[:-1])
        self.layers.append(CellConvolution(hidden, outputs, bias=bias))
        self.far = nn.ModuleList(nn.Linear(hidden, hidden, bias=False) for _ in range(depth - 1)) if far else None

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs, rows, cols) → (B, outputs, rows, cols), float32."""
        return self.finish(self.layers[0](inputs))

    def finish(self, heard: Tensor, some: tuple[int, int, int] | None = None) -> Tensor:
        """What follows from what the first layer gives.

        Args:
            heard: (B, hidden, rows, cols) float32, before the GELU.
            some: row, column and distance of the cells that are asked for, as in `CellConvolution.some`; None for all.

        Returns:
            (B, outputs, …) float32, for these cells.
        """
        last = len(self.layers) - 2
        for number, layer in enumerate(self.layers[1:-1], 1):
            inputs = F.gelu(heard)
            heard = layer(inputs) if some is None or number < last else layer.some(inputs, *some)
            if self.far is not None:
                heard = heard + self.far[number - 1](inputs.amax((2, 3)))[:, :, None, None]
        if some is not None and last == 0:
            row, col, apart = some
            heard = heard[:, :, row::apart, col::apart]
        return self.layers[-1](F.gelu(heard))
