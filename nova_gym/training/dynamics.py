"""Forward and inverse dynamics, on encoded transitions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.coordinates import change_latent_actions, divide_latent_actions
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage

#: Share of transitions that are shown backwards, and of those in which time stands still.
REVERSED, FROZEN = 0.5, 0.05
#: How much it counts that latent actions tell endings, and the logit of an ending per unit of their first value.
ENDING_WEIGHT, ENDING_LOGIT = 0.1, 10.0


class Dynamics(Stage):
    """Next-state prediction through an inferred latent action (arXiv 2605.06298, second stage).

    Actions are not used. Where endings were recorded, the first value of a latent action is trained to tell them: a
    step into the goal changes a picture much as one onto an empty tile does, and B otherwise comes to draw both alike.
    In a share of the steps A sees another state of the clip than the one stepped from: what differs between the two is
    motion, and left to B.
    """

    name, trains = "dynamics", ("forward_dynamics", "inverse_dynamics")

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.dynamics)
        self.states, self.elsewhere = states, config.elsewhere
        self.tells_endings = bool(clips.terminations.any())

    def batch(self, generator: Generator, progress: float) -> Batch:
        size = self.recipe.batch
        chosen = torch.randint(len(self.clips.source), (size,), generator=generator)
        source = self.clips.source[chosen]
        draw = torch.rand(size, generator=generator)
        backwards = draw < REVERSED
        target = torch.where(backwards, source, source + 1)
        source = torch.where(backwards, source + 1, source)
        frozen = draw > 1 - FROZEN
        target = torch.where(frozen, source, target)
        endings = self.clips.terminations[chosen] & ~backwards & ~frozen
        content = self.states[self.clips.elsewhere(chosen, source, self.elsewhere, generator)]
        return {
            "state": self.states[source],
            "content": content + torch.randn(content.shape, generator=generator) * self.recipe.noise,
            "next": self.states[target],
            "endings": endings.float(),
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        latent_action = self.model.infer(batch["state"], batch["next"])
        loss = F.mse_loss(self.model.step(batch["content"], latent_action), batch["next"])
        metrics = {"next": loss, "still": F.mse_loss(batch["state"], batch["next"])}
        if not self.tells_endings:
            return loss, metrics
        endings = F.binary_cross_entropy_with_logits(ENDING_LOGIT * latent_action[:, 0], batch["endings"])
        return loss + ENDING_WEIGHT * endings, {**metrics, "endings": endings}

    @torch.no_grad()
    def pictures(self) -> Tensor:
        source = self.clips.source[:: max(1, len(self.clips.source) // 8)][:8]
        state, following = (self.states[i].to(self.model.device) for i in (source, source + 1))
        drawn = self.model.render(self.model.step(state, self.model.infer(state, following))).cpu()
        return torch.cat([to_unit(self.clips.frames[source + 1]), drawn])


@torch.no_grad()
def infer_all(model: WorldModel, clips: Clips, states: Tensor) -> Tensor:
    """(T, U) float32 latent actions of all transitions, on the CPU."""
    return torch.cat(
        [
            model.infer(states[source].to(model.device), states[source + 1].to(model.device)).cpu()
            for source in clips.source.split(4096)
        ]
    )


def dead_band(clips: Clips, states: Tensor) -> float:
    """A quarter of the smallest change that the recording holds, mean squared over the state.

    Where things move tile by tile nothing lies between that and standing still; where they move gradually it is next to
    nothing, and so without effect.
    """
    changes = (states[clips.source + 1] - states[clips.source]).square().mean(1)
    changes = changes[changes > 1e-6]  # equal frames give equal states but for rounding
    return 0.25 * float(changes.min()) if len(changes) else 0.0


@torch.no_grad()
def bound_latent_actions(model: WorldModel, clips: Clips, states: Tensor) -> None:
    """Brings the latent actions of inverse dynamics and bridge back to [-1, 1] on all data, after they were trained on.

    All layers that write or read latent actions change together: predictions stay the same.
    """
    bound = infer_all(model, clips, states).abs().max()
    if model.has_codebook:
        codes = model.decode(torch.arange(model.config.codes, device=model.device))
        bound = torch.maximum(bound, codes.abs().max().cpu())
    if model.has_actions:
        for chosen in torch.arange(len(clips.source)).split(4096):
            state, actions = states[clips.source[chosen]].to(model.device), clips.actions[chosen].to(model.device)
            bound = torch.maximum(bound, model.translate(state, actions).abs().max().cpu())
    divide_latent_actions(model, float(bound))


@torch.no_grad()
def scale_latent_actions(model: WorldModel, latent_actions: Tensor) -> None:
    """Gives latent actions mean 0, equal variance in every direction, and values in [-1, 1] on all data.

    The last layer of the inverse and the first of the forward dynamics change together: predictions stay the same.

    Args:
        model: changed in place.
        latent_actions: (T, U) of all transitions, before the change.
    """
    mean = latent_actions.mean(0)
    variances, axes = torch.linalg.eigh(torch.cov(latent_actions.T).double())
    scale = variances.clamp(min=1e-6 * float(variances.max())).sqrt()
    whitened = (latent_actions - mean) @ (axes / scale).float()
    scale = scale * float(whitened.abs().max())
    matrix = (axes / scale).T.float()  # new = matrix @ (u - mean)
    inverse = (axes * scale).float()
    change_latent_actions(model, matrix.to(model.device), inverse.to(model.device), mean.to(model.device))
