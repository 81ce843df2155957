"""NOVA as a contestant, with a field of networks or with one for the frame, by the package's own stages of training."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from nova_gym.benchmarks.ablations.models import field, one_network, parameter_count
from nova_gym.benchmarks.ablations.sides import Side
from nova_gym.benchmarks.baselines.common import Contestant, Progress
from nova_gym.data import Clips
from nova_gym.dream import Card, Dream
from nova_gym.editing import edit
from nova_gym.model.config import ControlConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.simulator import DreamSimulator
from nova_gym.training import Run
from nova_gym.training.changes import Changes
from nova_gym.training.loop import Loop
from nova_gym.training.presets import Preset
from nova_gym.training.train import config_for

#: Share of the minutes that each stage gets: what comes next takes longest to learn.
SHARES = {"representation": 0.25, "dynamics": 0.15, "control": 0.6}
#: Cells of a frame, about.
CELLS = 64
#: A control model that learns in some minutes.
CONTROL = ControlConfig(hidden=32)


class _NOVA(Contestant):
    any_size = True

    def preset(self, height: int, width: int) -> Preset:
        """Sizes and recipes for frames of this size in pixels."""
        raise NotImplementedError

    def fit(self, clips: Clips, minutes: float, seed: int, progress: Progress = lambda what, done: None) -> None:
        chosen = self.preset(*clips.frames.shape[2:])
        config = config_for(clips, chosen)
        chosen = replace(chosen, training=replace(chosen.training, seed=seed))
        with tempfile.TemporaryDirectory() as folder:
            model = WorldModel(config, torch.Generator().manual_seed(seed))
            loop = Loop(model, seed, Run(Path(folder) / "checkpoint", device="cpu"))
            loop.progress = lambda stage, step, steps, text: progress(stage, step / steps)
            side = Side(self.name, loop, clips, chosen)
            for stage, share in SHARES.items():
                side.run(stage, share * 60.0 * minutes)
            self.dream = Dream(copy.deepcopy(model).eval().requires_grad_(False), {}, Card())
            self.dream.card.dead_band = Changes.of(clips, side.states).dead_band

    @property
    def parameters(self) -> int:
        return parameter_count(self.dream.world_model)

    @torch.no_grad()
    def go_on(self, context: Tensor, steps: int, every: int = 1) -> Tensor:
        horizon = context.shape[1] - 1 + steps
        simulator = DreamSimulator(self.dream, len(context), 0)
        states, _ = simulator.generate(context, (context.shape[1] - 1) / horizon, horizon)
        return self._draw(states[:, context.shape[1] :][:, every - 1 :: every])

    @torch.no_grad()
    def follow(self, frames: Tensor, context: int) -> Tensor:
        model, band = self.dream.world_model, self.dream.card.dead_band
        states = model.encode(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return self._draw(edit(model, states[:, context - 1 :], dead_band=band)[:, 1:])

    def _draw(self, states: Tensor) -> Tensor:
        """(B, T, K, rows, cols) → (B, T, C, H, W)."""
        return torch.stack([self.dream.world_model.render(clip) for clip in states])

    @torch.no_grad()
    def draw_step(self, context: Tensor) -> Callable[[int], Tensor]:
        simulator = DreamSimulator(self.dream, len(context), 0)
        model = self.dream.world_model
        states = model.encode(context.flatten(0, 1)).unflatten(0, context.shape[:2]).transpose(0, 1)
        simulator.reset(states=states[-1])
        inferred = [model.infer(*pair) for pair in pairwise(states)]
        steps = simulator.autopilot(2**31, simulator.remember(zip(states, inferred, strict=False)))
        height, width = model.config.frame_size

        def draw(factor: int) -> Tensor:
            next(steps)
            return simulator.render((height * factor, width * factor))

        return draw


class NOVAField(_NOVA):
    """A field of tiny networks, one a cell."""

    name = "NOVA, field"

    def preset(self, height: int, width: int) -> Preset:
        """That of moving digits, whose recipes are made for video without labels, with about as many cells a frame."""
        chosen = field("digits")
        side = 2 ** round(math.log2(math.sqrt(height * width / CELLS)))
        model = replace(chosen.model, cell=(math.gcd(side, height), math.gcd(side, width)), control=CONTROL)
        return replace(chosen, model=model)


class NOVASingle(_NOVA):
    """One network for the whole frame, as in the paper."""

    name = "NOVA, one network"

    def preset(self, height: int, width: int) -> Preset:
        """In the sizes that the ablations found to suit some minutes."""
        return one_network("digits")
