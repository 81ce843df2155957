"""The figures of dreams of which is known how true they are."""

import json

import numpy as np
import pytest
from walks import Model, dream_of

from nova_gym.envs import evaluate, futures, open_loop
from nova_gym.envs.reality.open_loop import Still
from nova_gym.errors import BadInputError
from nova_gym.measures import PSNR_CAP


@pytest.fixture(autouse=True)
def by_layers(monkeypatch):
    """These models have nothing that could be compiled."""
    monkeypatch.setattr("nova_gym.stepping._compiler", lambda part: None)


def test_a_dream_that_is_true_keeps_up_to_the_end():
    found = open_loop(dream_of(Model()), episodes=24)
    for row in found.frames.values():
        assert row["dream"].value == row["drawn"].value == PSNR_CAP
    assert found.frames[10]["standing still"].value < PSNR_CAP / 2
    assert found.endings["near"].value == found.endings["near, of those that end"].value == 1
    assert found.returns["absolute error"].value == 0
    assert found.settings["spread of returns"] > 0
    above, below = found.film
    assert np.array_equal(above, below)
    assert found.picture().shape == (8 * 2 + 2, 64 * len(above), 3)
    json.dumps(found.to_dict())


def test_a_dream_that_stands_still_is_no_better_than_standing_still():
    found = open_loop(dream_of(Model(moves=False)), episodes=24)
    for row in found.frames.values():
        assert row["dream"] == row["standing still"]
    ended = found.endings["near, of those that end"]
    assert ended.n > 5
    assert ended.value == 0
    assert found.returns["absolute error"].value == pytest.approx(ended.n / 24)


def test_a_policy_may_act_and_ends_are_found_where_they_are():
    found = open_loop(dream_of(Model()), 6, context=2, policy=lambda place, env: 2)
    assert found.endings["near, of those that end"].n == 6
    assert found.frames[1]["dream"].n == 6
    assert 10 not in found.frames  # it takes at most 6 steps to the edge


def test_only_pixels_that_move_count():
    still = Still.of(np.zeros((3, 4, 4, 1), np.uint8) + np.array([0, 0, 200], np.uint8)[:, None, None, None])
    truth, frames = np.zeros((2, 2, 4, 4, 1))
    truth[0, 0, 0], frames[0, 0, 1] = 1.0, 1.0
    ratios = still.psnr(truth, frames)
    assert ratios[0] == pytest.approx(0)  # wrong in both pixels that move, however many stand still
    assert np.isnan(ratios[1])


def test_a_dream_with_the_true_chances_is_as_good_as_reality():
    found = futures(dream_of(Model(slip=0.3), slip=0.3), situations=16, draws=48)
    for name in ("total variation", "total variation, a cell", "endings", "rewards"):
        row = found.measures[name]
        assert row["dream"].value == pytest.approx(row["reality again"].value, abs=0.05)
    assert found.measures["none of the real outcomes"]["dream"].value == 0
    assert found.calibration_error < 0.08
    assert 4 < found.settings["with several outcomes"] <= found.settings["repeated exactly"] == 16
    assert all(sum(example["reality"]) == pytest.approx(1) for example in found.examples)


@pytest.mark.parametrize(("model", "variation", "none"), [(Model(slip=0.9), 0.6, 0), (Model(0.3, mean=True), 1, 1)])
def test_wrong_chances_and_means_of_futures_are_found_out(model, variation, none):
    """Where nothing moves, nothing is random either, so the figures hold for the situations with several outcomes."""
    found = futures(dream_of(model, slip=0.3), situations=16, draws=48)
    several = found.settings["with several outcomes"] / 16
    assert found.measures["total variation"]["dream"].value == pytest.approx(variation * several, abs=0.08)
    assert found.measures["none of the real outcomes"]["dream"].value == pytest.approx(none * several, abs=0.01)
    assert found.measures["total variation"]["reality again"].value < 0.1


def test_chance_that_reality_does_not_show_is_told():
    found = futures(dream_of(Model(slip=0.3), slip=0.0), situations=8, draws=8)
    assert found.settings["note"].startswith("reality has one outcome in every situation")
    assert found.measures["total variation"]["reality again"].value == 0
    assert found.measures["total variation"]["dream"].value > 0.05


def test_eval_reports_both_where_frames_do_not_say_all(shipped):
    report = evaluate(dream_of(Model(slip=0.3), slip=0.3), episodes=4, steps=2).to_dict()
    assert {"heard", "chance"} <= set(report)
    json.dumps(report)
    assert not {"heard", "chance"} & set(evaluate(shipped, episodes=1, steps=1).to_dict())


def test_bad_input_is_refused():
    with pytest.raises(BadInputError, match="at least 1 episode"):
        open_loop(dream_of(Model()), episodes=0)
    with pytest.raises(BadInputError, match="2 draws"):
        futures(dream_of(Model()), draws=1)
