"""Pictures in the observations of environments and of Minari datasets, whoever made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from nova_gym.errors import BadInputError

#: A picture of others has at least so many pixels a side; what is smaller is a table of codes, such as MiniGrid's.
LEAST_SIDE = 16
#: Numbers up to this in all frames are codes of things, not brightness.
_CODES = 15


@dataclass(frozen=True)
class ObservedFrames:
    """Where the picture is in an observation, and how it lies there.

    Of stacked frames the last is the picture.

    Attributes:
        key: the way to it in `Dict` and `Tuple` spaces, joined by /; "" for the observation itself.
        shape: of an observation there.
        stack: axis along which whole frames are stacked, None for none.
        channels: axis of the channels in a frame, None without one.
        scale: what brightness is multiplied by to be within 0 to 255.
    """

    key: str
    shape: tuple[int, ...]
    stack: int | None
    channels: int | None
    scale: float

    @property
    def colours(self) -> int:
        """Channels of a frame: 3, or 1 for grey."""
        count = 1 if self.channels is None else self._frame_shape[self.channels]
        return 3 if count % 3 == 0 else 1

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of a frame."""
        height, width = (side for axis, side in enumerate(self._frame_shape) if axis != self.channels)
        return height, width

    def frames_of(self, observations: Any, one: bool = False) -> np.ndarray:
        """The pictures in observations.

        Args:
            observations: of one episode as Minari gives them, or a single one of an environment.
            one: whether it is a single one.

        Returns:
            (T, H, W, C) uint8, C being 3 or 1.
        """
        for key in self.key.split("/") if self.key else ():
            observations = observations[int(key) if isinstance(observations, tuple) else key]
        array = np.asarray(observations)
        array = array[None] if one else array
        if self.stack is not None:
            array = np.take(array, -1, axis=1 + self.stack)
        if self.channels is None:
            array = array[..., None]
        else:
            array = np.moveaxis(array, 1 + self.channels, -1)[..., -self.colours :]
        if array.dtype == np.uint8 and self.scale == 1.0:
            return np.ascontiguousarray(array)
        return np.clip(np.rint(array.astype(np.float64) * self.scale), 0, 255).astype(np.uint8)

    @property
    def _frame_shape(self) -> tuple[int, ...]:
        return tuple(side for axis, side in enumerate(self.shape) if axis != self.stack)


def find_picture(space: spaces.Space, key: str | None, source: str) -> ObservedFrames:
    """Finds the picture in an observation.

    Args:
        space: of the observations.
        key: which one, as in `ObservedFrames`; None for the only one that there is.
        source: whose observations they are, for messages.

    Raises:
        BadInputError: there is no picture, or there are several and `key` names none of them.
    """
    leaves = dict(_leaves(space, ""))
    if key is not None:
        if key not in leaves:
            known = ", ".join(name for name in leaves if name) or "no keys"
            raise BadInputError(f"{source} has no key {key!r}; there are {known}")
        return _layout(key, leaves[key], source)
    found, refused = {}, []
    for name, leaf in leaves.items():
        try:
            found[name] = _layout(name, leaf, source)
        except BadInputError as error:
            refused.append(error)
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise BadInputError(f"{source} holds several pictures: name one of {', '.join(found)}, as DATASET#KEY")
    if len(refused) == 1:
        raise refused[0]
    raise BadInputError(f"{source} holds no frames: none of {', '.join(leaves)} is a picture (H, W, C) of 0 to 255")


def check_not_codes(frames: np.ndarray, source: str) -> None:
    """Checks that frames are pictures, by their values.

    Args:
        frames: (T, H, W, C) uint8, some of them.
        source: for messages.

    Raises:
        BadInputError: all numbers are so small that they are codes of things rather than brightness.
    """
    if frames.size and 0 < frames.max() <= _CODES:
        raise BadInputError(_said(source, f"numbers up to {frames.max()}"))


def _leaves(space: spaces.Space, name: str) -> Iterator[tuple[str, spaces.Space]]:
    inner = space.spaces if isinstance(space, (spaces.Dict, spaces.Tuple)) else None
    if inner is None:
        yield name, space
        return
    for key, part in inner.items() if isinstance(inner, dict) else enumerate(inner):
        yield from _leaves(part, f"{name}/{key}" if name else str(key))


def _layout(key: str, space: spaces.Space, source: str) -> ObservedFrames:
    """How the picture lies in a space.

    Raises:
        BadInputError: it is none.
    """
    where = f"{source}, {key}," if key else source
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3, 4) or space.dtype.kind not in "biuf":
        raise BadInputError(f"{where} holds {_short(space)}, not frames (H, W, C); `nova-gym record` records frames")
    shape = space.shape
    stack = None
    if len(shape) == 4:  # frames of their own channels are stacked along the first axis, or along the last
        stack = 0 if _channels(shape[1:]) is not None else 3
    frame = tuple(side for axis, side in enumerate(shape) if axis != stack)
    channels = _channels(frame)
    sides = [side for axis, side in enumerate(frame) if axis != channels]
    if len(sides) != 2 or min(sides) < LEAST_SIDE:
        raise BadInputError(_said(where, f"arrays {shape}"))
    high, floating = float(space.high.max()), space.dtype.kind == "f"
    if float(space.low.min()) < 0 or not high <= 255:
        raise BadInputError(f"{where} holds numbers of {_short(space)}; frames are 0 to 255, or floats in [0, 1]")
    if not floating and 1 < high <= _CODES:
        raise BadInputError(_said(where, f"numbers up to {high:g}"))
    scale = 255.0 if (floating and high <= 1) or space.dtype.kind == "b" else 1.0
    return ObservedFrames(key, shape, stack, channels, scale)


def _channels(frame: tuple[int, ...]) -> int | None:
    """The axis of the channels in (H, W), (H, W, C) or (C, H, W): the one that is too short for a side."""
    short = [axis for axis, side in enumerate(frame) if side < LEAST_SIDE]
    return short[0] if len(frame) == 3 and len(short) == 1 and short[0] != 1 else None


def _said(where: str, what: str) -> str:
    return (
        f"{where} holds {what}: these look like codes of things, not like a picture of at least "
        f"{LEAST_SIDE}×{LEAST_SIDE} pixels; record what the environment draws with `nova-gym record`"
    )


def _short(space: spaces.Space) -> str:
    if isinstance(space, spaces.Box):
        return f"Box({space.low.min():g}, {space.high.max():g}, {space.shape}, {space.dtype})"
    return str(space)
