"""The ablations run in seconds, both sides get the same, and what they measure tells good from bad."""

import json
import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nova_gym import simulator
from nova_gym.benchmarks.ablations import __main__ as command
from nova_gym.benchmarks.ablations import generation, on_minigrid, retargeting, sides
from nova_gym.benchmarks.ablations.models import JointDynamics, VectorModel, parameter_count
from nova_gym.model.config import INRConfig
from nova_gym.model.dynamics import ForwardDynamics
from nova_gym.model.world_model import WorldModel
from nova_gym.training import PRESETS, Recipe, Run, preset
from nova_gym.training.loop import learning_rate
from nova_gym.training.representation import change_coordinates, encode_all, pixel_metric

DIGITS = preset("digits", codes=0).model


@pytest.fixture
def small(monkeypatch):
    """Preset `digits` of the size of `tiny`, and little to train and measure on."""
    tiny = preset("tiny", codes=0, frame_size=(64, 64), actions=0, inr=INRConfig(1, 4, 8, 2))
    monkeypatch.setitem(PRESETS, "digits", tiny)
    monkeypatch.setattr(sides, "CLIPS", 40)
    monkeypatch.setattr("nova_gym.training.representation.pixel_metric", partial(pixel_metric, probes=64))
    for module, name, value in (
        (generation, "CLIPS", 4),
        (generation, "LONG_CLIPS", 4),
        (generation, "LONG", 12),
        (retargeting, "PAIRS", 4),
        (on_minigrid, "PAIRS", 4),
        (simulator, "_compiler", lambda: None),  # compiling a step takes longer than all of these
    ):
        monkeypatch.setattr(module, name, value)
    return tiny


def test_the_command_gives_both_sides_the_same_time_and_measures_both(small, dataset, tmp_path, monkeypatch, capsys):
    target, minutes = tmp_path / "ablations.json", 0.015
    arguments = ["ablations", "--minutes", str(minutes), "--dataset", dataset, "--json", str(target)]
    monkeypatch.setattr("sys.argv", arguments)
    command.main()
    report = json.loads(target.read_text())
    state = report["inr"]["sides"]
    assert set(state) == {"INR state", "vector latent"}
    for stage, share in sides.SHARES.items():
        trained = [side["stages"][stage] for side in state.values()]
        assert all(entry["steps"] >= 1 and entry["seconds"] >= 60 * minutes * share for entry in trained)
    kept = [{k: v for k, v in side["parameters"].items() if k != "renderer"} for side in state.values()]
    assert kept[0] == kept[1]
    figures = report["inr"]["figures"]["moving digits"]
    lead = figures["INR state − vector latent"]["reconstruction: PSNR"]
    values = [figures[side]["reconstruction: PSNR"]["value"] for side in state]
    assert lead["value"] == pytest.approx(values[0] - values[1])
    assert lead["low"] < lead["value"] < lead["high"]
    assert set(report["dynamics"]["sides"]) == {"moving digits", "MiniGrid"}
    assert set(report["dynamics"]["sides"]["MiniGrid"]["joint"]["stages"]) == {"dynamics", "unrolling"}
    assert report["editing"]["sides"]["INR state"] == state["INR state"]  # trained once
    numbers = [
        value
        for part in ("inr", "dynamics", "editing")
        for columns in report[part]["figures"].values()
        for rows in columns.values()
        for figure in rows.values()
        for value in figure.values()
    ]
    assert all(map(math.isfinite, numbers))
    shown = capsys.readouterr().out
    assert all(f"{part}:" in shown for part in ("inr", "dynamics", "editing"))


@pytest.mark.parametrize("wrong", [["flying"], ["--minutes", "0"], ["--minutes", "nan"], ["--seed", "-1"]])
def test_nonsense_is_refused_before_anything_is_trained(wrong, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ablations", *wrong])
    with pytest.raises(SystemExit) as refused:
        command.main()
    assert refused.value.code == 2
    assert "must be" in (said := capsys.readouterr().err) or "there are inr, dynamics, editing" in said


@pytest.mark.parametrize("uneven", [0.0, 0.3])
def test_a_stage_ends_with_its_time_and_its_schedule_runs_over_that(uneven):
    recipe = Recipe(steps=5, batch=1, learning_rate=1.0)
    loop = sides.TimedLoop(None, 0, Run(Path("nowhere")), budget=60.0)
    state, rates = {"step": 0, "seconds": 0.0}, []
    while state["step"] < (now := loop.recipe(SimpleNamespace(recipe=recipe), state)).steps:
        rates.append(learning_rate(now, state["step"]))
        assert state["step"] / now.steps == pytest.approx(state["seconds"] / 60.0, abs=0.3)
        state = {"step": state["step"] + 1, "seconds": state["seconds"] + 0.1 * (1 + uneven * (state["seconds"] > 30))}
    assert 60.0 <= state["seconds"] + 1e-6 < 60.2
    assert max(rates) > 0.95
    assert rates[0] < 0.3 * max(rates)
    assert rates[-1] == pytest.approx(0.01, abs=0.005)


def test_sides_differ_in_one_thing():
    nova, vector = (kind(DIGITS, torch.Generator().manual_seed(3)) for kind in (WorldModel, VectorModel))
    same = ("encoder", "forward_dynamics", "inverse_dynamics", "control")
    values = {name: value for name, value in nova.state_dict().items() if name.startswith(same)}
    assert all(torch.equal(value, vector.state_dict()[name]) for name, value in values.items())
    for config in (DIGITS, preset("cpu").model, preset("paper").model):
        nova, vector = WorldModel(config), VectorModel(config)
        decoder = parameter_count(vector.base, vector.basis, vector.decoder)
        assert decoder == pytest.approx(parameter_count(nova.base, nova.basis), rel=0.05)
        additive = parameter_count(ForwardDynamics(config))
        assert parameter_count(JointDynamics(config)) == pytest.approx(additive, rel=0.05)


def test_a_decoder_is_drawn_and_its_coordinates_change_as_those_of_weights_do(small):
    clips = sides.Workshop.clips.func(SimpleNamespace(seed=0))  # the data alone
    model = VectorModel(small.model, torch.Generator().manual_seed(0)).requires_grad_(False)
    states = encode_all(model, clips)
    before = model.render(states[:4])
    assert before.shape == (4, 1, 64, 64)
    change_coordinates(model, states, pixel_metric(model, states, torch.Generator().manual_seed(0), probes=64))
    changed = encode_all(model, clips)
    assert float(changed.square().mean()) == pytest.approx(1.0, abs=0.01)
    torch.testing.assert_close(model.render(changed[:4]), before, atol=1e-3, rtol=0)
    drawn = model.render(changed[:4], as_bytes=True)
    assert (drawn.permute(0, 3, 1, 2) / 255.0 - model.render(changed[:4])).abs().max() <= 0.51 / 255
    with pytest.raises(ValueError, match="one size"):
        model.render(changed[:4], 128)


def test_retargeting_tells_the_truth_from_a_copy_and_from_nothing():
    pairs = retargeting.digit_pairs(16, seed=0)
    shown = {
        name: clips[:, retargeting.AT + 1 :, ..., None] / np.float32(255)
        for name, clips in (("truth", pairs.truths[1]), ("copy", pairs.motion), ("no edit", pairs.content))
    }
    figures = {name: retargeting.measure_clips(clips, pairs) for name, clips in shown.items()}
    content, leaked, moved = figures["truth"]
    assert (figures["truth"][content] == 1.0).all()
    assert figures["truth"][moved].max() < 1e-4
    assert (figures["copy"][leaked] == 1.0).all()
    assert figures["copy"][content].mean() < 0.8  # other digits
    assert figures["no edit"][content].mean() < 0.4  # elsewhere
    assert figures["no edit"][moved].mean() > 5 * figures["copy"][moved].mean()
