"""Frames a second of the player: `python benchmarks/play_frames_per_second.py [--json FILE]`.

The player's own loop runs without a window (SDL's dummy driver) while the dream steps at every turn of it, so that no
picture can be used twice. Counted are the pictures that came onto the screen, at most 60 a second, for the loop makes
no more turns. The plain render, the same pictures and nothing else, has its turn in each round, so that a busy machine
slows both; a ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median

os.environ["SDL_VIDEODRIVER"] = "dummy"

from nova_gym import Dream
from nova_gym.envs.interface import to_uint8
from nova_gym.envs.play import Player
from nova_gym.envs.play_session import PlaySession

LEFT = 0


def played(dream: Dream, resolution: int, seconds: float, beside: bool) -> float:
    """Pictures a second on the screen of a player that steps at every turn of its loop."""
    session = PlaySession(dream)
    player = Player(session)
    player.resolution, player.beside = resolution, beside
    pictures, start = set(), time.perf_counter()

    def step() -> bool:
        pictures.add(player.on_screen)
        over = session.now.ended or (session.episode is not None and session.episode.over)
        session.do(["reset"] if over else ["act", LEFT])
        return time.perf_counter() - start > seconds

    player.run(until=step)
    return (len(pictures) - 1) / (time.perf_counter() - start)  # None was in it, before the first


def rendered(dream: Dream, resolution: int, seconds: float) -> float:
    """Pictures a second of the world model alone."""
    state, count, start = PlaySession(dream).now.state, 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        to_uint8(dream.world_model.render(state, (resolution, resolution)))
        count += 1
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream (default: minigrid)")
    parser.add_argument("--resolution", type=int, default=512, help="pixels a side (default: 512)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant (default: 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn (default: 4)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    dream, size, seconds = Dream.load(arguments.dream), arguments.resolution, arguments.seconds
    contestants = {
        "plain render": lambda: rendered(dream, size, seconds),
        "player": lambda: played(dream, size, seconds, beside=False),
        "player with reality beside": lambda: played(dream, size, seconds, beside=True),
    }
    rates = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, measure in contestants.items():
            rates[name].append(measure())
    figures = {}
    print(f"{f'{size}×{size}':30}{'frames/s':>10}{'÷ plain':>10}   spread")
    for name, measured in rates.items():
        ratios = [rate / plain for rate, plain in zip(measured, rates["plain render"], strict=True)]
        figures[name] = {"frames_per_second": median(measured), "ratios": ratios}
        print(f"{name:30}{median(measured):10.1f}{median(ratios):10.2f}   {min(ratios):.2f}–{max(ratios):.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"resolution": size, **figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
