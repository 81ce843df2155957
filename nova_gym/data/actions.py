"""Actions of an environment as a model sees them, and back: one map for recording, dreams and evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from nova_gym.errors import BadInputError

#: Several discrete choices become one where all their combinations are at most so many.
_COMBINED = 64
#: What a space may be besides `Discrete`, or a subclass of it.
_KINDS = (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)
#: Actions of more numbers than this are told by their shape in error messages.
_LISTED = 16
_ADVICE = (
    "accepted are Discrete, MultiDiscrete, MultiBinary and Box with bounds: put a gymnasium.ActionWrapper around it "
    "whose action_space is one of these, --wrapper my_module:MyWrapper"
)


@dataclass(frozen=True)
class ActionMap:
    """Translates between the actions of an environment and those that a model sees.

    A model sees either a number from 0, or a flat vector:

    - `Discrete`, with any start, is a number from 0.
    - `MultiDiscrete` and `MultiBinary` with at most 64 combinations are the number of the combination; with more a
      vector in which each choice has its own numbers, 1 for what is chosen and 0 for the rest.
    - A bounded `Box` of any shape and dtype is a flat vector, scaled to [-1, 1] by its bounds.

    Attributes:
        space: of the environment's actions.
    """

    space: spaces.Space

    def __post_init__(self) -> None:
        """Checks the space.

        Raises:
            BadInputError: actions of this kind cannot be translated.
        """
        space = self.space
        if isinstance(space, spaces.Box):
            with np.errstate(over="ignore"):
                bounded = np.isfinite(space.high.astype(np.float64) - space.low.astype(np.float64)).all()
            if space.dtype.kind not in "biuf" or not bounded or not math.prod(space.shape):
                raise BadInputError(f"actions {space} have no bounds to scale them by; {_ADVICE}")
        elif not isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
            raise BadInputError(f"actions {space} cannot be dreamt; {_ADVICE}")

    @property
    def discrete(self) -> bool:
        """Whether the model sees a number instead of a vector."""
        return not isinstance(self.space, spaces.Box) and self._combinations <= self._limit

    @property
    def count(self) -> int:
        """How many actions the model knows, or the length of its vector."""
        if self.discrete:
            return self._combinations
        return math.prod(self.space.shape) if isinstance(self.space, spaces.Box) else int(self._choices.sum())

    @property
    def shape(self) -> tuple[int, ...]:
        """() where the model sees a number, (count,) where it sees a vector."""
        return () if self.discrete else (self.count,)

    @property
    def dtype(self) -> type:
        """Of what the model sees: int64 or float32."""
        return np.int64 if self.discrete else np.float32

    def to_model(self, actions: Any) -> np.ndarray:
        """Actions of the environment as the model sees them.

        Args:
            actions: (N, …), members of the space. Numbers of a `Box` may exceed its bounds, and are clipped.

        Returns:
            (N,) int64 or (N, count) float32.

        Raises:
            BadInputError: one is no member of the space.
        """
        actions = self._checked(np.asarray(actions))
        if isinstance(self.space, spaces.Box):
            low, high = (bound.astype(np.float64).ravel() for bound in (self.space.low, self.space.high))
            flat = np.clip(actions.reshape(len(actions), -1).astype(np.float64), low, high)
            wide = np.where(high > low, high - low, 1.0)
            return np.where(high > low, 2.0 * (flat - low) / wide - 1.0, 0.0).astype(np.float32)
        chosen = actions.reshape(len(actions), -1).astype(np.int64) - self._start
        if self.discrete:
            return np.ravel_multi_index(tuple(chosen.T), tuple(self._choices)).astype(np.int64)
        ones = np.zeros((len(chosen), self.count), np.float32)
        np.put_along_axis(ones, chosen + self._offsets, 1.0, axis=1)
        return ones

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """What the model sees as actions of the environment, of its dtype.

        Args:
            actions: (N,) int64 from 0, or (N, count) float: of a `Box` within [-1, 1] (clipped), of choices any
                numbers, of which the largest of each choice counts.

        Returns:
            (N, …), members of the space.
        """
        actions, space = np.asarray(actions), self.space
        if isinstance(space, spaces.Box):
            low, high = (bound.astype(np.float64).ravel() for bound in (space.low, space.high))
            share = (np.clip(actions, -1.0, 1.0).astype(np.float64) + 1.0) / 2.0
            numbers = low + share * (high - low)
            if space.dtype.kind != "f":
                numbers = np.rint(numbers)
            members = np.clip(numbers, low, high).astype(space.dtype).reshape(-1, *space.shape)
            return np.clip(members, space.low, space.high)  # a float32 may be rounded out of its own bounds
        if self.discrete:
            chosen = np.stack(np.unravel_index(actions.astype(np.int64), tuple(self._choices)), axis=1)
        else:
            groups = np.split(actions, self._offsets[1:], axis=1)
            chosen = np.stack([group.argmax(1) for group in groups], axis=1)
        return (chosen + self._start).astype(space.dtype).reshape(-1, *space.shape)

    def sample(self, rng: np.random.Generator) -> Any:
        """A member of the space, drawn uniformly by `rng`."""
        if self.discrete:
            return self.to_env(rng.integers(self.count, size=1))[0]
        if isinstance(self.space, spaces.Box):
            return self.to_env(_spread(rng.uniform(-1.0, 1.0, (1, self.count)), self))[0]
        return (rng.integers(self._choices) + self._start).astype(self.space.dtype).reshape(self.space.shape)

    def to_dict(self) -> dict[str, Any]:
        """The space as plain data, for JSON; `of_dict` reads it."""
        space = self.space
        if isinstance(space, spaces.Discrete):
            plain = {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
            return plain if space.dtype == np.int64 else plain | {"dtype": str(space.dtype)}
        kind = next(kind.__name__ for kind in _KINDS if isinstance(space, kind))
        plain = {"kind": kind, "shape": list(space.shape), "dtype": str(space.dtype)}
        if isinstance(space, spaces.Box):
            return plain | {"low": space.low.tolist(), "high": space.high.tolist()}
        if isinstance(space, spaces.MultiDiscrete):
            return plain | {"nvec": space.nvec.tolist(), "start": self._start.reshape(space.shape).tolist()}
        return plain | {"n": np.asarray(space.n).tolist()}

    @classmethod
    def of_dict(cls, plain: dict[str, Any]) -> ActionMap:
        """The map of a space that `to_dict` has described.

        Raises:
            BadInputError: it describes none.
        """
        kind, dtype = plain.get("kind"), np.dtype(plain.get("dtype", "int64"))
        if kind == "Discrete":
            return cls(spaces.Discrete(plain["n"], start=plain["start"], dtype=dtype.type))
        if kind == "MultiDiscrete":
            return cls(spaces.MultiDiscrete(np.array(plain["nvec"]), dtype=dtype, start=np.array(plain["start"])))
        if kind == "MultiBinary":
            shape = plain["shape"]  # all that older files say
            return cls(spaces.MultiBinary(plain.get("n", shape if len(shape) > 1 else shape[0])))
        if kind == "Box":
            low, high = (np.array(plain[key], dtype).reshape(plain["shape"]) for key in ("low", "high"))
            return cls(spaces.Box(low, high, dtype=dtype.type))
        raise BadInputError(f"no action space: {plain}")

    @property
    def _limit(self) -> float:
        return math.inf if isinstance(self.space, spaces.Discrete) else _COMBINED

    @property
    def _choices(self) -> np.ndarray:
        """(choices,) int64, how many possibilities each of the choices has."""
        if isinstance(self.space, spaces.Discrete):
            return np.array([self.space.n], np.int64)
        if isinstance(self.space, spaces.MultiBinary):
            return np.full(math.prod(self.space.shape), 2, np.int64)
        return self.space.nvec.astype(np.int64).ravel()

    @property
    def _combinations(self) -> int:
        return math.prod(self._choices.tolist())

    @property
    def _start(self) -> np.ndarray:
        return np.broadcast_to(np.asarray(getattr(self.space, "start", 0), np.int64).ravel(), self._choices.shape)

    @property
    def _offsets(self) -> np.ndarray:
        return np.cumsum(self._choices) - self._choices

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        """The same actions.

        Raises:
            BadInputError: one is no member of the space.
        """
        shaped = actions.shape[1:] == self.space.shape
        if isinstance(self.space, spaces.Box):
            if not shaped or actions.dtype.kind not in "biuf" or not np.isfinite(actions).all():
                raise BadInputError(f"invalid action {_told(actions)}; each must be finite and of {self.space}")
            return actions
        valid = shaped and actions.dtype.kind in "iu" + "b" * isinstance(self.space, spaces.MultiBinary)
        if valid:
            chosen = actions.reshape(len(actions), -1).astype(np.int64) - self._start
            valid = bool(((chosen >= 0) & (chosen < self._choices)).all())
        if not valid:
            raise BadInputError(f"invalid action {_told(actions)}; each must be a member of {self.space}")
        return actions


def _told(actions: np.ndarray) -> str:
    return repr(actions) if actions.size <= _LISTED else f"array of shape {actions.shape[1:]}, {actions.dtype}"


def _spread(shares: np.ndarray, actions: ActionMap) -> np.ndarray:
    """Shares in [-1, 1] as `to_env` takes them, so that whole numbers at the bounds are drawn as often as others."""
    space = actions.space
    low, high = (bound.astype(np.float64).ravel() for bound in (space.low, space.high))
    numbers = low + (shares + 1.0) / 2.0 * (high - low)
    if space.dtype.kind != "f":
        numbers = np.minimum(np.floor(low + (shares + 1.0) / 2.0 * (high - low + 1.0)), high)
    return np.where(high > low, 2.0 * (numbers - low) / np.where(high > low, high - low, 1.0) - 1.0, 0.0)
