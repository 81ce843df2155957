"""Where latent actions come from when nobody shows the next frame: the action bridge."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.config import ModelConfig
from nova_gym.dynamics import mlp


def action_features(actions: Tensor, config: ModelConfig) -> Tensor:
    """Actions as network inputs.

    Args:
        actions: (B,) int64 where the environment's actions are discrete, else (B, N) float32.

    Returns:
        (B, N) float32: one-hot, or the actions themselves.
    """
    if config.discrete:
        return (actions[:, None] == torch.arange(config.actions, device=actions.device)).to(torch.float32)
    return actions


class ActionBridge(nn.Module):
    """`u = bridge(z, a)`: the environment's own action as a latent action, given the state.

    It sees the state because latent actions say where things go, not by how much (`nova.md`, "Action bridge").
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.network = mlp(config.rank + config.actions, config.latent_action, config.hidden, config.depth)

    def forward(self, state: Tensor, features: Tensor) -> Tensor:
        """Maps actions.

        Args:
            state: (B, K) float32.
            features: (B, N) float32 from `action_features`.

        Returns:
            (B, U) float32.
        """
        return self.network(torch.cat([state, features], dim=-1))
