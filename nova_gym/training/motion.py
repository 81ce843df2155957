"""Motion: what unrolling blurred in B is learned once more, one step from the truth, with A as it is."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from nova_gym.config import TrainingConfig
from nova_gym.data import Clips
from nova_gym.training.grounding import _Labelled, one_step_pictures
from nova_gym.training.stage import Batch, Metrics
from nova_gym.world_model import WorldModel


class Motion(_Labelled):
    """B, inverse dynamics, bridge and heads on single transitions from the truth.

    On long roll-outs the learning rate has to be so low that what is rare and small is forgotten: a step into the goal
    is then drawn as one onto an empty tile. With A fixed, which keeps roll-outs from drifting, single steps take a rate
    five times as high.
    """

    name = "motion"

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.motion)
        self.motion_network = model.forward_dynamics.motion_network
        self.inverse_dynamics, self.bridge, self.heads = model.inverse_dynamics, model.bridge, model.heads
        self.states = states

    def batch(self, generator: Generator, progress: float) -> Batch:
        chosen = torch.randint(len(self.clips.source), (self.recipe.batch,), generator=generator)
        return {**self._single_steps(chosen, generator), **self._labels(chosen)}

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        inverse, single, passed = self._single_errors(batch)
        heads = self._head_loss(*passed, batch).mean()
        return inverse + single + 0.1 * heads, {"inverse": inverse, "single": single, "heads": heads}

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = torch.arange(0, len(self.clips.source), max(1, len(self.clips.source) // 8))[:8]
        return one_step_pictures(self.model, self.clips, self.states, chosen)
