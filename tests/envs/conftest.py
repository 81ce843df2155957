"""A player that tests can sit down at: its window is seen by nobody."""

import time

import numpy as np
import pygame
import pytest

from nova_gym.envs.play.player import Player
from nova_gym.envs.play.session import PlaySession


class SeatedPlayer(Player):
    """A player with hands, and the patience to wait for a picture."""

    def press(self, *keys: int) -> None:
        """Presses keys, one after another."""
        for key in keys:
            self.handle(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=""))

    def mouse(self, kind: int, position: tuple[int, int], button: int = pygame.BUTTON_LEFT) -> None:
        """Presses, moves or lets go (`kind`) a mouse button at a position in the window."""
        self.handle(pygame.event.Event(kind, button=button, pos=position, rel=(0, 0), buttons=(1, 0, 0)))

    def click(self, cell: tuple[int, int], button: int = pygame.BUTTON_LEFT) -> None:
        """Clicks into the middle of a cell (row, column) of the dream's picture."""
        (rows, cols), area = self.session.dream.cells, self.view.dream_area
        place = area.x + area.width * (cell[1] + 0.5) / cols, area.y + area.height * (cell[0] + 0.5) / rows
        self.mouse(pygame.MOUSEBUTTONDOWN, tuple(map(round, place)), button)

    def look(self) -> np.ndarray:
        """(W, H, 3) uint8, the window once it shows the picture that was asked for."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.show()
            if self.on_screen == self.viewpoint.key:
                return pygame.surfarray.array3d(self.screen)
            time.sleep(0.01)
        raise AssertionError("the picture never came")


@pytest.fixture
def sit_down(tmp_path):
    """Call it with a dream, and options of `Player`."""
    seated = []

    def sit(dream, **options):
        options = {"folder": tmp_path, "size": (600, 460), **options}
        seated.append(SeatedPlayer(PlaySession(dream), **options))
        return seated[-1]

    yield sit
    for player in seated:
        player.close()


@pytest.fixture
def player(tiny, sit_down):
    """A player of the tiny dream, with an agent that always walks forward."""
    return sit_down(tiny, policy=lambda latent: 2)
