"""Frames per second of the player."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from unittest import mock

from nova_gym.benchmarks.figures import Figure, figures_of
from nova_gym.benchmarks.speed import in_turns, repeat
from nova_gym.dream import Dream
from nova_gym.envs.play.player import Player
from nova_gym.envs.play.session import PlaySession

RESOLUTION = 512
_LEFT = 0

Progress = Callable[[int, int], None]


def measure_playing(dream: Dream, rounds: int, seconds: float, progress: Progress) -> dict[str, list[Figure]]:
    """Pictures per second on the screen at 512×512, without and with reality beside, against rendering alone.

    The player's own loop runs without a window (SDL's dummy driver), at most 60 times a second. The dream steps each
    time, so each picture must be rendered anew.
    """
    state = PlaySession(dream).now.state
    contestants = {
        "rendering alone": repeat(lambda: dream.world_model.render(state, RESOLUTION, as_bytes=True)),
        "player": lambda seconds: _play(dream, seconds, beside=False),
        "player, reality beside": lambda seconds: _play(dream, seconds, beside=True),
    }
    with mock.patch.dict(os.environ, {"SDL_VIDEODRIVER": "dummy"}):
        speeds = in_turns(contestants, rounds, seconds, progress)
    return {f"player at {RESOLUTION}×{RESOLUTION}": figures_of(speeds, "frames/s")}


def _play(dream: Dream, seconds: float, beside: bool) -> float:
    """Pictures per second on the screen of a player whose dream steps in each turn of the loop."""
    session = PlaySession(dream)
    player = Player(session)
    player.viewpoint.resolution, player.viewpoint.beside = RESOLUTION, beside
    step_on = ["act", _LEFT] if session.discrete else ["latent", player.bars.values]
    pictures, began = set(), time.perf_counter()

    def step() -> bool:
        pictures.add(player.on_screen)
        over = session.now.ended or (session.episode is not None and session.episode.over)
        session.do(["reset"] if over else step_on)
        return time.perf_counter() - began > seconds

    player.run(until=step)
    return (len(pictures) - 1) / (time.perf_counter() - began)  # minus the None before the first picture
