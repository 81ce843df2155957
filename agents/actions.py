"""Action spaces as Stable-Baselines3 takes them: numbers from 0, in one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.type_aliases import PolicyPredictor


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


def as_policy(agent: PolicyPredictor) -> Callable[[np.ndarray, gym.Env], Any]:
    """An agent as `record` takes a policy; its actions are drawn."""

    def act(observation: np.ndarray, env: gym.Env) -> Any:
        return own_actions(env.action_space, agent.predict(observation[None], deterministic=False)[0])[0]

    return act


class PlainActions(gym.ActionWrapper):
    """An environment that takes an agent's actions (`plain_space`)."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.action_space = plain_space(env.action_space)

    def action(self, action: np.ndarray) -> np.ndarray:
        """One action of the agent as a member of the environment's own space."""
        return own_actions(self.env.action_space, np.asarray(action)[None])[0]
