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

    def __post_init__(self) -> None:
        """JSON knows lists alone, and no objects."""
        try:
            json.dumps(self.env_kwargs)
        except (TypeError, ValueError) as error:
            raise BadInputError(
                f"the arguments of {self.env_id} must be plain data, so that it can be made again from a file: {error}"
                "; write a function that makes it, and give that as module:callable"
            ) from error
        object.__setattr__(self, "frame_size", tuple(self.frame_size))
        object.__setattr__(self, "wrappers", tuple(self.wrappers))
