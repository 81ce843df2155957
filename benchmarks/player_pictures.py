"""Draws the pictures of the player in the guide, by playing: `python -m nova_gym.benchmarks.player_pictures`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pygame

from nova_gym.dream import Dream
from nova_gym.editing import LAYERS
from nova_gym.envs.play.player import Player
from nova_gym.envs.play.session import PlaySession
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.pictures import save_png

#: The level, other than the dream's own, of the second picture.
LEVEL = "MiniGrid-FourRooms-v0"
#: Turn right and left, and walk: the actions before the picture.
_STEPS = (2, 1, 2, 2, 0, 2)


def draw(dream: Dream, folder: Path, seed: int = 0) -> list[Path]:
    """Plays some steps and keeps what the window shows.

    Args:
        dream: of MiniGrid.
        folder: for the pictures.
        seed: of the starts.

    Returns:
        The files: `play.png` and `play-rooms.png`, reality left and dream right, in the dream's own level and in
        `LEVEL`; `play-layers.png`, the layers of one moment.
    """
    whole, small = (1000, 760), (480, 365)
    pictures = {
        "play.png": _windows(dream, seed, whole, beside=True),
        "play-rooms.png": _windows(dream_at(dream, LEVEL), seed, whole, beside=True),
        "play-layers.png": _windows(dream, seed, small, layers=LAYERS),
    }
    for name, picture in pictures.items():
        save_png(folder / name, picture)
    return [folder / name for name in pictures]


def _windows(
    dream: Dream, seed: int, size: tuple[int, int], beside: bool = False, layers: Sequence[str] = ("",)
) -> np.ndarray:
    """(H, W, 3) uint8, what the window shows after some steps, once for each layer, side by side."""
    with mock.patch.dict(os.environ, {"SDL_VIDEODRIVER": "dummy"}):
        session = PlaySession(dream, seed)
        player = Player(session, size=size)
        player.message = ""
        try:
            player.viewpoint.beside = beside
            for action in _STEPS:
                session.do(["act", action])
                _seen(player)
            shown = []
            for layer in layers:
                player.viewpoint.layer = layer
                shown.append(_seen(player))
        finally:
            player.close()
    gap = np.full((size[1], 8, 3), 255, dtype=np.uint8)
    parts = [part for window in shown for part in (gap, window)][1:]
    return np.concatenate(parts, axis=1)


def _seen(player: Player) -> np.ndarray:
    """(H, W, 3) uint8, the window once it shows what was asked for."""
    player.show()
    while player.on_screen != player.viewpoint.key:
        player.show()
    return pygame.surfarray.array3d(player.screen).swapaxes(0, 1)


def main() -> None:
    """Draws them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream of MiniGrid (default: minigrid)")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="folder for the pictures (default: docs)")
    parser.add_argument("--seed", type=int, default=0, help="of the starts (default: 0)")
    arguments = parser.parse_args()
    for path in draw(Dream.load(arguments.dream), arguments.output, arguments.seed):
        print(path)


if __name__ == "__main__":
    main()
