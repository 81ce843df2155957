"""The action bridge: the environment's own actions as latent actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.local import LocalNetwork


class ActionBridge(nn.Module):
    """`u = bridge(h, z, a, c)`: the environment's own action as a latent action, given the state.

    It sees the state because latent actions say where things go, not by how much (`docs/how-it-works.md`, Action
    bridge); in each cell it sees a neighbourhood, where rules such as "a wall stops" can be read. Where the model has
    a memory, that is part of the state. Where it leaves something to chance, the outcome in each cell is an input too.
    For discrete actions the last layer has U outputs for each action, and all other layers are shared. Continuous
    actions are inputs of every cell, beside the state.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.actions = config.actions if config.discrete else 0
        inputs = config.rank + config.memory + config.outcomes + (0 if config.discrete else config.actions)
        outputs = config.latent_action * max(1, self.actions)
        self.network = LocalNetwork(inputs, outputs, config.hidden, config.reach, config.depth, far=config.far)

    def forward(self, state: Tensor, actions: Tensor) -> Tensor:
        """Maps actions.

        Args:
            state: (B, K + M + n, rows, cols) float32, outcomes included.
            actions: (B,) int64 where the environment's actions are discrete, else (B, N) float32.

        Returns:
            (B, U, rows, cols) float32; 0 for a discrete action that does not exist.
        """
        if not self.actions:
            planes = actions[:, :, None, None].expand(-1, -1, *state.shape[2:])
            return self.network(torch.cat([state, planes], dim=1))
        one_hot = (actions[:, None] == torch.arange(self.actions, device=actions.device)).to(torch.float32)
        return (self.network(state).unflatten(1, (self.actions, -1)) * one_hot[:, :, None, None, None]).sum(1)
