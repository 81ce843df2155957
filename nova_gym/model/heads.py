"""Reward and termination, read off what a transition changed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig


class Heads(nn.Module):
    """Reward head and termination head on one trunk over (z, u, z'), the same in every cell.

    The cells that changed are pooled by their maximum, so that grids of every size give numbers of the same kind; if
    none changed, the heads see zeros. Where the environment's reward takes few values (`ModelConfig.reward_values`),
    the reward head chooses among them, so that a sparse reward is exact. Otherwise it is a regression
    (`docs/how-it-works.md`, Reward and end).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        outputs = max(1, len(config.reward_values))
        hidden = config.head_hidden
        self.trunk = nn.Sequential(
            nn.Conv2d(2 * config.rank + config.latent_action, hidden, 1),
            nn.GELU(),
            nn.Conv2d(hidden, hidden, 1),
            nn.GELU(),
        )
        self.reward = nn.Linear(hidden, outputs)
        self.termination = nn.Linear(hidden, 1)
        self.few = bool(config.reward_values)
        self.register_buffer("values", torch.tensor(config.reward_values or (0.0,)), persistent=False)

    def forward(
        self, state: Tensor, latent_action: Tensor, next_state: Tensor, changed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Raw outputs, for training.

        Args:
            state, next_state: (B, K, rows, cols) float32.
            latent_action: (B, U, rows, cols) float32.
            changed: (B, rows, cols) bool, the cells that count.

        Returns:
            Reward, (B, V) logits over `reward_values` or (B, 1) the reward; termination, (B,) logits.
        """
        hidden = self.trunk(torch.cat([state, latent_action, next_state], dim=1))
        seen = hidden.masked_fill(~changed[:, None], -torch.inf).flatten(2).amax(2)
        pooled = torch.where(changed.flatten(1).any(1, keepdim=True), seen, 0.0)
        return self.reward(pooled), self.termination(pooled).squeeze(-1)

    def outcome(self, state: Tensor, latent_action: Tensor, next_state: Tensor) -> tuple[Tensor, Tensor]:
        """What a step pays and whether it ends the episode.

        Args:
            state, next_state: (B, K, rows, cols) float32; cells that are equal to the bit did not change.
            latent_action: (B, U, rows, cols) float32.

        Returns:
            (B,) float32 undiscounted reward; (B,) float32 probability that the episode ends here.
        """
        changed = (state != next_state).any(1)
        reward, termination = self(state, latent_action, next_state, changed)
        reward = self.values[reward.argmax(-1)] if self.few else reward.squeeze(-1)
        return reward, termination.sigmoid()
