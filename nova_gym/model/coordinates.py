"""Changes of coordinates: states and latent actions get other axes or scales, and nothing that is drawn changes.

Each function changes, in place, all layers that write or read these numbers, so that nothing has to be trained anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from nova_gym.model.world_model import WorldModel


@torch.no_grad()
def change_states(model: WorldModel, matrix: Tensor, inverse: Tensor, mean: Tensor) -> None:
    """States become `matrix @ (state - mean)`; every frame is drawn as before.

    The dynamics are left as they are: this is for a model whose dynamics are not trained yet.

    Args:
        model: changed in place.
        matrix, inverse: (K, K) float32, each the inverse of the other.
        mean: (K,) float32.
    """
    model.base += mean @ model.basis
    model.basis.copy_(inverse.T @ model.basis)
    model.encoder.change_basis(matrix, mean)


@torch.no_grad()
def change_latent_actions(model: WorldModel, matrix: Tensor, inverse: Tensor, mean: Tensor) -> None:
    """Latent actions become `matrix @ (u - mean)`; what they lead to stays the same.

    Only the dynamics change: this is for a model in which nothing else speaks latent actions yet.

    Args:
        model: changed in place.
        matrix, inverse: (U, U) float32, each the inverse of the other.
        mean: (U,) float32.
    """
    last, first = model.inverse_dynamics.network.last, model.forward_dynamics.motion_network.first
    last.weight.copy_(matrix @ last.weight)
    last.bias.copy_(matrix @ (last.bias - mean))
    first.bias += first.weight @ mean
    first.weight.copy_(first.weight @ inverse)


@torch.no_grad()
def divide_latent_actions(model: WorldModel, divisor: float) -> None:
    """Latent actions become `u / divisor`, in every part that writes or reads them."""
    for network in (model.inverse_dynamics, model.bridge):
        if network is not None:
            network.network.last.weight /= divisor
            network.network.last.bias /= divisor
    model.forward_dynamics.motion_network.first.weight *= divisor
    if model.codebook is not None:
        model.codebook.codes /= divisor
    rank, length = model.config.rank, model.config.latent_action
    if model.control is not None:
        model.control.pair.weight[:, rank:] *= divisor
        model.control.answer.last.weight /= divisor
        model.control.answer.last.bias /= divisor
    if model.heads is not None:
        model.heads.trunk[0].weight[:, rank : rank + length] *= divisor
