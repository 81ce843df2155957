"""What makes a real environment again, as a recording and a dream's card keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RealitySpec:
    """A real environment as plain data; `find_reality` gives the `Reality` behind it.

    Attributes:
        env_id: Gymnasium id, `module:` prefix allowed.
        env_kwargs: keyword arguments of `gymnasium.make`.
        frame_size: height and width of a frame in pixels.
    """

    env_id: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    frame_size: tuple[int, int] = (72, 72)
