"""Additive against joint dynamics on MiniGrid, where an edited frame can be compared with the real one."""

from __future__ import annotations

from typing import Any

import numpy as np

from nova_gym.benchmarks.ablations.generation import Figures, measure_dynamics
from nova_gym.benchmarks.ablations.sides import DYNAMICS_SHARES, Side, Workshop
from nova_gym.benchmarks.disentanglement import RETARGETINGS, find_pairs, measure
from nova_gym.data import load_dataset
from nova_gym.dream import Dream
from nova_gym.training import check_recording, preset
from nova_gym.training.representation import encode_all

#: Pairs of clips on held-out layouts.
PAIRS = 128


def train_on_minigrid(workshop: Workshop, dataset: str) -> list[Side]:
    """Both kinds of dynamics on the shipped dream's encoder and a recording, without its labels.

    Raises:
        BadInputError: there is no such recording, or it is of something else.
    """
    dream = Dream.load("minigrid").to(workshop.device)
    clips = load_dataset(dataset, labels=False)
    check_recording(clips, dream, dataset)
    model = dream.world_model
    sides = workshop.dynamics(model, clips, encode_all(model, clips), preset("cpu").training)
    workshop.train(sides, DYNAMICS_SHARES)
    return sides


def measure_on_minigrid(sides: list[Side], seed: int) -> tuple[dict[str, Figures], dict[str, Any]]:
    """On held-out layouts: by side, errors on real clips; by retargeting and side, what `disentanglement` gives."""
    dream = Dream.load("minigrid")
    pairs = find_pairs(dream, PAIRS, "random", np.random.default_rng([seed, 0xAB1A]))
    errors, edited = {}, {name: {} for name in RETARGETINGS}
    for side in sides:
        model = side.measured()
        errors[side.name] = measure_dynamics(model, pairs.content)
        for name, parts in measure(Dream(model, dream.starts, dream.card), pairs).items():
            edited[name][side.name] = parts["all"]
    return errors, edited
