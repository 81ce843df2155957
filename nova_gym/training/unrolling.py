"""Everything that steps, on the model's own roll-outs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips
from nova_gym.model import inr
from nova_gym.model.world_model import WorldModel
from nova_gym.training.grounding import Labelled, one_step_pictures
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.representation import beyond
from nova_gym.training.stage import Batch, Metrics

#: Points of a frame at which roll-outs are drawn, and how much their squared error counts beside that of the state.
POINTS, POINTS_WEIGHT = 64, 50.0


class Unrolling(Labelled):
    """A, B, bridge, inverse dynamics and heads, on the model's own roll-outs (`docs/how-it-works.md`).

    Roll-outs go on from one step of the optimiser to the next: each takes one step of the dynamics, is compared
    with the truth, and goes on from where it came to, without gradients through what was before (the pushforward
    trick of arXiv 2202.03376). So the model learns to correct the errors that it really makes after any number of
    steps, at the cost of one.
    A roll-out ends with its clip, at `horizon`, or where it is lost: from a state that is not near the truth, the
    true next state is a leap that no dynamics should learn. Another one then takes its place, from a true state
    with noise.

    Beside them, as many single steps from true states count: few roll-outs come to a step into the goal. Those by
    inferred latent actions are taken from elsewhere in the clip now and then, as in `Dynamics`. Without labels there is
    neither bridge nor heads: roll-outs follow the latent actions that the inverse dynamics infer.

    What is compared is the state and, for roll-outs, at a few points, the frame: a gap in a wall that closes little by
    little hardly shows in the state.

    Attributes:
        points: of a frame at which roll-outs are drawn; 0 compares the states alone.
    """

    name, points = "unrolling", POINTS
    trains = ("forward_dynamics", "inverse_dynamics", "bridge", "heads")

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.unrolling)
        self.states, self.elsewhere = states, config.elsewhere
        self.horizon, self.near = config.horizon, config.near
        self.grid = inr.coordinate_grid(*model.config.frame_size)

    def batch(self, generator: Generator, progress: float) -> Batch:
        rolled, single = self._rolled(generator), self.clips.draw(self.recipe.batch, generator)
        transitions = torch.cat([rolled, single])
        source = self.clips.source[transitions]
        before = self.states[source]
        noise = self._noise(before[len(rolled) :].shape, generator)
        content = self.clips.elsewhere(single, source[len(rolled) :], self.elsewhere, generator)
        return {
            "state": torch.cat([self.memory["state"], before[len(rolled) :] + noise]),
            "before": before,
            "after": self.states[source + 1],
            "content": self.states[content],
            "points": self.grid[torch.randint(len(self.grid), (self.points,), generator=generator)],
            **(self._labels(transitions) if self.clips.labelled else {}),
        }

    def _rolled(self, generator: Generator) -> Tensor:
        """(B,) transitions that the roll-outs are at, after new ones have taken the place of those that are over.

        What is drawn is a transition; the roll-out to it starts where its clip does, or a multiple of `horizon` later.
        """
        drawn = self.clips.draw(self.recipe.batch, generator)
        fresh = drawn - self.clips.position[drawn] % self.horizon
        state = self.states[self.clips.source[fresh]]
        state = state + self._noise(state.shape, generator)
        if self.memory:
            over = self.memory["over"]
            self.memory["state"] = torch.where(over[:, None], state, self.memory["state"])
            self.memory["at"] = torch.where(over, fresh, self.memory["at"])
            self.memory["steps"] = torch.where(over, 0, self.memory["steps"])
        else:
            self.memory = {"state": state, "at": fresh, "steps": torch.zeros_like(fresh)}
        return self.memory["at"]

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        model, count = self.model, self.recipe.batch
        state, before, after = batch["state"], batch["before"], batch["after"]
        first = count if model.has_actions else 0
        inferred = model.infer(before[first:], after[first:])
        inverse = F.mse_loss(model.step(batch["content"], inferred[-count:]), after[count:])
        if model.has_actions:
            latent_action = model.translate(state, batch["actions"])
        else:
            latent_action, state, after = inferred[:count], state[:count], after[:count]
        reached = model.step(state, latent_action)
        errors = (reached - after).square().mean(-1)
        rollout, single = errors[:count].mean(), errors[count:].sum() / count
        drawn = torch.zeros_like(rollout)
        if self.points:
            drawn = self._drawn_error(reached[:count], after[:count], batch["points"]).mean()
        loss = rollout + POINTS_WEIGHT * drawn + inverse + single
        lost = self._go_on(reached[:count].detach(), errors[:count].detach())
        metrics = {"rollout": rollout, "drawn": drawn, "inverse": inverse, "single": single, **lost}
        if not model.has_actions:
            return loss, metrics
        heads = self._head_loss(state.detach(), latent_action.detach(), reached.detach(), batch).mean()
        return loss + 0.1 * heads, {**metrics, "heads": heads}

    def _go_on(self, reached: Tensor, errors: Tensor) -> Metrics:
        """Moves the roll-outs on; returns the share that is lost, and how many steps they have gone on average."""
        memory, errors = self.memory, errors.cpu()
        lost = ~(errors < self.near)  # what is not a number is lost as well
        at, steps = memory["at"], memory["steps"] + 1
        over = lost | (self.clips.remaining[at] == 1) | (steps == self.horizon)
        self.memory = {"state": reached.float().cpu(), "at": at + 1, "steps": steps, "over": over}
        return {"lost": lost.float().mean(), "length": steps.float().mean()}

    def _drawn_error(self, states: Tensor, wanted: Tensor, points: Tensor) -> Tensor:
        """(B,) float32: mean squared error of the pixels of (B, K) states, against those of the true states."""
        drawn, truth = (self.model.draw(each, points) for each in (states, wanted))
        return (drawn - beyond(drawn, truth.clamp(0.0, 1.0))).square().mean((1, 2))

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = torch.arange(0, len(self.clips.source), max(1, len(self.clips.source) // 8))[:8]
        return one_step_pictures(self.model, self.clips, self.states, chosen)
