"""Stage 4, grounding: action bridge and heads on labelled transitions; then everything on its own roll-outs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym import inr
from nova_gym.config import TrainingConfig
from nova_gym.data import Clips, to_unit
from nova_gym.training.representation import beyond
from nova_gym.training.stage import Batch, Metrics, Stage
from nova_gym.world_model import WorldModel

#: Points of a frame at which roll-outs are drawn, and how much their squared error counts beside that of the state.
POINTS, POINTS_WEIGHT = 64, 50.0


class _Labelled(Stage):
    """What both stages share: labels of transitions, noise on states, the loss of the heads."""

    def _labels(self, transitions: Tensor) -> Batch:
        rewards, values = self.clips.rewards[transitions], self.model.config.reward_values
        if values:
            rewards = (rewards[..., None] - torch.tensor(values)).abs().argmin(-1)
        return {
            "actions": self.clips.actions[transitions],
            "rewards": rewards,
            "terminations": self.clips.terminations[transitions].float(),
        }

    def _noise(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        scale = torch.rand(shape[0], *[1] * (len(shape) - 1), generator=generator) * self.recipe.noise
        return torch.randn(shape, generator=generator) * scale

    def _head_loss(self, state: Tensor, latent_action: Tensor, following: Tensor, labels: Batch) -> Tensor:
        """(B,) or (T, B) float32, reward and termination together."""
        reward, termination = self.heads(state, latent_action, following)
        if self.model.config.reward_values:
            reward_loss = F.cross_entropy(reward.movedim(-1, 1), labels["rewards"], reduction="none")
        else:
            reward_loss = F.mse_loss(reward.squeeze(-1), labels["rewards"], reduction="none")
        return reward_loss + F.binary_cross_entropy_with_logits(termination, labels["terminations"], reduction="none")


class Grounding(_Labelled):
    """The action bridge matches the inverse dynamics; the heads learn reward and termination."""

    name = "grounding"

    def __init__(
        self, model: WorldModel, clips: Clips, states: Tensor, latent_actions: Tensor, config: TrainingConfig
    ) -> None:
        super().__init__(model, clips, config.grounding)
        self.bridge, self.heads = model.bridge, model.heads
        self.states, self.latent_actions = states, latent_actions
        self.variance = float(latent_actions.var())  # the same in every direction, so this makes the loss relative

    def batch(self, generator: Generator, progress: float) -> Batch:
        chosen = torch.randint(len(self.clips.source), (self.recipe.batch,), generator=generator)
        source = self.clips.source[chosen]
        state = self.states[source]
        return {
            "state": state + self._noise(state.shape, generator),
            "next": self.states[source + 1] + self._noise(state.shape, generator),
            "latent_actions": self.latent_actions[chosen],
            **self._labels(chosen),
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        features = self.model.action_features(batch["actions"])
        matching = F.mse_loss(self.bridge(batch["state"], features), batch["latent_actions"]) / self.variance
        heads = self._head_loss(batch["state"], batch["latent_actions"], batch["next"], batch).mean()
        return matching + heads, {"matching": matching, "heads": heads}

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = torch.arange(0, len(self.clips.source), max(1, len(self.clips.source) // 8))[:8]
        return _one_step_pictures(self.model, self.clips, self.states, chosen)


class Unrolling(_Labelled):
    """A, B, bridge, inverse dynamics and heads on the model's own roll-outs (`feasibility.md`, "unrolling").

    Without labels there is neither bridge nor heads: roll-outs then follow the latent actions that the inverse dynamics
    infer from the true states.

    The roll-outs grow: from one step to `horizon`, then half of a batch starts up to `burn_in` steps in, run without
    gradients, so that the model learns to correct the errors it really makes; noise on the first state stands for those
    that it has not made yet. (Of batches that start late as a whole the gradients are by far the largest, and clipping
    would hold back what they teach.) A step counts only while the roll-out is still near the
    truth: from a state that is lost, the true next state is a leap that no dynamics should learn.

    What is compared is the state and, at a few points, the frame: a gap in a wall that closes little by little hardly
    shows in the state.

    Attributes:
        points: of a frame at which roll-outs are drawn; 0 compares the states alone.
    """

    name, points = "unrolling", POINTS

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.unrolling)
        self.forward_dynamics, self.inverse_dynamics = model.forward_dynamics, model.inverse_dynamics
        self.bridge, self.heads = model.bridge, model.heads
        self.states, self.horizon, self.near = states, config.horizon, config.near
        longest = int(clips.remaining.max()) - config.horizon
        self.burn_in = max(0, min(config.burn_in, longest))
        self.grid = inr.coordinate_grid(*model.config.frame_size)

    def batch(self, generator: Generator, progress: float) -> Batch:
        horizon = 1 + round((self.horizon - 1) * min(1.0, progress / 0.3))
        longest = round(self.burn_in * min(1.0, max(0.0, (progress - 0.3) / 0.3)))
        burn_in = torch.zeros(self.recipe.batch, dtype=torch.int64)
        burn_in[: self.recipe.batch // 2] = torch.randint(longest + 1, (), generator=generator)
        chosen = self.clips.draw(burn_in, generator) - burn_in  # drawn is what is learned
        offsets = torch.arange(int(burn_in[0]) + horizon)
        inside = offsets < self.clips.remaining[chosen, None]
        transitions = torch.where(inside, chosen[:, None] + offsets, chosen[:, None])
        state = self.states[self.clips.source[chosen]]
        return {
            "state": state,
            "noise": self._noise(state.shape, generator),
            "targets": self.states[self.clips.source[transitions] + 1],
            "inside": inside,
            "burn_in": burn_in,
            "points": self.grid[torch.randint(len(self.grid), (self.points,), generator=generator)],
            **(self._labels(transitions) if self.clips.labelled else {}),
            **self._single_steps(generator),
        }

    def _single_steps(self, generator: Generator) -> Batch:
        """Transitions from true states, twice as many as roll-outs."""
        chosen = self.clips.draw(torch.zeros(2 * self.recipe.batch, dtype=torch.int64), generator)
        source = self.clips.source[chosen]
        return {
            "before": self.states[source],
            "after": self.states[source + 1],
            "before_noise": self._noise((len(chosen), self.states.shape[1]), generator),
            "single_actions": self.clips.actions[chosen],
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        truth = torch.cat([batch["state"][:, None], batch["targets"]], dim=1)
        burn_in, act = batch["burn_in"], self._actor(batch, truth)
        longest = int(burn_in[0])
        horizon, rows = truth.shape[1] - 1 - longest, torch.arange(len(truth), device=truth.device)
        state = self._burnt_in(batch["state"] + batch["noise"], burn_in, act)
        reached, wanted, passed, counted = [], [], [], []
        for at in burn_in + torch.arange(horizon, device=truth.device)[:, None]:
            before = state
            near = (before - truth[rows, at]).square().mean(-1) < self.near
            counted.append(batch["inside"][rows, at] & near)
            latent_action = act(before, at)
            state = self.forward_dynamics(before, latent_action)
            reached.append(state)
            wanted.append(truth[rows, at + 1])
            if self.heads is not None:
                passed.append((before.detach(), latent_action.detach(), state.detach()))
        weight = torch.stack(counted).float()
        total = weight.sum().clamp(min=1)
        states, wanted = torch.stack(reached), torch.stack(wanted)
        rollout = torch.where(weight > 0, (states - wanted).square().mean(-1), 0).sum() / total
        drawn = torch.zeros_like(rollout)
        if self.points:
            drawn = torch.where(weight > 0, self._drawn_error(states, wanted, batch["points"]), 0).sum() / total
        steps = burn_in[:, None] + torch.arange(horizon, device=truth.device)
        lost = 1 - weight.sum() / batch["inside"].gather(1, steps).sum()
        inverse, single = self._single_errors(batch)
        loss = rollout + POINTS_WEIGHT * drawn + inverse + single
        metrics = {"rollout": rollout, "drawn": drawn, "inverse": inverse, "single": single, "lost": lost}
        if not passed:
            return loss, metrics
        labels = {key: batch[key].gather(1, steps).mT for key in ("rewards", "terminations")}
        heads = self._head_loss(*map(torch.stack, zip(*passed, strict=True)), labels)
        head_loss = torch.where(weight > 0, heads, 0).sum() / total
        return loss + 0.1 * head_loss, {**metrics, "heads": head_loss}

    def _single_errors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean squared errors of one step from the truth, with the latent action inferred and with the bridge's."""
        before, after = batch["before"], batch["after"]
        inverse = F.mse_loss(self.forward_dynamics(before, self.inverse_dynamics(before, after)), after)
        if self.bridge is None:
            return inverse, torch.zeros_like(inverse)
        before = before + batch["before_noise"]
        latent_action = self.bridge(before, self.model.action_features(batch["single_actions"]))
        return inverse, F.mse_loss(self.forward_dynamics(before, latent_action), after)

    def _drawn_error(self, states: Tensor, wanted: Tensor, points: Tensor) -> Tensor:
        """(T, B) float32: mean squared error of the pixels of (T, B, K) states, against those of the true states."""
        pixels = [
            inr.render_at(self.model.weights(s.flatten(0, 1)), points, self.model.config.inr) for s in (states, wanted)
        ]
        drawn, truth = pixels[0], pixels[1].clamp(0.0, 1.0)
        return (drawn - beyond(drawn, truth)).square().mean((1, 2)).unflatten(0, states.shape[:2])

    @torch.no_grad()
    def _burnt_in(self, state: Tensor, burn_in: Tensor, act: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """(B, K) states; those of the first rows, which alone have a `burn_in`, that many steps on."""
        late = burn_in[burn_in > 0]
        moved = state[: len(late)]
        for t in range(int(burn_in[0])):
            moved = self.forward_dynamics(moved, act(moved, torch.full_like(late, t)))
        return torch.cat([moved, state[len(late) :]])

    def _actor(self, batch: Batch, truth: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """What gives the latent actions of the first N rows, at steps (N,) of theirs; `truth` is (B, T + 1, K)."""
        rows = torch.arange(len(truth), device=truth.device)
        if self.bridge is None:
            return lambda state, at: self.inverse_dynamics(truth[rows[: len(at)], at], truth[rows[: len(at)], at + 1])
        shape = (len(truth), truth.shape[1] - 1)
        features = self.model.action_features(batch["actions"].flatten(0, 1)).unflatten(0, shape)
        return lambda state, at: self.bridge(state, features[rows[: len(at)], at])

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = torch.arange(0, len(self.clips.source), max(1, len(self.clips.source) // 8))[:8]
        return _one_step_pictures(self.model, self.clips, self.states, chosen)


def _one_step_pictures(model: WorldModel, clips: Clips, states: Tensor, chosen: Tensor) -> Tensor:
    source = clips.source[chosen]
    state = states[source].to(model.device)
    if model.bridge is None:
        latent_action = model.infer(state, states[source + 1].to(model.device))
    else:
        latent_action = model.bridge(state, model.action_features(clips.actions[chosen].to(model.device)))
    drawn = model.render(model.step(state, latent_action)).cpu()
    return torch.cat([to_unit(clips.frames[source + 1]), drawn])
