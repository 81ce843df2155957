"""The looks that cells of a recording have, where they are few and come again and again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.world_model import WorldModel
from nova_gym.training.layout import NEW, kinds_of_cells
from nova_gym.training.rare import ALIKE_STATES

#: Looks that a dream knows at most.
MOST = 1024


def looks_of(clips: Clips, cell: tuple[int, int]) -> Tensor | None:
    """All looks of cells in a recording.

    Args:
        clips: frames divide into cells.
        cell: (h, w) in pixels.

    Returns:
        (L, C, h, w) uint8, in the order in which they appear; None where there are too many, or where twice as many
        frames show more than 2^`NEW` times as many: there things may look ever new.
    """
    frames, half, counted = clips.frames, -(-len(clips.frames) // 2), []
    if frames.dtype != torch.uint8:
        return None
    known: set[int] = set()
    found: list[Tensor] = []
    for part in (frames[:half], frames[half:]):
        for some in part.split(1024):
            found += _new_looks(some, cell, known)
            if len(known) > MOST:
                return None
        counted.append(len(known))
    return torch.stack(found) if counted[1] <= 2.0**NEW * counted[0] else None


def _new_looks(frames: Tensor, cell: tuple[int, int], known: set[int]) -> list[Tensor]:
    """The looks (C, h, w) of cells that are not known yet; `known` holds a number for each look, and gets theirs."""
    kinds, cols, found = kinds_of_cells(frames, cell), frames.shape[3] // cell[1], []
    for kind, index in zip(*np.unique(kinds, return_index=True), strict=True):
        if kind not in known:
            frame, place = divmod(int(index), kinds[0].size)
            y, x = place // cols * cell[0], place % cols * cell[1]
            found.append(frames[frame, :, y : y + cell[0], x : x + cell[1]].clone())
            known.add(kind)
    return found


@torch.no_grad()
def learn_looks(model: WorldModel, looks: Tensor) -> None:
    """Tells the model what the states of looks are; the encoder is trained.

    Args:
        model: `config.looks` is how many there are.
        looks: (L, C, h, w) uint8, from `looks_of`.
    """
    model.looks.copy_(model.encode(to_unit(looks.to(model.device))).flatten(1))


@torch.no_grad()
def learn_more_looks(model: WorldModel, states: Tensor) -> None:
    """Adds the looks of further frames to those that the model knows, if it knows looks, and if these stay few.

    Args:
        model: trained; changed in place.
        states: (F, K, rows, cols) float32 of these frames.
    """
    known, near = model.looks, ALIKE_STATES * model.config.rank**0.5
    for part in states.split(128) if known is not None else ():
        cells = part.movedim(1, -1).flatten(0, 2).to(known)
        cells = cells[torch.cdist(cells, known).amin(1) > near]
        while len(cells):
            known = torch.cat([known, cells[:1]])
            cells = cells[torch.cdist(cells, cells[:1])[:, 0] > near]
            if len(known) > MOST:
                return
    if known is not None:
        model.looks, model.config = known, replace(model.config, looks=len(known))
