"""Whether a dream shows few layouts, which an agent can know by heart, or always new ones."""

from __future__ import annotations

import torch
from torch import Tensor

#: So many layouts are few; more are few if each comes with so many starts.
FEW = 8
#: A cell shows something mobile if it is that near to it, as a share of its squared distance from what is usual there.
NEAR = 1 / 64
#: States, whose mean square is 1, are told apart in steps of this size.
GRAIN = 0.05


def has_few_layouts(starts: Tensor, mobile: Tensor) -> bool:
    """Whether an agent may know the places of a field, because their layout hardly varies.

    A layout is what differs between starts and is nothing that steps bring about: walls do, the agent's own place does
    not. Layouts are few if there are at most `FEW`, or `FEW` times as many starts.

    Args:
        starts: (n, K, rows, cols) float32, starts of all kinds, without memory.
        mobile: (m, K) float32, cells as steps left them.
    """
    cells = (starts / GRAIN).round().mul(GRAIN).movedim(1, 3)
    usual = cells.median(0).values
    apart = (cells - usual).square().mean(-1)
    stays = apart > 0
    if len(mobile):
        kinds, index = cells.flatten(0, 2).unique(dim=0, return_inverse=True)
        nearest = torch.cat([torch.cdist(part, mobile).amin(1) for part in kinds.split(1024)])
        nearest = nearest.square()[index].view(apart.shape) / cells.shape[-1]
        stays &= nearest > NEAR * apart
    layouts = torch.where(stays.unsqueeze(-1), cells, 0.0).flatten(1).unique(dim=0)
    return len(layouts) <= max(FEW, len(starts) // FEW)
