"""The action map of a dream: its environment's own actions, and what its model sees of them."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from nova_gym.actions import ActionMap
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError


def dream_actions(dream: Dream) -> ActionMap:
    """The action map of a dream.

    Raises:
        BadInputError: the dream was made from video without actions.
    """
    config, card = dream.world_model.config, dream.card
    if not config.actions:
        raise BadInputError("this dream was made from video without actions: it has latent actions alone")
    if card.action_space:
        return ActionMap.of_dict(card.action_space)
    if config.discrete:
        return ActionMap(spaces.Discrete(config.actions))
    low, high = (np.asarray(bound, np.float32) for bound in card.action_bounds)
    return ActionMap(spaces.Box(low, high, dtype=np.float32), scaled=False)


def environment_actions(env: gym.Env, env_id: str) -> ActionMap:
    """The action map of a real environment.

    Raises:
        BadInputError: its actions are of a kind that no dream takes; the message says what to do.
    """
    try:
        return ActionMap(env.action_space)
    except BadInputError as error:
        raise BadInputError(f"{env_id}: {error}") from error
