"""Stage 3: the generative control model, by action matching with everything else frozen."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from nova_gym.config import TrainingConfig
from nova_gym.data import Clips, to_unit
from nova_gym.training.stage import Batch, Metrics, Stage
from nova_gym.world_model import WorldModel

#: Steps of a clip that the control model sees at most.
LENGTH = 20


class ControlStage(Stage):
    """Action matching on the model's own roll-outs (`nova.md`, "GCM").

    In the first part of a roll-out the pairs are those of the recording, in the rest the states are the model's own,
    moved by the control model's own answers: what it has to learn is to go on from where its errors lead. Its target
    is always what the inverse dynamics infer from the present state to the true next one.
    """

    name = "control"

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.control)
        self.control = model.control
        self.states = states
        self.length = min(LENGTH, int(clips.lengths.max()))
        position = clips.position
        #: where pieces of clips may start: those that are long enough, and the beginning of those that never are
        self.starts = ((clips.remaining >= self.length) | (position == 0)).nonzero().squeeze(1)
        self.first = (position == 0).nonzero().squeeze(1)

    def batch(self, generator: Generator, progress: float) -> Batch:
        chosen = self.starts[torch.randint(len(self.starts), (self.recipe.batch,), generator=generator)]
        offsets = torch.arange(self.length)
        inside = offsets < self.clips.remaining[chosen, None]
        transitions = torch.where(inside, chosen[:, None] + offsets, chosen[:, None])
        source = self.clips.source[transitions]
        states = self.states[source]
        scale = torch.rand(len(chosen), 1, 1, generator=generator) * self.recipe.noise
        context = int(torch.randint(1, self.length + 1, (), generator=generator))
        return {
            "states": states,
            "noise": torch.randn(states.shape, generator=generator) * scale,
            "next": self.states[source + 1],
            "inside": inside,
            "context": torch.tensor(context if progress > 0.3 else self.length),
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        model, context = self.model, int(batch["context"])
        memory, state = self.control.reset(len(batch["states"])), batch["states"][:, 0]
        errors, sizes = [], []
        for t in range(batch["states"].shape[1]):
            with torch.no_grad():
                if t < context:
                    state = batch["states"][:, t] + batch["noise"][:, t]
                target = model.infer(state, batch["next"][:, t])
            answer = self.control.decode(memory, state)
            errors.append((answer - target).square().mean(-1))
            sizes.append(target.square().mean(-1))
            with torch.no_grad():
                latent_action = target if t < context else answer.clamp(-1.0, 1.0)
                following = model.step(state, latent_action)
            memory = self.control.encode(memory, state, latent_action)
            state = following
        inside = batch["inside"]
        loss = torch.stack(errors, 1)[inside].mean()
        return loss / torch.stack(sizes, 1)[inside].mean(), {"matching": loss}

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = self.first[:: max(1, len(self.first) // 8)][:8]
        device, source = self.model.device, self.clips.source[chosen]
        memory, state = self.control.reset(len(chosen)), self.states[source].to(device)
        drawn = self.model.render(self.model.step(state, self.control.decode(memory, state))).cpu()
        return torch.cat([to_unit(self.clips.frames[source + 1]), drawn])
