"""Reward and termination, read off what a transition changed."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.local import CellConvolution

#: The logarithm of odds that count as none at all.
NO_ODDS = -12.0


class Heads(nn.Module):
    """Reward head and termination head on one trunk over (z, u, z'), the same in every cell.

    The cells that changed are pooled by their maximum, so that grids of every size give numbers of the same kind; if
    none changed, the heads see zeros. Where the recording shows that rewards or endings need more than that
    (`ModelConfig.everywhere`), the trunk also reads memory and action, and all cells are pooled beside those that
    changed.

    Where the environment's reward takes few values (`ModelConfig.reward_values`), the reward head chooses among them,
    so that a sparse reward is exact. Otherwise the values are the centres of bins, and the reward is their mean
    (two-hot bins, arXiv 2301.04104), so that rewards of any scale train alike (`docs/how-it-works.md`, Reward and end).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        outputs = max(1, len(config.reward_values))
        hidden, self.everywhere, self.bins = config.head_hidden, config.everywhere, config.reward_bins
        more = config.memory + config.actions if config.everywhere else 0
        self.trunk = nn.Sequential(
            CellConvolution(2 * config.rank + config.latent_action + more, hidden),
            nn.GELU(),
            CellConvolution(hidden, hidden),
            nn.GELU(),
        )
        pooled = 2 * hidden if config.everywhere else hidden
        self.reward = nn.Linear(pooled, outputs)
        self.termination = nn.Linear(pooled, 1)
        self.register_buffer("values", torch.tensor(config.reward_values or (0.0,)), persistent=False)

    def forward(
        self, state: Tensor, latent_action: Tensor, following: Tensor, changed: Tensor, more: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Raw outputs, for training.

        Args:
            state, following: (B, K, rows, cols) float32.
            latent_action: (B, U, rows, cols) float32.
            changed: (B, rows, cols) bool, the cells that changed.
            more: (B, M + A, rows, cols) float32, memory before the step and action; read if `everywhere`.

        Returns:
            Reward, (B, V) logits over `reward_values`; termination, (B,) logits.
        """
        inputs = [state, latent_action, following, *([more] if self.everywhere else [])]
        hidden = self.trunk(torch.cat(inputs, dim=1))
        seen = hidden.masked_fill(~changed[:, None], -torch.inf).flatten(2).amax(2)
        pooled = torch.where(changed.flatten(1).any(1, keepdim=True), seen, 0.0)
        if self.everywhere:
            pooled = torch.cat([pooled, hidden.flatten(2).amax(2)], dim=1)
        return self.reward(pooled), self.termination(pooled).squeeze(-1)

    def outcome(
        self,
        state: Tensor,
        latent_action: Tensor,
        following: Tensor,
        more: Tensor | None = None,
        uniform: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a step pays, whether it ends the episode, and how undecided that is.

        Args:
            state, following: (B, K, rows, cols) float32; cells that are equal to the bit did not change.
            latent_action: (B, U, rows, cols) float32.
            more: as in `forward`.
            uniform: (B,) float32 in [0, 1), which draws the reward where that is random; None for the likeliest value,
                or the mean of bins.

        Returns:
            (B,) float32 undiscounted reward; (B,) float32 probability that the episode ends here; (B,) float32 how
            undecided the heads are (`undecided`).
        """
        changed = (state != following).any(1)
        reward, termination = self(state, latent_action, following, changed, more)
        unsure = self.undecided(reward, termination)
        if uniform is not None:
            chosen = (reward.softmax(-1).cumsum(-1) <= uniform[:, None]).sum(-1)
            reward = self.values[chosen.clamp(max=len(self.values) - 1)]
        elif self.bins:
            reward = reward.softmax(-1) @ self.values
        else:
            reward = self.values[reward.argmax(-1)]
        return reward, termination.sigmoid(), unsure

    def undecided(self, reward: Tensor, termination: Tensor) -> Tensor:
        """Logarithm of the odds that reward or ending is another than the likeliest, from `NO_ODDS`.

        Bins say how large a reward is by their mean, so not by one of them: there the ending alone counts.

        Args:
            reward: (B, V) logits.
            termination: (B,) logits.
        """
        likeliest = F.logsigmoid(termination.abs())
        if not self.bins:
            likeliest = likeliest + reward.log_softmax(-1).amax(-1)
        likeliest = likeliest.clamp(max=-math.exp(NO_ODDS))
        return (torch.log(-torch.expm1(likeliest)) - likeliest).nan_to_num(0.0)


def two_hot(rewards: Tensor, values: Tensor) -> Tensor:
    """Rewards as weights of the two bins that they lie between.

    Args:
        rewards: (B,) float32.
        values: (V,) float32, ascending centres of the bins.

    Returns:
        (B, V) float32, each row with the sum 1; rewards beyond the outermost bins are those bins.
    """
    if len(values) == 1:
        return torch.ones(len(rewards), 1, device=rewards.device)
    inside = rewards.clamp(values[0], values[-1])
    upper = torch.searchsorted(values, inside.contiguous()).clamp(1, len(values) - 1)
    below, above = values[upper - 1], values[upper]
    share = ((inside - below) / (above - below).clamp(min=1e-12)).clamp(0.0, 1.0)
    weights = torch.zeros(len(rewards), len(values), device=rewards.device)
    weights.scatter_(1, (upper - 1)[:, None], (1.0 - share)[:, None])
    return weights.scatter_add_(1, upper[:, None], share[:, None])
