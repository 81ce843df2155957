"""Training all parts of a step: A, B, inverse dynamics, bridge and heads, also on the model's own rollouts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.heads import two_hot
from nova_gym.model.world_model import WorldModel
from nova_gym.training.changes import Changes
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage

#: Share of single steps by inferred latent actions that are shown backwards.
REVERSED = 0.25
#: Share of them that show the same frame twice, where there are no labels.
FROZEN = 0.25
#: Share of the states that get no noise.
CLEAN = 0.25
#: Share of the rollouts whose error is enlarged in a step, up to how many times, and to which share of what is lost.
PUSHED, MOST, PUSHED_TO = 0.5, 30.0, 0.25
#: Weights beside that of predicted states: the bridge's latent actions match the inferred ones; those of cells in which
#: nothing moves are small; reward and ending; cells are not on the way to another look than theirs.
MATCHING, QUIET, OUTCOME, MISTAKEN = 0.1, 0.01, 0.1, 0.1


class Dynamics(Stage):
    """A, B, inverse dynamics, bridge and heads, on recorded transitions and on the model's own rollouts.

    Source: arXiv 2605.06298, second stage; `docs/how-it-works.md`, Stage 2. Two paths are trained side by side. By the
    first, inverse dynamics infer a latent action from two states, and B has to turn it into the change. The
    environment's actions are not used there. In a share of the steps A sees another state of the same clip, so B has to
    tell all that differs within a clip. By the second, the bridge translates an action into a latent action that leads
    to the same state.

    The second path is trained on rollouts too. A rollout spans many steps of the optimiser. In each of them it takes
    one step, is compared with the truth, and goes on from the predicted state, without gradients through earlier steps
    (the pushforward trick of arXiv 2202.03376). So the model learns to correct its own errors after any number of
    steps, at the cost of one. A rollout ends with its clip, after `horizon` steps, or when a cell is lost: the dynamics
    should not learn to leap from there to the truth. A new one then takes its place, from a true state with noise.

    A model of video without labels has neither bridge nor heads: its rollouts follow inferred latent actions.
    """

    name = "dynamics"
    trains = ("forward_dynamics", "inverse_dynamics", "bridge", "heads")

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, getattr(config, self.name))
        self.states, self.elsewhere, self.horizon = states, config.elsewhere, config.horizon
        self.changes = Changes.of(clips, states)

    def batch(self, generator: Generator, progress: float) -> Batch:
        rolled, single = self._rolled(generator), self.clips.draw(self.recipe.batch, generator)
        transitions = torch.cat([rolled, single])
        source = self.clips.source[transitions]
        before, after = self.states[source], self.states[source + 1]
        backwards = torch.rand(len(single), generator=generator)[:, None, None, None] < REVERSED
        begin, end = before[len(rolled) :], after[len(rolled) :]
        content = self.states[self.clips.elsewhere(single, source[len(rolled) :], self.elsewhere, generator)]
        noise = self._noise(begin.shape, generator)
        frozen = torch.zeros(len(single), 1, 1, 1, dtype=torch.bool)
        if not self.clips.labelled:  # the latent action of standing still is 0, so that a control model may do nothing
            frozen[: round(FROZEN * len(single))] = True
            content, end = torch.where(frozen, begin, content), torch.where(frozen, begin, end)
            noise = torch.where(frozen, 0.0, noise)
        return {
            "state": torch.cat([self._pushed(before[: len(rolled)], generator), begin + noise]),
            "before": before,
            "after": after,
            "from": torch.where(backwards, end, begin),
            "to": torch.where(backwards, begin, end),
            "frozen": frozen,
            "content": torch.where(backwards, end, content) + noise,
            **(self._labels(transitions) if self.clips.labelled else {}),
        }

    def _labels(self, transitions: Tensor) -> Batch:
        return {
            "actions": self.clips.actions[transitions],
            "rewards": self.clips.rewards[transitions],
            "terminations": self.clips.terminations[transitions].float(),
        }

    def _noise(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Noise of any size up to the recipe's; a share of the states has none, as where a dream begins."""
        scale = torch.rand(shape[0], 1, 1, 1, generator=generator)
        scale = ((scale - CLEAN) / (1.0 - CLEAN)).clamp(min=0.0) * self.recipe.noise
        return torch.randn(shape, generator=generator) * scale

    def _pushed(self, truth: Tensor, generator: Generator) -> Tensor:
        """The states of the rollouts, some of them pushed further along their own error.

        A direction in which errors grow by a percent a step shows only after hundreds of steps, longer than a clip.
        Pushed along it, the model learns at once to come back.
        """
        off = self.memory["state"] - truth
        worst = off.square().mean(1).flatten(1).amax(1).clamp(min=1e-12)
        most = (PUSHED_TO * self.changes.lost / worst).sqrt().clamp(1.0, MOST)
        share = torch.rand(len(off), generator=generator) * (torch.rand(len(off), generator=generator) < PUSHED)
        return truth + off * (1.0 + share * (most - 1.0))[:, None, None, None]

    def _rolled(self, generator: Generator) -> Tensor:
        """(B,) int64 transitions that the rollouts are at, after new rollouts have replaced those that are over.

        For a new rollout a transition is drawn that it is to reach. It starts at the beginning of that transition's
        clip, or a multiple of `horizon` steps later.
        """
        drawn = self.clips.draw(self.recipe.batch, generator)
        fresh = drawn - self.clips.position[drawn] % self.horizon
        state = self.states[self.clips.source[fresh]]
        state = state + self._noise(state.shape, generator)
        if self.memory:
            over = self.memory["over"]
            self.memory["state"] = torch.where(over[:, None, None, None], state, self.memory["state"])
            self.memory["at"] = torch.where(over, fresh, self.memory["at"])
            self.memory["steps"] = torch.where(over, 0, self.memory["steps"])
        else:
            self.memory = {"state": state, "at": fresh, "steps": torch.zeros_like(fresh)}
        return self.memory["at"]

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        model, count = self.model, self.recipe.batch
        before, after = batch["before"], batch["after"]
        shown = model.infer(batch["from"], batch["to"])
        inverse = F.mse_loss(model.step(batch["content"], shown.masked_fill(batch["frozen"], 0.0)), batch["to"])
        still = ~self.changes.changed(batch["from"], batch["to"])
        quiet = (shown.square().mean(1) * still).sum() / still.sum().clamp(min=1)
        loss, metrics = inverse + QUIET * quiet, {"inverse": inverse, "quiet": quiet}
        if not model.has_actions:
            latent_action, state = model.infer(before[:count], after[:count]), batch["state"][:count]
        else:
            latent_action, state = model.translate(batch["state"], batch["actions"]), batch["state"]
            with torch.no_grad():
                inferred = model.infer(before, after)
            matching = F.mse_loss(latent_action, inferred) / inferred.square().mean()
            loss, metrics = loss + MATCHING * matching, {**metrics, "matching": matching}
        reached = model.step(state, latent_action)
        errors = (reached - after[: len(reached)]).square().mean(1)  # (B, rows, cols)
        loss = loss + errors.mean() * (len(errors) / count)
        metrics = {"rollout": errors[:count].mean(), "single": errors[count:].mean(), **metrics}
        if model.looks is not None:
            recorded = before[: len(reached)], after[: len(reached)]
            mistaken = self.changes.mistaken(model, state, reached, *recorded).mean()
            loss, metrics = loss + MISTAKEN * mistaken, {**metrics, "mistaken": mistaken}
        metrics |= self._go_on(state[:count], reached[:count].detach(), errors[:count].detach(), after[:count])
        if model.has_actions:
            outcome = self._outcome_loss(before, latent_action.detach(), reached.detach(), batch)
            loss, metrics = loss + OUTCOME * outcome, {**metrics, "outcome": outcome}
        return loss, metrics

    def _outcome_loss(self, before: Tensor, latent_action: Tensor, reached: Tensor, batch: Batch) -> Tensor:
        """() float32, of reward and termination together.

        Half of it is on true states, with the noise of the states stepped from. The other half is on what single steps
        predict, as in a dream: there a cell may have moved a little that should be still.
        """
        count, after = self.recipe.batch, batch["after"]
        noise = batch["state"][count:] - before[count:]  # a rollout's own error may be anything
        state = torch.cat([before[:count] + noise, batch["state"][count:]])
        dreamt = self.model.settle(state[count:], reached[count:], self.changes.dead_band)
        following = torch.cat([after[:count] + noise.flip(0), dreamt])
        true = self.changes.changed(before[:count], after[:count])
        changed = torch.cat([true, (state[count:] != dreamt).any(1)])
        heads, more = self.parts["heads"], self.model.besides(state, batch["actions"])
        reward, termination = heads(state, latent_action, following, changed, more)
        told = F.cross_entropy(reward, two_hot(batch["rewards"], heads.values))
        return told + F.binary_cross_entropy_with_logits(termination, batch["terminations"])

    def _go_on(self, state: Tensor, reached: Tensor, errors: Tensor, after: Tensor) -> Metrics:
        """Moves the rollouts on; returns the share that is lost, and their mean number of steps."""
        memory, worst = self.memory, errors.flatten(1).amax(1)
        settled = self.model.settle(state, reached, self.changes.dead_band).float()
        lost = (~(worst < self.changes.lost) | self.changes.astray(self.model, settled, after)).cpu()  # so is NaN
        at, steps = memory["at"], memory["steps"] + 1
        over = lost | (self.clips.remaining[at] == 1) | (steps == self.horizon)
        settled = settled.cpu()
        self.memory = {"state": settled, "at": at + 1, "steps": steps, "over": over}
        return {"lost": lost.float().mean(), "length": steps.float().mean()}

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = torch.arange(0, len(self.clips.source), max(1, len(self.clips.source) // 8))[:8]
        source = self.clips.source[chosen]
        state, following = (self.states[frames].to(self.model.device) for frames in (source, source + 1))
        if self.model.has_actions:
            latent_action = self.model.translate(state, self.clips.actions[chosen].to(self.model.device))
        else:
            latent_action = self.model.infer(state, following)
        drawn = self.model.render(self.model.step(state, latent_action)).cpu()
        return torch.cat([to_unit(self.clips.frames[source + 1]), drawn])


class Tuning(Dynamics):
    """More of the same, with wrong transitions drawn more often (`docs/how-it-works.md`, Stage 2).

    If one transition in a thousand is wrong, that hardly counts in a mean loss, but an agent finds it: it is the hole
    in a wall.

    Args:
        clips: with the weights that `emphasize` gives wrong transitions.
    """

    name = "tuning"
