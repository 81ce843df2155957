"""Layers of a model in one flat array, in the order in which compiled code reads them, for `nova_gym.kernels`."""

from __future__ import annotations

import operator
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from nova_gym.kernels.products import padded

_VERSION = operator.attrgetter("_version")


class Packed:
    """Packed layers, and the tensors that they were made of.

    Args:
        tensors: all that what is packed depends on.

    Attributes:
        weights: (W,) float32, flat; there once `pack` was called.
    """

    weights: np.ndarray

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._pieces: list[np.ndarray] = []
        self._tensors = list(tensors)
        self._values = [tensor.detach() for tensor in self._tensors]  # held, so that no others get their addresses
        self._stamp, self._sums = self._stamp_now(), _sums(self._tensors)

    def row(self, *layers: nn.Conv2d | nn.Linear, width: int = 0) -> list[int]:
        """Adds layers that read the same, as one; returns its row of the table of layers (`kernels.products`).

        Args:
            layers: what to add.
            width: how many numbers of a cell lie in memory, of which the layer reads the first; 0 for no more.
        """
        weights = [layer.weight.detach().reshape(*layer.weight.shape[:2], *kernel_size(layer)) for layer in layers]
        bias = [layer.bias.detach() for layer in layers if layer.bias is not None]
        return self.row_of(torch.cat(weights), torch.cat(bias) if bias else None, width)

    def row_of(self, weight: Tensor, bias: Tensor | None, width: int = 0, beyond: float = 0.0) -> list[int]:
        """The same for weights (outputs, inputs, side, side) and biases (outputs,).

        Args:
            weight, bias: of the layer; None for no bias.
            width: as in `row`.
            beyond: bias of the outputs that are computed beyond its own.
        """
        matrix = weight.permute(2, 3, 1, 0).numpy()
        side, _, inputs, outputs = matrix.shape
        width = width if side > 1 else inputs
        at = sum(map(len, self._pieces))
        held = np.zeros((side, side, width, padded(outputs)), np.float32)
        held[:, :, :inputs, :outputs] = matrix
        ending = np.full(padded(outputs), beyond, np.float32)
        ending[:outputs] = 0.0 if bias is None else bias.numpy()
        self._pieces += [held.ravel(), ending]
        return [at, side, side * width, 0, padded(outputs), 0, side // 2]

    def pack(self) -> None:
        """Puts all that was added into one array."""
        self.weights = np.concatenate(self._pieces)

    def made_of(self, tensors: Iterable[Tensor]) -> bool:
        """Whether it was made of these very tensors, with these values; takes a while."""
        tensors = list(tensors)
        alike = len(tensors) == len(self._tensors) and all(map(operator.is_, tensors, self._tensors))
        return alike and _sums(tensors) == self._sums

    def unchanged(self) -> bool:
        """Whether the tensors that it was made of are as they were; quick, since every step asks.

        Most optimisers, `load_state_dict`, other assignments in place and `parameter.data = …` are noticed. What is
        written past PyTorch's counters is not: by an optimiser with `fused=True`, or into `parameter.data`. `made_of`
        notices that.
        """
        return self._stamp_now() == self._stamp

    def _stamp_now(self) -> list[int]:
        """What tells whether tensors are as they were: how often each was written to, and where its values are."""
        return [*map(_VERSION, self._tensors), *map(Tensor.data_ptr, self._tensors)]


def by_cells(field: Tensor) -> np.ndarray:
    """(N, n, rows, cols) → (N, rows, cols, n) float32, the same memory if a cell's numbers lie side by side there."""
    return np.ascontiguousarray(field.detach().numpy().transpose(0, 2, 3, 1))


def kernel_size(layer: nn.Conv2d | nn.Linear) -> tuple[int, int]:
    """Cells of the window of a layer."""
    return layer.kernel_size if isinstance(layer, nn.Conv2d) else (1, 1)


def _sums(tensors: list[Tensor]) -> list[float]:
    """What tells whether tensors hold other values, however these were written."""
    return [float(tensor.detach().double().sum()) for tensor in tensors]
