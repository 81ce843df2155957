"""The paper's figures for each data set: content and motion retargeted, actions interpolated, layers, and going on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nova_gym.benchmarks.paper.data import CONTEXT, PREDICTED, Column
from nova_gym.data import to_unit
from nova_gym.dream import Dream
from nova_gym.editing import LAYERS, Intervention, edit, infer_actions, layer
from nova_gym.pictures import save_png, strip
from nova_gym.simulator import DreamSimulator

#: The step of an edit, the steps that are shown of one, and the steps over which actions are interpolated.
AT, SHOWN, OVER = 9, slice(8, 18), 4


@torch.no_grad()
def draw_figures(dream: Dream, column: Column, target: Path) -> None:
    """Draws all figures of a dream on the first two clips of a column, as one picture.

    Args:
        dream: with a control model.
        column: at least two clips of 20 frames.
        target: PNG file to write.

    Raises:
        BadInputError: it cannot be written.
    """
    model, band = dream.world_model, dream.card.dead_band
    clips = to_unit(column.clips[:2])
    content, motion = model.encode(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]).split(1)
    actions = infer_actions(model, motion)
    moved = [Intervention(AT, motion=actions[:, AT:], over=over) for over in (1, OVER)]
    edited = {
        "content retargeted": edit(model, motion, [Intervention(AT, content=content[:, AT])], band),
        "motion retargeted": edit(model, content, moved[:1], band),
        f"interpolated over {OVER}": edit(model, content, moved[1:], band),
    }
    rows = {name: _bytes(clip[SHOWN]) for name, clip in zip(("content clip", "motion clip"), clips, strict=True)}
    rows |= {name: _draw(dream, states[0, SHOWN]) for name, states in edited.items()}
    before = slice(SHOWN.start - 1, SHOWN.stop - 1)
    layers = {name: layer(model, name, motion[0, before], actions[0, before]) for name in LAYERS}
    rows |= {f"layer: {name}": _draw(dream, states) for name, states in layers.items()}
    simulator = DreamSimulator(dream, 1, 0)
    horizon = CONTEXT - 1 + PREDICTED
    states, _ = simulator.generate(clips[1:, :CONTEXT], (CONTEXT - 1) / horizon, horizon)
    rows |= {f"goes on from {CONTEXT}": _draw(dream, states[0, SHOWN])}
    captions = [f"{time} edit" if time == AT else str(time) for time in range(SHOWN.start, SHOWN.stop)]
    save_png(target, strip(rows, captions, enlarge=2 if max(clips.shape[-2:]) <= 64 else 1))


def _draw(dream: Dream, states: Tensor) -> np.ndarray:
    """(T, K, rows, cols) → (T, H, W, C) uint8."""
    return dream.world_model.render(states, as_bytes=True).numpy()


def _bytes(frames: Tensor) -> np.ndarray:
    """(T, C, H, W) in [0, 1] → (T, H, W, C) uint8."""
    return (frames * 255.0).round().byte().movedim(1, -1).numpy()
