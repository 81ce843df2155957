"""The generative control model, by action matching with everything else frozen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage

#: Steps of a clip that the control model sees at most.
LENGTH = 20


class ControlStage(Stage):
    """Action matching (arXiv 2605.06298, third stage) on the model's own roll-outs, and the next state it leads to.

    In the first half of the training, and in the first part of a roll-out in the second half, states are those of the
    recording, with noise. Afterwards they are the model's own, moved by the control model's own answers: it learns to
    go on from where its errors lead, as long as that is near the truth. The target is always what the inverse dynamics
    infer from the present state to the true next one; beside it counts how far from that next state the answer leads,
    for latent actions that differ by as much need not matter as much.
    """

    name, trains = "control", ("control",)

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.control)
        self.states, self.near = states, config.near
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
            "states": states + torch.randn(states.shape, generator=generator) * scale,
            "next": self.states[source + 1],
            "inside": inside,
            "context": torch.tensor(context if progress > 0.5 else self.length),
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        states, following, inside = batch["states"], batch["next"], batch["inside"]
        context, steps = int(batch["context"]), states.shape[1]
        with torch.no_grad():
            targets = self.model.infer(states.flatten(0, 1), following.flatten(0, 1)).unflatten(0, states.shape[:2])
        if context < steps:
            rolled, targets, answers = self._roll_out(states, targets, following, context)
            inside = inside & ((rolled - states).square().mean(-1) < self.near)
            states = rolled
        else:
            answers = self.parts["control"](states, targets)
        matching = (answers - targets)[inside].square().mean() / targets[inside].square().mean()
        predicted = F.mse_loss(self.model.step(states[inside], answers[inside]), following[inside])
        return matching + predicted, {"matching": matching, "prediction": predicted}

    def _roll_out(
        self, states: Tensor, targets: Tensor, following: Tensor, context: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """States, targets and answers of roll-outs that leave the recording after `context` steps."""
        control, state = self.parts["control"], states[:, 0]
        memory = control.reset(len(states))
        rolled, wanted, answers = [], [], []
        for t in range(states.shape[1]):
            known = t < context
            with torch.no_grad():
                state = states[:, t] if known else state
                target = targets[:, t] if known else self.model.infer(state, following[:, t])
            answer = control.decode(memory, state)
            rolled.append(state)
            wanted.append(target)
            answers.append(answer)
            latent_action = target if known else answer.detach().clamp(-1.0, 1.0)
            memory = control.encode(memory, state, latent_action)
            with torch.no_grad():
                state = self.model.step(state, latent_action)
        return torch.stack(rolled, 1), torch.stack(wanted, 1), torch.stack(answers, 1)

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = self.first[:: max(1, len(self.first) // 8)][:8]
        control, source = self.parts["control"], self.clips.source[chosen]
        state = self.states[source].to(self.model.device)
        answer = control.decode(control.reset(len(chosen)), state)
        drawn = self.model.render(self.model.step(state, answer)).cpu()
        return torch.cat([to_unit(self.clips.frames[source + 1]), drawn])
