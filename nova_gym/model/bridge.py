"""The action bridge: the environment's own actions as latent actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.mlp import ResidualMLP


class ActionBridge(nn.Module):
    """`u = bridge(z, a)`: the environment's own action as a latent action, given the state.

    It sees the state because latent actions say where things go, not by how much (`docs/how-it-works.md`). Discrete
    actions share all layers but the last, which has one output an action. Continuous ones are read beside the state.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.actions = config.actions if config.discrete else 0
        inputs = config.rank if config.discrete else config.rank + config.actions
        outputs = config.latent_action * max(1, self.actions)
        self.network = ResidualMLP(inputs, outputs, config.hidden, config.depth)

    def forward(self, state: Tensor, actions: Tensor) -> Tensor:
        """Maps actions.

        Args:
            state: (B, K) float32.
            actions: (B,) int64 where the environment's actions are discrete, else (B, N) float32.

        Returns:
            (B, U) float32.
        """
        if not self.actions:
            return self.network(torch.cat([state, actions], dim=-1))
        one_hot = (actions[:, None] == torch.arange(self.actions, device=actions.device)).to(torch.float32)
        return (self.network(state).unflatten(-1, (self.actions, -1)) * one_hot.unsqueeze(-1)).sum(-2)
