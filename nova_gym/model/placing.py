"""Latent actions that move one cell, as a handful of numbers: where, and what."""

from __future__ import annotations

import torch
from torch import Tensor


def place(numbers: Tensor, places: int, cells: tuple[int, int]) -> Tensor:
    """`WorldModel.place`, where `places` of the numbers say where."""
    where, what = numbers[:, :places], numbers[:, places:]
    field = what.new_zeros(len(what), what.shape[1], *cells)
    index = torch.zeros(len(what), 2, dtype=torch.int64, device=what.device)
    if places:
        count = torch.tensor(cells, device=what.device)
        index = torch.minimum(((where.clamp(-1.0, 1.0) + 1.0) * 0.5 * count).long(), count - 1)
    field[torch.arange(len(what), device=what.device), :, index[:, 0], index[:, 1]] = what
    return field


def summarise(latent_action: Tensor, places: int) -> Tensor:
    """`WorldModel.summarise`, where `places` of the numbers say where."""
    rows, cols = latent_action.shape[2:]
    flat = latent_action.flatten(2)
    most = flat.square().sum(1).argmax(1)
    what = flat[torch.arange(len(flat), device=flat.device), :, most]
    if not places:
        return what
    where = torch.stack([(most // cols + 0.5) / rows, (most % cols + 0.5) / cols], dim=1) * 2.0 - 1.0
    return torch.cat([where, what], dim=1)
