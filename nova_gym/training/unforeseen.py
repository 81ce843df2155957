"""How far real frames are from what a dream with memory foresees."""

from __future__ import annotations

import torch
from torch import Tensor

from nova_gym.data import Clips
from nova_gym.model import chance as chances
from nova_gym.model.world_model import WorldModel
from nova_gym.training.changes import Changes
from nova_gym.training.heard import ENOUGH_HEARD, heard_states

#: Transitions that are looked at, at most.
SAMPLE = 4096
#: Added to the variance of each number of a state, so that it can be factored.
FLOOR = 1e-8


@torch.no_grad()
def settle_unforeseen(model: WorldModel, clips: Clips, states: Tensor) -> None:
    """Sets `RecurrentMemory.unforeseen` of a trained model, if it has a memory.

    What happened by chance is no error: it is explained first. Cells that are lost (`Changes.lost`) do not count, for
    they are wrong and not inexact.

    Args:
        model: changed in place.
        clips: labelled.
        states: (F, K, rows, cols) float32 of all their frames.
    """
    known = torch.nonzero(clips.position >= ENOUGH_HEARD).flatten()
    if not model.has_memory or not clips.labelled or not len(known):
        return
    lost, device, found = Changes.of(clips, states).lost, model.device, []
    for at in known[:: max(1, len(known) // SAMPLE)].split(256):
        state = heard_states(model, clips, states, at)
        following, outcomes = states[clips.source[at] + 1].to(device), None
        if model.has_chance:
            outcomes = chances.likeliest(model.part("chance").explain(state, following))
        off = following - model.step(state, model.translate(state, clips.actions[at].to(device), outcomes))
        cells = off.movedim(1, -1).flatten(0, -2)
        found.append(cells[cells.square().mean(1) < lost].cpu())
    cells = torch.cat(found).double()
    if len(cells):
        spread = cells.T @ cells / len(cells) + FLOOR * torch.eye(cells.shape[1], dtype=torch.float64)
        model.part("memory").unforeseen.copy_(torch.linalg.cholesky(spread))
