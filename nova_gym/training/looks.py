"""The looks that cells of a recording have, where they are few and come again and again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.world_model import WorldModel
from nova_gym.training.layout import NEW, kinds_of_cells

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
    frames, known, found = clips.frames, set(), []
    if frames.dtype != torch.uint8:
        return None
    cols, counted = frames.shape[3] // cell[1], []
    for part in frames.split(1024):
        kinds = kinds_of_cells(part, cell)
        for kind, index in zip(*np.unique(kinds, return_index=True), strict=True):
            if kind in known:
                continue
            frame, place = divmod(int(index), kinds[0].size)
            y, x = place // cols * cell[0], place % cols * cell[1]
            known.add(kind)
            found.append(part[frame, :, y : y + cell[0], x : x + cell[1]].clone())
        counted.append(len(known))
        if len(known) > MOST:
            return None
    if len(counted) == 1:  # too short a recording to have parts
        counted = [len(np.unique(kinds[: (len(kinds) + 1) // 2])), len(known)]
    if counted[-1] > 2.0**NEW * counted[(len(counted) - 1) // 2]:
        return None
    return torch.stack(found)


@torch.no_grad()
def states_of(model: WorldModel, looks: Tensor) -> Tensor:
    """(L, K) float32 states of looks (L, C, h, w) uint8."""
    return model.encode(to_unit(looks.to(model.device))).flatten(1)


@torch.no_grad()
def learn_looks(model: WorldModel, clips: Clips) -> None:
    """Tells the model what the states of the recording's looks are, if it knows looks; the encoder is trained.

    Args:
        model: `config.looks` is how many `looks_of` finds here.
        clips: the recording.
    """
    if model.config.looks:
        model.looks.copy_(states_of(model, looks_of(clips, model.config.cell)))


@torch.no_grad()
def more_looks(model: WorldModel, parts: list[Clips]) -> Tensor | None:
    """(L, K) float32, the looks that the model knows and those of these recordings; None if it knows none.

    Args:
        model: trained.
        parts: recordings, of which a short one may show that looks are ever new; it then adds none.
    """
    known = model.looks
    for clips in parts if known is not None else ():
        looks = looks_of(clips, model.config.cell)
        if looks is not None:
            states = states_of(model, looks)
            new = torch.cdist(states, known).amin(1) > 1e-2 * model.config.rank**0.5
            known = torch.cat([known, states[new]])
    return known
