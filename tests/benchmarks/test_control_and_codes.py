"""Benchmarks of learned actions and of generation, on dreams that know nothing yet."""

import copy

import numpy as np
import pytest

from nova_gym.benchmarks import codebook, generation
from nova_gym.envs.reality import grids
from nova_gym.errors import BadInputError


def test_every_step_of_every_walk_has_a_code_and_the_table_accounts_for_all(tiny):
    walks = codebook.walk_at_random(tiny, 4, seed=0)
    figures = codebook.measure(tiny, walks)
    assert sum(row["times"] for row in figures["meaning"]) == 4 * codebook.STEPS
    assert len(figures["meaning"]) == figures["codes used"] <= figures["codes"]
    for row in figures["meaning"]:
        assert sum(row["real actions"].values()) == pytest.approx(1)
    turns = walks.actions <= grids.Actions.right
    turned = (walks.poses[:, 1:, 2] != walks.poses[:, :-1, 2])[turns]
    assert turned.all()  # poses are those of the frames


def test_codes_need_a_codebook(tiny):
    without = copy.deepcopy(tiny)
    without.world_model.codebook = None
    with pytest.raises(BadInputError, match="no codebook"):
        codebook.measure(without, codebook.walk_at_random(without, 1, seed=0))


def test_generation_compares_what_the_control_model_makes_with_the_same_digits_going_on(filmed):
    told = []
    figures = generation.measure(filmed, 2, 24, 1, lambda done, total: told.append((done, total)))
    ways = figures["frames 11 to 20"]
    assert told[-1] == (24, 24)
    assert len({tuple(way["psnr by frame"]) for way in ways.values()}) == len(ways)  # none is another's
    for way in ways.values():
        assert way["psnr"]["low"] <= way["psnr"]["value"] <= way["psnr"]["high"]
        assert np.mean(way["psnr by frame"]) == pytest.approx(way["psnr"]["value"], abs=0.01)
    long = figures["long run"]
    assert 0 < long["median Wasserstein-1"] < 1
    nearly = "true frames ±2 grey levels"  # which only the finer of the two distances minds
    assert long[f"median Wasserstein-1, {nearly}"] < 0.001
    assert long[f"median Jensen–Shannon, {nearly}"] > 0.05
