"""Does the field rest on cells being tiles? The recipe of MiniGrid's dream on frames that are shifted by half a tile.

`python -m nova_gym.benchmarks.shifted DATASET -o FILE [--json FILE]` takes a recording of MiniGrid, such as that of the
shipped dream, and pads its frames by half a tile on every side. So each cell holds parts of four tiles. It trains a
dream on them by the recipes of the preset `cpu`, with a wider model, since such a cell shows more. Then it compares the
dream with official levels, open loop. A frame is exact if every tile is within 0.02 mean squared error of the real one.
With `--dream FILE` it measures a dream that it has trained before.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F

from nova_gym import BadInputError, Dream, DreamSimulator
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import interval, show
from nova_gym.data import Clips, load_clips
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.envs.reality.lockstep import Bench, lockstep
from nova_gym.measures import TILE_TOLERANCE, share, tile_errors
from nova_gym.model.config import INRConfig
from nova_gym.terminal import progress_bars
from nova_gym.training import Run, preset, train

LEVELS = tuple(f"MiniGrid-SimpleCrossingS9N{walls}-v0" for walls in (1, 2, 3))
#: Steps after which frames are compared.
CHECKPOINTS = (1, 10, 50, 100)
#: A cell that holds parts of four tiles takes this many more numbers: 31.5 dB with the preset's, too few to be exact.
SIZES = {"rank": 32, "latent_action": 8, "hidden": 48, "inr": INRConfig(width=16)}
#: Pixels a side of a tile in recordings of MiniGrid.
TILE = 8


def shifted(clips: Clips) -> Clips:
    """The clips with frames padded by half a tile of black on every side."""
    return replace(clips, frames=F.pad(clips.frames, (TILE // 2,) * 4))


class _Bench(Bench):
    """Real environments whose frames are padded like the recording's."""

    def frames(self, envs: list[Any]) -> np.ndarray:
        around = (0, 0), (TILE // 2,) * 2, (TILE // 2,) * 2, (0, 0)
        return np.pad(super().frames(envs), around)

    def simulator(self, frames: np.ndarray) -> DreamSimulator:
        """Dreams that start from these frames, which have a row and a column of cells more."""
        states = encode_frames(self.dream, frames)
        simulator = DreamSimulator(self.dream, len(frames), horizon=0, cells=states.shape[2:])
        simulator.reset(states=states)
        return simulator


def measure(dream: Dream, level: str, episodes: int, seed: int) -> dict[str, Any]:
    """Share of exact frames by step, JSON-ready.

    Args:
        dream: trained on `shifted` clips; its card gives the size of frames that are not padded.
        level: id of an official level.
        episodes: how many, each with random actions that do not end it.
        seed: of starts and actions.
    """
    bench = _Bench(dream_at(dream, level), "official", seed)
    envs, exact = [bench.environment() for _ in range(episodes)], {}

    def look(t: int, simulator: DreamSimulator, alive: np.ndarray) -> None:
        if t in CHECKPOINTS:
            rows = np.flatnonzero(alive)
            truth = bench.frames([envs[i] for i in rows]).astype(np.float32) / 255.0
            inner = np.s_[:, TILE // 2 : -(TILE // 2), TILE // 2 : -(TILE // 2)]
            errors = tile_errors(truth[inner], bench.draw(simulator, rows)[inner], TILE)
            exact[f"after {t}"] = share((errors < TILE_TOLERANCE).all((1, 2))).to_dict()

    lockstep(bench, envs, lambda i: bench.harmless_action(envs[i]), max(CHECKPOINTS), look, limited=False)
    for env in envs:
        env.close()
    return exact


def main() -> None:
    """Trains, measures, prints a table and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", help="Minari id of a recording of MiniGrid, in tiles of 8 pixels")
    parser.add_argument("-o", "--output", type=Path, help="file to write the trained dream to, *.safetensors")
    parser.add_argument("--dream", help="measure this dream, which this command has trained before")
    parser.add_argument("--episodes", type=int, default=128, help="episodes on each level (default: 128)")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint beside the output")
    parser.add_argument("--seed", type=int, default=0, help="of training, starts and actions (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.dream is None and (arguments.dataset is None or arguments.output is None):
        parser.error("give a DATASET to train on and a file for the dream, or --dream")
    try:
        dream = Dream.load(arguments.dream) if arguments.dream else _trained(arguments)
        figures = {level: measure(dream, level, arguments.episodes, arguments.seed) for level in LEVELS}
    except BadInputError as error:
        parser.error(str(error))
    rows = [(f"after {t}", *(interval(figures[level][f"after {t}"]) for level in LEVELS)) for t in CHECKPOINTS]
    show("exact frames, cells shifted by half a tile", ("", *LEVELS), rows)
    if arguments.json:
        write_results(arguments.json, {"levels": figures}, arguments.dream or str(arguments.output))


def _trained(arguments: argparse.Namespace) -> Dream:
    chosen = preset("cpu", control=None, **SIZES)
    chosen = replace(chosen, training=replace(chosen.training, seed=arguments.seed))
    with progress_bars() as bars:
        clips = load_clips(arguments.dataset, lambda done, total: bars("reading", done, total))
        height, width = clips.frames.shape[2:]
        run = Run(arguments.output.with_suffix(".ckpt"), resume=arguments.resume, progress=bars)
        dream = train(shifted(clips), arguments.dataset, chosen, run)
    dream.card.frame_size = [height, width]  # that of the real frames, which `measure` pads
    dream.save(arguments.output)
    return dream


if __name__ == "__main__":
    main()
