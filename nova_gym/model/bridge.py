"""The action bridge: the environment's own actions as latent actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.mlp import ResidualMLP


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
    Discrete actions share all layers but the last, which has one output an action; continuous ones are read beside the
    state.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.actions = config.actions if config.discrete else 0
        inputs = config.rank if config.discrete else config.rank + config.actions
        outputs = config.latent_action * max(1, self.actions)
        self.network = ResidualMLP(inputs, outputs, config.hidden, config.depth)

    def forward(self, state: Tensor, features: Tensor) -> Tensor:
        """Maps actions.

        Args:
            state: (B, K) float32.
            features: (B, N) float32 from `action_features`.

        Returns:
            (B, U) float32.
        """
        if not self.actions:
            return self.network(torch.cat([state, features], dim=-1))
        return (self.network(state).unflatten(-1, (self.actions, -1)) * features.unsqueeze(-1)).sum(-2)
