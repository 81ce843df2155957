"""The renderer alone: base weights and basis on states as they are, so that nothing that reads states changes."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model import inr
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.representation import picture_loss
from nova_gym.training.stage import Batch, Metrics, Stage

#: Share of frames that are the last of an episode, which are few in a recording and matter most.
ENDINGS = 0.3
#: How far from its centre a pixel is read at most, in pixels, in either direction: what lies between the centres is
#: then trained as well, and a finer grid shows fewer bars there.
JITTER = 0.125


class Rendering(Stage):
    """Reconstruction as in stage 1 with the encoder frozen, more often of endings, off the centres of pixels, and,
    if there is a margin, with black and white beyond the range of pixels.
    """

    name, trains = "rendering", ("renderer",)

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.rendering)
        self.states = states
        self.ends = clips.source[clips.terminations] + 1
        height, width = model.config.frame_size
        self.grid = inr.coordinate_grid(height, width)
        self.pixel = 2.0 / torch.tensor([width, height])
        self.pixels = max(1, round(config.pixels * height * width))
        self.margin = config.margin

    def batch(self, generator: Generator, progress: float) -> Batch:
        size = self.recipe.batch
        chosen = torch.randint(len(self.clips.frames), (size,), generator=generator)
        if len(self.ends):
            ends = self.ends[torch.randint(len(self.ends), (size,), generator=generator)]
            chosen = torch.where(torch.rand(size, generator=generator) < ENDINGS, ends, chosen)
        pixels = torch.randperm(len(self.grid), generator=generator)[: self.pixels].sort().values
        jitter = torch.rand((self.pixels, 2), generator=generator) * 2.0 - 1.0
        states = self.states[chosen]
        return {
            "frames": self.clips.frames[chosen],
            "states": states + torch.randn(states.shape, generator=generator) * self.recipe.noise,
            "pixels": pixels,
            "points": self.grid[pixels] + jitter * JITTER * self.pixel,
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        drawn = self.model.draw(batch["states"], batch["points"])
        truth = to_unit(batch["frames"]).flatten(2)[:, :, batch["pixels"]]
        return picture_loss(drawn, truth, self.margin)

    def pictures(self) -> Tensor:
        chosen = torch.arange(0, len(self.clips.frames), max(1, len(self.clips.frames) // 8))[:8]
        drawn = self.model.render(self.states[chosen].to(self.model.device)).cpu()
        return torch.cat([to_unit(self.clips.frames[chosen]), drawn])
