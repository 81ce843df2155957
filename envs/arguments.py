"""Checks of what a user gives to an environment: arguments, seeds, and values that should be arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from nova_gym.errors import BadInputError
from nova_gym.tensor_file import DAMAGED, first_line


def as_array(values: Any, what: str) -> np.ndarray:
    """Values as an array.

    Raises:
        BadInputError: they are none, such as rows of different lengths.
    """
    try:
        return np.asarray(values)
    except DAMAGED as error:
        raise BadInputError(f"{what} must be an array of numbers: {first_line(error)}") from error


def check_numbers(max_episode_steps: Any, **flags: Any) -> None:
    """Checks arguments of environments.

    Raises:
        BadInputError: one is of another kind.
    """
    if max_episode_steps is not None and (
        isinstance(max_episode_steps, bool) or not isinstance(max_episode_steps, int | np.integer)
    ):
        raise BadInputError(f"max_episode_steps is a whole number, 0 for never, not {max_episode_steps!r:.80}")
    for name, value in flags.items():
        as_flag(value, name)


def as_flag(value: Any, what: str) -> bool:
    """What is either on or off.

    Raises:
        BadInputError: it is something else.
    """
    if not isinstance(value, bool | np.bool_):
        raise BadInputError(f"{what} is True or False, not {value!r:.80}")
    return bool(value)


def checked_seed(seed: Any) -> int | None:
    """A seed as Gymnasium takes it, which knows Python's own numbers only.

    Raises:
        BadInputError: it is no whole number from 0 on.
    """
    if seed is None:
        return None
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and seed >= 0:
        return int(seed)
    raise BadInputError(f"a seed is a whole number from 0 on, not {seed!r:.80}")


def check_words(given: dict[str, Any]) -> None:
    """Checks that arguments, by their names, are text.

    Raises:
        BadInputError: one is not.
    """
    for name, value in given.items():
        if not isinstance(value, str):
            raise BadInputError(f"{name} is a name, not {type(value).__name__}")
