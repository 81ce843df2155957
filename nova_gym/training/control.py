"""Training the generative control model, by action matching with everything else frozen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.control import Memory
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage

#: Length in steps of the longest piece of a clip that the control model is trained on.
LENGTH = 20
#: Share of the training after which rollouts leave the recording.
ALONE = 0.1


class ControlStage(Stage):
    """Action matching on the model's own rollouts (arXiv 2605.06298, third stage; `docs/how-it-works.md`, Stage 3).

    In the first tenth of the training, states are those of the recording, with noise. Later that holds only for the
    beginning of a rollout. Afterwards states are the model's own, moved by the control model's own answers. So
    it learns to continue from its own errors, as long as the state is nearer to the truth than a step is long.

    The target is the latent action that the inverse dynamics infer from the present state to the true next one. The
    loss also compares the state that the answer leads to with the true next one, since equal differences of latent
    actions need not matter equally.
    """

    name, trains = "control", ("control",)

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.control)
        self.states = states
        self.length = min(LENGTH, int(clips.lengths.max()))
        position = clips.position
        # Pieces of clips may start where enough steps are left, and at the beginning of clips that are too short.
        self.starts = ((clips.remaining >= self.length) | (position == 0)).nonzero().squeeze(1)
        self.first = (position == 0).nonzero().squeeze(1)

    def batch(self, generator: Generator, progress: float) -> Batch:
        chosen = self.starts[torch.randint(len(self.starts), (self.recipe.batch,), generator=generator)]
        offsets = torch.arange(self.length)
        inside = offsets < self.clips.remaining[chosen, None]
        transitions = torch.where(inside, chosen[:, None] + offsets, chosen[:, None])
        source = self.clips.source[transitions]
        states = self.states[source]
        scale = torch.rand(len(chosen), 1, 1, 1, 1, generator=generator) * self.recipe.noise
        context = int(torch.randint(1, self.length + 1, (), generator=generator))
        return {
            "states": states + torch.randn(states.shape, generator=generator) * scale,
            "next": self.states[source + 1],
            "inside": inside,
            "context": torch.tensor(context if progress > ALONE else self.length),
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        states, following, inside = batch["states"], batch["next"], batch["inside"]
        context = int(batch["context"])
        with torch.no_grad():
            targets = self.model.infer(states.flatten(0, 1), following.flatten(0, 1)).unflatten(0, states.shape[:2])
        rolled, targets, answers = self._roll_out(states, targets, following, context)
        still = (following - states).square().flatten(2).mean()
        inside = inside & ((rolled - states).square().flatten(2).mean(2) < still)
        matching = (answers - targets)[inside].square().mean() / targets[inside].square().mean()
        predicted = F.mse_loss(self.model.step(rolled[inside], answers[inside]), following[inside])
        return matching + predicted, {"matching": matching, "prediction": predicted}

    def _roll_out(
        self, states: Tensor, targets: Tensor, following: Tensor, context: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """States, targets and answers of rollouts that leave the recording after `context` steps."""
        control, state = self.parts["control"], states[:, 0]
        memory = control.reset(len(states), states.shape[3:])
        rolled, wanted, answers = [], [], []
        for t in range(states.shape[1]):
            known = t < context
            with torch.no_grad():
                state = states[:, t] if known else state
                target = targets[:, t] if known else self.model.infer(state, following[:, t])
            hidden = control.listen(memory, state)
            answer = control.answer(hidden, state)
            rolled.append(state)
            wanted.append(target)
            answers.append(answer)
            latent_action = target if known else answer.detach().clamp(-1.0, 1.0)
            memory = Memory(hidden, latent_action)
            with torch.no_grad():
                state = self.model.step(state, latent_action)
        return torch.stack(rolled, 1), torch.stack(wanted, 1), torch.stack(answers, 1)

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = self.first[:: max(1, len(self.first) // 8)][:8]
        control, source = self.parts["control"], self.clips.source[chosen]
        state = self.states[source].to(self.model.device)
        answer = control.decode(control.reset(len(chosen), state.shape[2:]), state)
        drawn = self.model.render(self.model.step(state, answer)).cpu()
        return torch.cat([to_unit(self.clips.frames[source + 1]), drawn])
