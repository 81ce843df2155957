"""Grounding: action bridge and heads, on labelled transitions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage


class Labelled(Stage):
    """What stages on labelled transitions share: labels, noise on states, the loss of the heads."""

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
        reward, termination = self.parts["heads"](state, latent_action, following)
        if self.model.config.reward_values:
            reward_loss = F.cross_entropy(reward.movedim(-1, 1), labels["rewards"], reduction="none")
        else:
            reward_loss = F.mse_loss(reward.squeeze(-1), labels["rewards"], reduction="none")
        return reward_loss + F.binary_cross_entropy_with_logits(termination, labels["terminations"], reduction="none")


class Grounding(Labelled):
    """The action bridge matches the inverse dynamics; the heads learn reward and termination."""

    name, trains = "grounding", ("bridge", "heads")

    def __init__(
        self, model: WorldModel, clips: Clips, states: Tensor, latent_actions: Tensor, config: TrainingConfig
    ) -> None:
        super().__init__(model, clips, config.grounding)
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
        translated = self.model.translate(batch["state"], batch["actions"])
        matching = F.mse_loss(translated, batch["latent_actions"]) / self.variance
        heads = self._head_loss(batch["state"], batch["latent_actions"], batch["next"], batch).mean()
        return matching + heads, {"matching": matching, "heads": heads}

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = torch.arange(0, len(self.clips.source), max(1, len(self.clips.source) // 8))[:8]
        return one_step_pictures(self.model, self.clips, self.states, chosen)


def one_step_pictures(model: WorldModel, clips: Clips, states: Tensor, chosen: Tensor) -> Tensor:
    """(2 n, C, H, W) float32: the frames after n transitions, then what the model makes of them in one step."""
    source = clips.source[chosen]
    state = states[source].to(model.device)
    if model.has_actions:
        latent_action = model.translate(state, clips.actions[chosen].to(model.device))
    else:
        latent_action = model.infer(state, states[source + 1].to(model.device))
    drawn = model.render(model.step(state, latent_action)).cpu()
    return torch.cat([to_unit(clips.frames[source + 1]), drawn])
