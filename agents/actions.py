"""Action spaces as Stable-Baselines3 takes them: numbers from 0, in one row."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces


def plain_space(space: spaces.Space) -> spaces.Space:
    """The space of an agent's actions, for an environment's own.

    SB3 counts discrete actions from 0, and knows `MultiDiscrete` and `MultiBinary` as a row only. A space that is so
    already is returned as it is.
    """
    if isinstance(space, spaces.Discrete):
        return space if space.start == 0 else spaces.Discrete(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        plain = space.nvec.ndim == 1 and not space.start.any()
        return space if plain else spaces.MultiDiscrete(space.nvec.ravel())
    if isinstance(space, spaces.MultiBinary):
        return space if len(space.shape) == 1 else spaces.MultiBinary(int(np.prod(space.shape)))
    return space


def own_actions(space: spaces.Space, actions: np.ndarray) -> np.ndarray:
    """Actions (N, …) of `plain_space(space)` as members of `space`, (N, *space.shape)."""
    if isinstance(space, spaces.Discrete):
        return actions if space.start == 0 else actions + space.start
    if isinstance(space, spaces.MultiDiscrete):
        return np.reshape(actions, (len(actions), *space.shape)) + space.start
    if isinstance(space, spaces.MultiBinary):
        return np.reshape(actions, (len(actions), *space.shape))
    return actions


class PlainActions(gym.ActionWrapper):
    """An environment that takes an agent's actions (`plain_space`)."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.action_space = plain_space(env.action_space)

    def action(self, action: np.ndarray) -> np.ndarray:
        """One action of the agent as a member of the environment's own space."""
        return own_actions(self.env.action_space, np.asarray(action)[None])[0]
