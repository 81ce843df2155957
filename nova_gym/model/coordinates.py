"""Changes of coordinates: states and latent actions get other axes or scales, and every frame is drawn as before.

Each function changes, in place, all layers that write or read these numbers, so that no layer has to be trained again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from nova_gym.model.world_model import WorldModel


@torch.no_grad()
def change_states(model: WorldModel, matrix: Tensor, inverse: Tensor, mean: Tensor) -> None:
    """States become `matrix @ (state - mean)` in each cell; every frame is drawn as before.

    Call it before the dynamics are trained: it leaves them as they are.

    Args:
        model: changed in place.
        matrix, inverse: (K, K) float32, each the inverse of the other.
        mean: (K,) float32.
    """
    model.base += mean @ model.basis
    model.basis.copy_(inverse.T @ model.basis)
    model.encoder.change_basis(matrix, mean)


@torch.no_grad()
def change_latent_actions(model: WorldModel, matrix: Tensor) -> None:
    """Latent actions become `matrix @ u` in each cell; what they lead to stays the same, and 0 stays 0.

    Args:
        model: changed in place, in every part that reads or writes latent actions.
        matrix: (U, U) float32, invertible.
    """
    inverse, rank, count = torch.linalg.inv(matrix), model.config.rank, len(matrix)
    _change_outputs(model.inverse_dynamics.network.layers[-1], matrix)
    _change_inputs(model.forward_dynamics.motion_network.layers[0], slice(None), inverse)
    if model.bridge is not None:
        last = model.bridge.network.layers[-1]
        _change_outputs(last, torch.block_diag(*[matrix] * (last.out_channels // count)))
    if model.codebook is not None:
        model.codebook.codes.copy_(model.codebook.codes @ matrix.T)
    channels = slice(rank, rank + count)
    if model.heads is not None:
        _change_inputs(model.heads.trunk[0], channels, inverse)
    if model.control is not None:
        spread = model.control.spread
        _change_outputs(model.control.last, matrix * spread / spread[:, None])
        for reader in (model.control.gates[0], model.control.news[0]):
            _change_inputs(reader, channels, inverse * spread / spread[:, None])
        if (linear := model.control.linear) is not None:
            linear.copy_(torch.einsum("ij,j...->i...", matrix * spread / spread[:, None], linear))
            linear[:, channels] = torch.einsum(
                "oj...,ji->oi...", linear[:, channels], inverse * spread / spread[:, None]
            )
            model.control.constant.copy_((matrix * spread / spread[:, None]) @ model.control.constant)


def _change_outputs(layer: nn.Conv2d, matrix: Tensor) -> None:
    layer.weight.copy_(torch.einsum("ij,j...->i...", matrix, layer.weight))
    layer.bias.copy_(matrix @ layer.bias)


def _change_inputs(layer: nn.Conv2d, channels: slice, inverse: Tensor) -> None:
    layer.weight[:, channels] = torch.einsum("oj...,ji->oi...", layer.weight[:, channels], inverse)
