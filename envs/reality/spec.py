"""What recordings and cards of dreams keep to make a real environment again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from nova_gym.errors import BadInputError


@dataclass(frozen=True)
class RealitySpec:
    """A real environment as plain data; `find_reality` gives the `Reality` behind it.

    Attributes:
        env_id: Gymnasium id, `module:` prefix allowed, or `module:callable` of a class or function that makes it.
        env_kwargs: keyword arguments of `gymnasium.make`, or of that callable.
        frame_size: (H, W) of a frame in pixels.
        wrappers: put around the environment, the first one innermost: `module:callable`, or `module:callable {…}` with
            keyword arguments as JSON.
        tile: side in pixels of the square tiles that a frame consists of, 0 for none.
        observation: where the picture is not what `render()` draws but what the environment gives as its observation:
            "" for the observation itself, or the keys to it in a `Dict`, such as `image` or `camera/left`. None for
            `render()`.
        grey: whether frames have one channel instead of three.
        padding: pixels that the environment's own picture gets at its top, bottom, left and right before it is resized,
            so that it consists of whole steps of the grid on which things move.
        step: (h, w) in pixels of a frame of one step of that grid, multiples of 8; 0 along which there is none.

    Raises:
        BadInputError: the keyword arguments are no plain data.
    """

    env_id: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    frame_size: tuple[int, int] = (72, 72)
    wrappers: tuple[str, ...] = ()
    tile: int = 0
    observation: str | None = None
    grey: bool = False
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    step: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """JSON knows lists alone, and no objects."""
        try:
            json.dumps(self.env_kwargs)
        except (TypeError, ValueError) as error:
            raise BadInputError(
                f"the arguments of {self.env_id} must be plain data, so that it can be made again from a file: {error}"
                "; write a function that makes it, and give that as module:callable"
            ) from error
        for name in ("frame_size", "wrappers", "padding", "step"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
