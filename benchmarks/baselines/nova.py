"""NOVA as a contestant, with a field of networks or with one for the frame, by the package's own stages of training."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from nova_gym.benchmarks.ablations.models import field, one_network, parameter_count
from nova_gym.benchmarks.ablations.sides import SHARES, Side
from nova_gym.benchmarks.baselines.common import Contestant, Progress
from nova_gym.data import Clips
from nova_gym.dream import Card, Dream
from nova_gym.editing import edit
from nova_gym.model.world_model import WorldModel
from nova_gym.simulator import DreamSimulator
from nova_gym.training import Run
from nova_gym.training.changes import Changes
from nova_gym.training.control import measure_spread
from nova_gym.training.loop import Loop
from nova_gym.training.presets import Preset
from nova_gym.training.train import config_for

#: Cells of a frame for which the recipes are made. Frames of more take fewer clips a step, so a step takes as long.
CELLS = 64


class _NOVA(Contestant):
    any_size = True

    def preset(self) -> Preset:
        """Sizes and recipes."""
        raise NotImplementedError

    def fit(self, clips: Clips, minutes: float, seed: int, progress: Progress = lambda what, done: None) -> None:
        chosen = self.preset()
        config = config_for(clips, chosen)
        cells = config.cells[0] * config.cells[1]
        recipes = {stage: getattr(chosen.training, stage) for stage in SHARES}
        fewer = {name: replace(r, batch=max(2, min(r.batch, r.batch * CELLS // cells))) for name, r in recipes.items()}
        chosen = replace(chosen, training=replace(chosen.training, **fewer, seed=seed))
        with tempfile.TemporaryDirectory() as folder:
            model = WorldModel(config, torch.Generator().manual_seed(seed))
            loop = Loop(model, seed, Run(Path(folder) / "checkpoint", device="cpu"))
            loop.progress = lambda stage, step, steps, text: progress(stage, step / steps)
            side = Side(self.name, loop, clips, chosen)
            for stage, share in SHARES.items():
                if stage == "control":
                    measure_spread(model, clips, side.states)
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

    def preset(self) -> Preset:
        """That of moving digits, whose recipes are made for video without labels."""
        return field("digits")


class NOVASingle(_NOVA):
    """One network for the whole frame, as in the paper."""

    name = "NOVA, one network"

    def preset(self) -> Preset:
        """In the sizes that the ablations found to suit some minutes."""
        return one_network("digits")
