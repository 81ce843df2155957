"""States within a recording, whose memory has heard what was before."""

from __future__ import annotations

import torch
from torch import Tensor

from nova_gym.data import Clips
from nova_gym.model.world_model import WorldModel

#: Steps that a memory hears at most, and after which it has found out most of what it can.
HEARD, ENOUGH_HEARD = 64, 8


def recorded_states(model: WorldModel, clips: Clips, states: Tensor, count: int) -> Tensor:
    """(n, K + M, rows, cols) states from all over the recording, evenly spread, on the CPU.

    Args:
        model: trained.
        clips: labelled.
        states: (F, K, rows, cols) float32 of all its frames.
        count: about how many, n.
    """
    chosen = torch.arange(0, len(clips.source), max(1, len(clips.source) // count))
    return heard_states(model, clips, states, chosen).cpu()


def heard_states(model: WorldModel, clips: Clips, states: Tensor, chosen: Tensor) -> Tensor:
    """(n, K + M, rows, cols) float32 states before transitions, on the model's device.

    Args:
        model, clips, states: as in `recorded_states`.
        chosen: (n,) int64, the transitions.
    """
    back = clips.position[chosen].clamp(max=HEARD)
    official = torch.tensor([name == "official" for name in clips.starts])
    clip = torch.repeat_interleave(torch.arange(len(clips.lengths)), clips.lengths)[chosen]
    begins = official[clip] & (back == clips.position[chosen])
    source = clips.source[chosen] - back
    seen = states[source].to(model.device)
    state = torch.where(begins[:, None, None, None].to(seen.device), model.begin(seen, True), model.begin(seen))
    for step in range(int(back.max()) if len(back) else 0):
        goes = step < back
        at = torch.where(goes, chosen - back + step, chosen)
        following = states[clips.source[at] + 1].to(model.device)
        heard = model.recall(state, following, clips.actions[at].to(model.device))
        state = torch.where(goes[:, None, None, None].to(heard.device), heard, state)
    return state
