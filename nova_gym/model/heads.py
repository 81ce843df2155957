"""Reward and termination, read off a transition."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig


class Heads(nn.Module):
    """Reward head and termination head on one trunk over (z, u, z').

    Where the environment's reward takes few values (`ModelConfig.reward_values`), the reward head chooses among
    them, so that a sparse reward is exact. Otherwise it is a regression (`docs/how-it-works.md`, Reward and end).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        outputs = max(1, len(config.reward_values))
        hidden = config.head_hidden
        self.trunk = nn.Sequential(
            nn.Linear(2 * config.rank + config.latent_action, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()
        )
        self.reward = nn.Linear(hidden, outputs)
        self.termination = nn.Linear(hidden, 1)
        self.few = bool(config.reward_values)
        self.register_buffer("values", torch.tensor(config.reward_values or (0.0,)), persistent=False)

    def forward(self, state: Tensor, latent_action: Tensor, next_state: Tensor) -> tuple[Tensor, Tensor]:
        """Raw outputs, for training.

        Args:
            state, next_state: (B, K) float32.
            latent_action: (B, U) float32.

        Returns:
            Reward, (B, V) logits over `reward_values` or (B, 1) the reward; termination, (B,) logits.
        """
        hidden = self.trunk(torch.cat([state, latent_action, next_state], dim=-1))
        return self.reward(hidden), self.termination(hidden).squeeze(-1)

    def outcome(self, state: Tensor, latent_action: Tensor, next_state: Tensor) -> tuple[Tensor, Tensor]:
        """What a step pays and whether it ends the episode.

        Args:
            state, next_state: (B, K) float32.
            latent_action: (B, U) float32.

        Returns:
            (B,) float32 undiscounted reward; (B,) float32 probability that the episode ends here.
        """
        reward, termination = self(state, latent_action, next_state)
        reward = self.values[reward.argmax(-1)] if self.few else reward.squeeze(-1)
        return reward, termination.sigmoid()
