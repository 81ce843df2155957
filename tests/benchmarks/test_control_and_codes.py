"""Benchmarks of learned actions and of generation, on dreams that know nothing yet."""

import copy

import numpy as np
import pytest

from nova_gym.benchmarks import codebook, generation, identity
from nova_gym.data.moving_digits import DIGIT, digit_labels, digits_of, handwritten_digits, labelled_clips
from nova_gym.envs.reality import grids
from nova_gym.errors import BadInputError


@pytest.fixture(scope="module")
def walks(tiny):
    return codebook.walk_at_random(tiny, 4, seed=0)


def test_every_code_of_every_cell_is_in_the_table(tiny, walks):
    figures = codebook.measure(tiny, walks)
    moving = 1.0 - figures["cells in which nothing moves"]
    assert sum(row["times"] for row in figures["meaning"]) == pytest.approx(moving * 4 * codebook.STEPS * 9 * 9, abs=1)
    assert len(figures["meaning"]) <= figures["codes used"] <= figures["codes"]
    for row in figures["meaning"]:
        assert sum(row["real actions"].values()) == pytest.approx(1)
        assert row["code"] != 0
    turns = walks.actions <= grids.Actions.right
    turned = (walks.poses[:, 1:, 2] != walks.poses[:, :-1, 2])[turns]
    assert turned.all()  # poses are those of the frames


def test_a_code_is_told_by_where_the_agent_is_then_as_seen_from_its_cell(walks):
    """Codes are made up here: one for the cell that the agent is in afterwards, one for the cell to its left."""
    codes = np.zeros((4, codebook.STEPS, 9, 9), dtype=np.int64)
    x, y, _ = np.moveaxis(walks.poses[:, 1:], -1, 0)
    walk, step = np.indices(x.shape)
    codes[walk, step, y, x], codes[walk, step, y, x - 1] = 7, 3
    rows = {row["code"]: row for row in codebook.meaning(codes, walks, (8, 8))}
    assert set(rows) == {3, 7}
    assert rows[7]["times"] == rows[3]["times"] == 4 * codebook.STEPS
    assert rows[7]["after the step"].startswith("agent here, facing ")
    assert rows[3]["after the step"].startswith(("agent 1 right, facing ", "the cell stays as it is"))


def test_codes_need_a_codebook(tiny, walks):
    without = copy.deepcopy(tiny)
    without.world_model.codebook = None
    with pytest.raises(BadInputError, match="no codebook"):
        codebook.measure(without, walks)


def test_generation_compares_what_the_control_model_makes_with_the_same_digits_going_on(filmed, monkeypatch):
    monkeypatch.setattr(generation, "NAMED", (12, 100))
    told = []
    figures = generation.measure(filmed, 2, 24, 1, lambda done, total: told.append((done, total)))
    ways = figures["frames 11 to 20"]
    assert told[-1] == (24, 24)
    assert len({tuple(way["psnr by frame"]) for way in ways.values()}) == len(ways)  # none is another's
    for way in ways.values():
        assert way["psnr"]["low"] <= way["psnr"]["value"] <= way["psnr"]["high"]
        assert np.mean(way["psnr by frame"]) == pytest.approx(way["psnr"]["value"], abs=0.01)
    assert set(figures["digits named rightly"]) == {"12"}
    long = figures["long run"]
    assert 0 < long["median Wasserstein-1"] < 1
    nearly = "true frames ±2 grey levels"  # which only the finer of the two distances minds
    assert long[f"median Wasserstein-1, {nearly}"] < 0.001
    assert long[f"median Jensen–Shannon, {nearly}"] > 0.05


def test_two_digits_are_found_where_they_are_apart_and_named_rightly():
    frames, labels, corners = labelled_clips(24, 3, test=True, length=identity.FRAMES)
    frames = frames / 255.0
    for clip, places in zip(frames, corners, strict=True):
        for frame, (first, second) in zip(clip, places, strict=True):
            if (np.abs(first - second) > DIGIT).any():
                assert len(identity.two_digits(frame)) == 2
            if (first == second).all():
                assert not identity.two_digits(frame)
    assert identity.identity(frames, frames, labels)["value"] > 0.9
    assert identity.identity(frames, frames, np.roll(labels, 1, axis=0))["value"] < 0.5
    assert identity.identity(0.0 * frames, frames, labels)["value"] == 0.0  # digits that are gone are wrong


def test_the_classifier_names_digits_of_other_writers():
    digits, labels = handwritten_digits()[digits_of(test=True)] / 255.0, digit_labels()[digits_of(test=True)]
    windows = [identity.window(digit, digit > identity.INK) for digit in digits]
    assert (identity.classifier().predict(windows) == labels).mean() > 0.95
