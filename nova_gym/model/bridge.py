"""The action bridge: the environment's own actions as latent actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig
from nova_gym.model.local import LocalNetwork


class ActionNetwork(nn.Module):
    """A local network on a field that also depends on the environment's action.

    For discrete actions the last layer has its outputs once for each action, and all other layers are shared.
    Continuous actions are inputs of every cell, beside the field.

    Args:
        config: sizes.
        inputs, outputs: channels of the field and of the result.
    """

    def __init__(self, config: ModelConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.actions = config.actions if config.discrete else 0
        inputs = inputs if config.discrete else inputs + config.actions
        self.network = LocalNetwork(
            inputs, outputs * max(1, self.actions), config.hidden, config.reach, config.depth, far=config.far
        )

    def forward(self, field: Tensor, actions: Tensor) -> Tensor:
        """The result for each row's action.

        Args:
            field: (B, inputs, rows, cols) float32.
            actions: (B,) int64 where the environment's actions are discrete, else (B, N) float32.

        Returns:
            (B, outputs, rows, cols) float32; 0 for a discrete action that does not exist.
        """
        if not self.actions:
            planes = actions[:, :, None, None].expand(-1, -1, *field.shape[2:])
            return self.network(torch.cat([field, planes], dim=1))
        one_hot = (actions[:, None] == torch.arange(self.actions, device=actions.device)).to(torch.float32)
        return torch.einsum("bauij,ba->buij", self.network(field).unflatten(1, (self.actions, -1)), one_hot)


class ActionBridge(ActionNetwork):
    """`u = bridge(h, z, a)`: the environment's own action as a latent action, given the state.

    It sees the state because latent actions say where things go, not by how much (`docs/how-it-works.md`, Action
    bridge); in each cell it sees a neighbourhood, where rules such as "a wall stops" can be read. Where the model has
    a memory, that is part of the state. Where it leaves something to chance, the outcome in each cell is an input too.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.rank + config.memory + config.outcomes, config.latent_action)
