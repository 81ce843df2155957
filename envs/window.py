"""A window for frames, one of as many as a process likes to have."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import numpy as np

_OPEN: WeakSet[Window] = WeakSet()


class Window:
    """Shows frames in a window of its own, beside whatever other windows there are.

    It never ends pygame's display, which all windows of a process share. Where somebody else does, it opens again with
    the next frame. A copy (`copy.deepcopy`, `pickle`) is a window that has not opened yet.

    Args:
        title: of the window.
        fps: frames a second at most; `show` waits for so long.
    """

    def __init__(self, title: str, fps: float) -> None:
        self.title, self.fps = title, fps
        self._window: Any = None
        self._clock: Any = None

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the open window, pixels; None while it is closed."""
        return self._window.size[::-1] if self._alive() else None

    def show(self, frame: np.ndarray) -> None:
        """Shows a frame (H, W, 3) uint8, in a window as large, and lets the system's events pass."""
        import pygame

        size = frame.shape[1], frame.shape[0]
        if not pygame.display.get_init():
            _close_all()  # it took them along; once it is back, they must not be touched
            pygame.display.init()
        if self._window is None:
            if not _OPEN:
                pygame.register_quit(_close_all)
            self._window, self._clock = pygame.Window(self.title, size), pygame.time.Clock()
            _OPEN.add(self)
        elif self._window.size != size:
            self._window.size = size
        self._window.get_surface().blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()  # who does not ask for events looks frozen to the system
        self._window.flip()
        self._clock.tick(self.fps)

    def close(self) -> None:
        """Closes the window, if it is open, and no other."""
        if self._window is not None:
            self._window.destroy()
            self._window = self._clock = None
            _OPEN.discard(self)

    def _alive(self) -> bool:
        """Whether the window is open, and the display with it."""
        if self._window is None:
            return False
        import pygame

        return pygame.display.get_init()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_window": None, "_clock": None}


def _close_all() -> None:
    """Closes all windows, before pygame ends or after its display did: what opens later may stand in their place."""
    for window in list(_OPEN):
        window.close()
