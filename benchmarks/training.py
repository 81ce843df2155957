"""Time of an optimiser step in each stage of training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from nova_gym.benchmarks.figures import Figure, figures_beside
from nova_gym.data import Clips
from nova_gym.training import Run, preset, train
from nova_gym.training.loop import STAGES

#: Steps of a clip, and number of clips: enough for every batch. Their content does not affect the speed.
_LENGTH, _CLIPS = 80, 40
#: Optimiser steps in each stage of a round.
STEPS = 20

Progress = Callable[[int, int], None]


def measure_training(rounds: int, progress: Progress) -> dict[str, list[Figure]]:
    """Milliseconds of one step of each stage with preset `cpu`, beside 100 GFLOP of matrix products."""
    chosen = preset("cpu")
    recipes = {name: replace(getattr(chosen.training, name), steps=STEPS, warmup=2) for name in STAGES}
    chosen = replace(chosen, training=replace(chosen.training, **recipes))
    clips, matrix = _noise(), torch.rand(2048, 2048)
    spent: dict[str, list[float]] = {"100 GFLOP of matrix products": [], **{name: [] for name in recipes}}
    for done in range(rounds):
        began = time.perf_counter()
        for _ in range(6):
            matrix @ matrix
        a_gigaflop = (time.perf_counter() - began) / (6 * 2 * 2048**3 / 1e9)
        spent["100 GFLOP of matrix products"].append(1000.0 * 100.0 * a_gigaflop)
        with TemporaryDirectory() as folder:
            dream = train(clips, "noise", chosen, Run(Path(folder) / "bench.ckpt", device="cpu"))
        for name in recipes:
            spent[name].append(1000.0 * dream.card.training["stages"][name]["seconds"] / STEPS)
        progress(done + 1, rounds)
    return {"milliseconds of a step of training": figures_beside(spent, "ms")}


def _noise() -> Clips:
    """Clips of noise, of the same size as MiniGrid's."""
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.integers(0, 256, (_CLIPS * (_LENGTH + 1), 3, 72, 72), dtype=np.uint8))
    count = _CLIPS * _LENGTH
    clip = torch.arange(count) // _LENGTH
    return Clips(
        frames=frames,
        actions=torch.from_numpy(rng.integers(0, 7, count)),
        rewards=torch.zeros(count).index_fill(0, torch.tensor([_LENGTH - 1]), 1.0),
        terminations=torch.zeros(count, dtype=torch.bool).index_fill(0, torch.tensor([_LENGTH - 1]), True),
        lengths=torch.full((_CLIPS,), _LENGTH),
        starts=("official",) * _CLIPS,
        source=torch.arange(count) + clip,
        remaining=_LENGTH - torch.arange(count) % _LENGTH,
        metadata={},
        action_count=7,
    )
