"""Training the generative control model, by action matching with everything else frozen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.control import Memory
from nova_gym.model.world_model import WorldModel
from nova_gym.training.changes import Changes
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage

#: Length in steps of the longest piece of a clip that the control model is trained on.
LENGTH = 20
#: Transitions that the spread of latent actions is measured on at most.
SAMPLE = 1024
#: Numbers of latent actions that hardly vary are divided by this share of the largest spread.
LEAST = 1e-2
#: Share of the training after which rollouts leave the recording.
ALONE = 0.1
#: Weight of matching latent actions beside that of predicted states.
MATCHING = 0.1


class ControlStage(Stage):
    """Action matching on the model's own rollouts (arXiv 2605.06298, third stage; `docs/how-it-works.md`, Stage 3).

    In the first tenth of the training, states are those of the recording, with noise. Later that holds only for the
    beginning of a rollout. Afterwards states are the model's own, moved by the control model's own answers, so that it
    learns to continue from its own errors.

    On states of the recording the target is the latent action that the inverse dynamics infer. Everywhere the state
    that the answer leads to is compared with the true next one, since equal differences of latent actions need not
    matter equally.
    """

    name, trains = "control", ("control",)

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.control)
        self.states, self.dead_band = states, Changes.of(clips, states).dead_band
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
        rolled, answers = self._roll_out(states, targets, context)
        known = inside.clone()
        known[:, context:] = False
        matching = (answers - targets)[known].square().mean() / targets[known].square().mean()
        predicted = F.mse_loss(self.model.step(rolled[inside], answers[inside]), following[inside])
        return MATCHING * matching + predicted, {"matching": matching, "prediction": predicted}

    def _roll_out(self, states: Tensor, targets: Tensor, context: int) -> tuple[Tensor, Tensor]:
        """States and answers of rollouts that leave the recording after `context` steps."""
        control, state = self.parts["control"], states[:, 0]
        memory = control.reset(len(states), states.shape[3:])
        rolled, answers = [], []
        for t in range(states.shape[1]):
            state = states[:, t] if t < context else state
            hidden = control.listen(memory, state)
            answer = control.answer(hidden, state)
            rolled.append(state)
            answers.append(answer)
            latent_action = targets[:, t] if t < context else answer.detach().clamp(-1.0, 1.0)
            memory = Memory(hidden, latent_action)
            with torch.no_grad():
                state = self.model.settle(state, self.model.step(state, latent_action), self.dead_band)
        return torch.stack(rolled, 1), torch.stack(answers, 1)

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = self.first[:: max(1, len(self.first) // 8)][:8]
        control, source = self.parts["control"], self.clips.source[chosen]
        state = self.states[source].to(self.model.device)
        answer = control.decode(control.reset(len(chosen), state.shape[2:]), state)
        drawn = self.model.render(self.model.step(state, answer)).cpu()
        return torch.cat([to_unit(self.clips.frames[source + 1]), drawn])


@torch.no_grad()
def measure_spread(model: WorldModel, clips: Clips, states: Tensor) -> None:
    """Tells the control model the spread of latent actions, from transitions all over the recording.

    Args:
        model: with a control model that is not trained yet, changed in place.
        clips: the recording.
        states: (F, K, rows, cols) float32 of all its frames.
    """
    source = clips.source[:: max(1, len(clips.source) // SAMPLE)]
    pair = (states[frames].to(model.device) for frames in (source, source + 1))
    spread = model.infer(*pair).square().mean((0, 2, 3)).sqrt()
    model.part("control").spread.copy_(spread.clamp(min=LEAST * float(spread.max())))
