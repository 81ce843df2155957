"""What an environment of a user's own must keep to, so that an error in it is told in one line."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from nova_gym.data.datasets import LARGEST_REWARD
from nova_gym.errors import BadInputError

_STEP = "observation, reward, terminated, truncated, info"


class Guard(gym.Wrapper):
    """Tells errors of an environment as `BadInputError`: what failed, how, and where.

    It also looks at what the environment gives, and keeps what it is given from being changed by it: actions are
    copied.

    Args:
        env: made by the user.
        name: of the environment, for messages.

    Raises:
        BadInputError: the environment has no action space.
    """

    def __init__(self, env: gym.Env, name: str) -> None:
        super().__init__(env)
        self._name = name
        if not isinstance(getattr(env, "action_space", None), gym.Space):
            raise BadInputError(f"{name!r} has no action_space, which must be a gymnasium.spaces.Space")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As `gymnasium.Env.reset`.

        Raises:
            BadInputError: it fails, or gives something else than an observation and `info`.
        """
        given = {name: value for name, value in (("seed", seed), ("options", options)) if value is not None}
        found = self._told(f"reset({', '.join(f'{name}=…' for name in given)})", lambda: self.env.reset(**given))
        if not isinstance(found, tuple) or len(found) != 2:
            raise BadInputError(f"reset() of {self._name!r} gave {_kind(found)}, not (observation, info)")
        return found

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As `gymnasium.Env.step`; the reward is a float.

        Raises:
            BadInputError: it fails, gives something else than five values, or a reward that is no finite number.
        """
        given = action.copy() if isinstance(action, np.ndarray) else action
        found = self._told("step(action)", lambda: self.env.step(given))
        if not isinstance(found, tuple) or len(found) != 5:
            raise BadInputError(f"step() of {self._name!r} gave {_kind(found)}, not ({_STEP})")
        observation, reward, terminated, truncated, info = found
        return observation, self._number(reward), terminated, truncated, info

    def render(self) -> Any:
        """As `gymnasium.Env.render`.

        Raises:
            BadInputError: it fails.
        """
        return self._told("render()", self.env.render)

    def close(self) -> None:
        """As `gymnasium.Env.close`; where that fails, a warning says so, for nothing depends on it any more."""
        try:
            self.env.close()
        except Exception as error:  # the environment's own code raises what it likes
            warnings.warn(f"close() of {self._name!r} fails: {_cause(error)}", stacklevel=2)

    def _number(self, reward: Any) -> float:
        try:
            number = float(reward) if np.ndim(reward) == 0 else None
        except (TypeError, ValueError):
            number = None
        if number is None or not abs(number) <= LARGEST_REWARD:  # so is NaN
            accepted = f"one number of at most {LARGEST_REWARD:.1e} either way"
            raise BadInputError(f"step() of {self._name!r} gave the reward {reward!r}; accepted is {accepted}")
        return number

    def _told(self, what: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except BadInputError:
            raise
        except Exception as error:  # the environment's own code raises what it likes
            raise BadInputError(f"{what} of {self._name!r} fails: {_cause(error)}") from error


def _kind(found: Any) -> str:
    return f"{len(found)} values" if isinstance(found, tuple) else type(found).__name__


def _cause(error: Exception) -> str:
    """An error in one line: its kind, its message, and the last line of code that it came from."""
    said = " ".join(str(error).split()) or "without a message"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {said} ({frames[-1].filename}:{frames[-1].lineno})"
