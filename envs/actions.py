"""The action map of a dream: its environment's own actions, and what its model sees of them."""

from __future__ import annotations

import gymnasium as gym
from gymnasium import spaces

from nova_gym.data.actions import ActionMap
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.tensor_file import DAMAGED, first_line


def dream_actions(dream: Dream) -> ActionMap:
    """The action map of a dream.

    Raises:
        BadInputError: the dream was made from video without actions.
    """
    config, card = dream.world_model.config, dream.card
    if not config.actions:
        raise BadInputError("this dream was made from video without actions: it has latent actions alone")
    if card.action_space:
        try:
            actions = ActionMap.of_dict(card.action_space)
        except DAMAGED as error:
            raise BadInputError(f"the dream's card describes no actions: {first_line(error)}") from error
        if (actions.count, actions.discrete) != (config.actions, config.discrete):
            raise BadInputError(f"the dream's card names other actions than it was made for: {actions.space}")
        return actions
    return ActionMap(spaces.Discrete(config.actions))  # of a dream whose card does not say


def environment_actions(env: gym.Env, env_id: str) -> ActionMap:
    """The action map of a real environment.

    Raises:
        BadInputError: its actions are of a kind that no dream takes; the message says what to do.
    """
    try:
        return ActionMap(env.action_space)
    except BadInputError as error:
        raise BadInputError(f"{env_id}: {error}") from error
