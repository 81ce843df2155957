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

    The roll-outs grow: from one step to `horizon`, then half of them start up to `burn_in` steps in, run without
    gradients, so that the model learns to correct the errors it really makes; noise on the first state stands for those
    that it has not made yet. A step counts only while the roll-out is still near the truth: from a state that is lost,
    the true next state is a leap that no dynamics should learn.

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
        burn_in = max(0, int(torch.randint(-longest, longest + 1, (), generator=generator)))
        chosen = self.clips.draw(self.recipe.batch, generator, after=burn_in) - burn_in  # drawn is what is learned
        offsets = torch.arange(burn_in + horizon)
        inside = offsets < self.clips.remaining[chosen, None]
        transitions = torch.where(inside, chosen[:, None] + offsets, chosen[:, None])
        state = self.states[self.clips.source[chosen]]
        return {
            "state": state,
            "noise": self._noise(state.shape, generator),
            "targets": self.states[self.clips.source[transitions] + 1],
            "inside": inside,
            "burn_in": torch.tensor(burn_in),
            "points": self.grid[torch.randint(len(self.grid), (self.points,), generator=generator)],
            **(self._labels(transitions) if self.clips.labelled else {}),
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        state = batch["state"] + batch["noise"]
        truth = torch.cat([batch["state"][:, None], batch["targets"]], dim=1)
        burn_in, act = int(batch["burn_in"]), self._actor(batch, truth)
        with torch.no_grad():
            for t in range(burn_in):
                state = self.forward_dynamics(state, act(state, t))
        reached, passed, counted = [], [], []
        for t in range(burn_in, truth.shape[1] - 1):
            before = state
            counted.append(batch["inside"][:, t] & ((before - truth[:, t]).square().mean(-1) < self.near))
            latent_action = act(before, t)
            state = self.forward_dynamics(before, latent_action)
            reached.append(state)
            if self.heads is not None:
                passed.append((before.detach(), latent_action.detach(), state.detach()))
        weight = torch.stack(counted).float()
        total = weight.sum().clamp(min=1)
        states, wanted = torch.stack(reached), truth[:, burn_in + 1 :].transpose(0, 1)
        rollout = torch.where(weight > 0, (states - wanted).square().mean(-1), 0).sum() / total
        drawn = torch.zeros_like(rollout)
        if self.points:
            drawn = torch.where(weight > 0, self._drawn_error(states, wanted, batch["points"]), 0).sum() / total
        lost = 1 - weight.sum() / batch["inside"][:, burn_in:].sum()
        first, second = truth[:, 0], truth[:, 1]
        inverse = F.mse_loss(self.forward_dynamics(first, self.inverse_dynamics(first, second)), second)
        loss = rollout + POINTS_WEIGHT * drawn + inverse
        metrics = {"rollout": rollout, "drawn": drawn, "inverse": inverse, "lost": lost}
        if not passed:
            return loss, metrics
        labels = {key: batch[key][:, burn_in:].mT for key in ("rewards", "terminations")}
        heads = self._head_loss(*map(torch.stack, zip(*passed, strict=True)), labels)
        head_loss = torch.where(weight > 0, heads, 0).sum() / total
        return loss + 0.1 * head_loss, {**metrics, "heads": head_loss}

    def _drawn_error(self, states: Tensor, wanted: Tensor, points: Tensor) -> Tensor:
        """(T, B) float32: mean squared error of the pixels of (T, B, K) states, against those of the true states."""
        pixels = [
            inr.render_at(self.model.weights(s.flatten(0, 1)), points, self.model.config.inr) for s in (states, wanted)
        ]
        drawn, truth = pixels[0], pixels[1].clamp(0.0, 1.0)
        return (drawn - beyond(drawn, truth)).square().mean((1, 2)).unflatten(0, states.shape[:2])

    def _actor(self, batch: Batch, truth: Tensor) -> Callable[[Tensor, int], Tensor]:
        """What gives the latent action in a state at step t; `truth` is (B, T + 1, K)."""
        if self.bridge is None:
            return lambda state, t: self.inverse_dynamics(truth[:, t], truth[:, t + 1])
        shape = (len(truth), truth.shape[1] - 1)
        features = self.model.action_features(batch["actions"].flatten(0, 1)).unflatten(0, shape)
        return lambda state, t: self.bridge(state, features[:, t])

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
