"""Fields that were coarsened, encoded, and drawn at their own size again: by NOVA's weights and by filters."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from nova_gym.benchmarks.ablations.models import field, one_network
from nova_gym.benchmarks.ablations.sides import Side
from nova_gym.benchmarks.baselines import NOVAField, NOVASingle
from nova_gym.data import Clips, unlabelled_clips
from nova_gym.measures import psnr
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run
from nova_gym.training.loop import Loop
from nova_gym.training.presets import Preset
from nova_gym.training.train import config_for

#: By how much fields are coarsened, and the sides of a cell of the field of networks in the coarse ones.
FACTOR, CELL = 4, (4, 4)
#: The filters, of which the first is the one to beat, and what is added to a model's name where high octaves are off.
FILTERS, MASKED = ("bilinear", "bicubic"), ", Nyquist mask"
#: Share of a model's minutes; only encoder and renderer are trained.
SHARE = 0.25


@torch.no_grad()
def coarsened(frames: Tensor) -> Tensor:
    """Means of frames (n, C, H, W) over squares; what does not fill a square or a cell is left out on the right."""
    height, width = (side // (FACTOR * cell) * FACTOR * cell for side, cell in zip(frames.shape[2:], CELL, strict=True))
    return F.avg_pool2d(frames[:, :, :height, :width], FACTOR)


def measure_enlarging(clips: Clips, held_out: Tensor, minutes: float, seed: int) -> dict[str, list[float]]:
    """PSNR in dB of each field that training did not see, by the way it is enlarged.

    Args:
        clips: fields to train on, (F, 1, H, W) float32 in [0, 1].
        held_out: (n, 1, H, W) others.
        minutes: of a model of the table; here it trains for a quarter of that.
        seed: of training.
    """
    coarse = unlabelled_clips(coarsened(clips.frames), clips.lengths, {})
    small = coarsened(held_out)
    size = tuple(FACTOR * side for side in small.shape[2:])
    drawn = {name: F.interpolate(small, size, mode=name).clamp(0.0, 1.0) for name in FILTERS}
    digits = field("digits")
    presets = {
        NOVASingle.name: one_network("digits"),
        NOVAField.name: replace(digits, model=replace(digits.model, cell=CELL)),
    }
    for name, preset in presets.items():
        model = _drawing(coarse, preset, SHARE * 60.0 * minutes, seed)
        with torch.no_grad():
            states = model.encode(small)
            drawn[name] = model.render(states, size)
            drawn[name + MASKED] = model.render(states, size, nyquist=True)
    truth = held_out[:, :, : size[0], : size[1]].movedim(1, -1).numpy()
    return {name: psnr(truth, frames.movedim(1, -1).numpy()).tolist() for name, frames in drawn.items()}


def _drawing(clips: Clips, preset: Preset, seconds: float, seed: int) -> WorldModel:
    """A model whose encoder and renderer are trained."""
    preset = replace(preset, training=replace(preset.training, seed=seed))
    model = WorldModel(config_for(clips, preset), torch.Generator().manual_seed(seed))
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(model, seed, Run(Path(folder) / "checkpoint", device="cpu"))
        Side(preset.name, loop, clips, preset).run("representation", seconds)
    return model.eval().requires_grad_(False)
