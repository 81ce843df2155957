"""Cells as they may look: what hardly changed is as it was, and of few looks a cell has one."""

from __future__ import annotations

import torch
from torch import Tensor


def settle(state: Tensor, following: Tensor, dead_band: float, looks: Tensor | None) -> Tensor:
    """`WorldModel.settle`, by the states (L, K) of all looks where these are few.

    Args:
        state, following: (B, K, rows, cols), before and after a step.
        dead_band: mean squared change of a cell up to which it counts as unchanged.
        looks: None where cells may look anyhow.
    """
    moved = (following - state).square().mean(1) > dead_band
    if looks is None or state.device.type != "cpu" or torch.compiler.is_compiling():  # how many is unknown
        return torch.where(moved[:, None], nearest_look(following, looks), state)
    settled = state.movedim(1, -1).clone()
    settled[moved] = nearest_look(following.movedim(1, -1)[moved][:, :, None, None], looks).flatten(1).to(state)
    return settled.movedim(-1, 1)


def nearest_look(state: Tensor, looks: Tensor | None) -> Tensor:
    """`WorldModel.nearest_look`, by the states (L, K) of all looks; None for states as they are."""
    if looks is None:
        return state
    cells, sizes = state.movedim(1, -1), looks.square().sum(1)
    score, nearest = (2.0 * cells @ looks.T - sizes).max(-1)
    near = cells.square().sum(-1) - score <= 4.0 * sizes.max()
    return torch.where(near[:, None], looks[nearest].movedim(-1, 1), state)
