"""The ablations run in seconds, both sides get the same, and what they measure tells good from bad."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from nova_gym import stepping
from nova_gym.benchmarks.ablations import __main__ as command
from nova_gym.benchmarks.ablations import generation, on_minigrid, retargeting, sides
from nova_gym.benchmarks.ablations.models import JointDynamics, VectorModel, field, one_network, parameter_count
from nova_gym.benchmarks.ablations.parts import seconds_of
from nova_gym.data import unlabelled_clips
from nova_gym.model.dynamics import ForwardDynamics
from nova_gym.model.world_model import WorldModel
from nova_gym.training import PRESETS, Recipe, preset
from nova_gym.training.optimizers import learning_rate
from nova_gym.training.representation import change_coordinates, encode_all, of_cells, pixel_metric
from nova_gym.training.timing import recipe_in_time
from nova_gym.training.train import config_for


@pytest.fixture
def small(monkeypatch):
    """Presets of the size of `tiny`, and little to train and measure on."""
    tiny = preset("tiny", codes=0)
    monkeypatch.setitem(PRESETS, "digits", tiny)
    monkeypatch.setitem(PRESETS, "cpu", tiny)

    def one(kind):
        return replace(tiny, whole=True, model=replace(tiny.model, reach=1))

    monkeypatch.setattr(sides, "STATES", {name: (k, one if f is one_network else f) for name, (k, f) in STATES.items()})
    monkeypatch.setattr(sides, "CLIPS", 40)
    monkeypatch.setattr("nova_gym.training.representation.pixel_metric", partial(pixel_metric, probes=64))
    for module, name, value in (
        (generation, "CLIPS", 4),
        (generation, "LONG_CLIPS", 4),
        (generation, "LONG", 12),
        (retargeting, "PAIRS", 4),
        (on_minigrid, "PAIRS", 4),
        (on_minigrid, "EPISODES", 2),
        (on_minigrid, "STEPS", 2),
        (on_minigrid, "CROSSINGS", on_minigrid.CROSSINGS[:1]),
        (stepping, "_compiler", lambda part: None),  # compiling a step takes longer than all of these
    ):
        monkeypatch.setattr(module, name, value)
    return tiny


STATES = dict(sides.STATES)


@pytest.mark.slow
def test_the_command_gives_all_sides_the_same_time_and_measures_them(small, dataset, tmp_path, monkeypatch, capsys):
    target, minutes = tmp_path / "ablations.json", 0.004
    arguments = ["ablations", "--minutes", str(minutes), "--dataset", dataset, "--json", str(target)]
    monkeypatch.setattr("sys.argv", arguments)
    command.main()
    report = json.loads(target.read_text())
    for where, shares in (("moving digits", sides.SHARES), ("MiniGrid", sides.MINIGRID_SHARES)):
        state = report["state"]["sides"][where]
        assert list(state) == ["field", "one network", "vector latent"]
        for stage, share in shares.items():
            trained = [side["stages"][stage] for side in state.values()]
            assert all(entry["steps"] >= 1 and entry["seconds"] >= 60 * minutes * share for entry in trained)
    figures = report["state"]["figures"]["moving digits"]
    lead = figures["field − vector latent"]["reconstruction: PSNR"]
    values = [figures[side]["reconstruction: PSNR"]["value"] for side in ("field", "vector latent")]
    assert lead["value"] == pytest.approx(values[0] - values[1])
    assert lead["low"] < lead["value"] < lead["high"]
    assert set(report["state"]["figures"]["MiniGrid"]["field"]) == {
        f"{on_minigrid.CROSSINGS[0]}, step {step}: exact" for step in (1, 2)
    }
    assert set(report["dynamics"]["sides"]) == {"moving digits", "MiniGrid"}
    assert set(report["dynamics"]["sides"]["MiniGrid"]["joint"]["stages"]) == {"dynamics"}
    assert report["editing"]["sides"]["field"] == report["state"]["sides"]["moving digits"]["field"]  # trained once
    numbers = [
        value
        for part in ("state", "dynamics", "editing")
        for columns in report[part]["figures"].values()
        for rows in columns.values()
        for figure in rows.values()
        for value in figure.values()
    ]
    assert all(map(math.isfinite, numbers))
    shown = capsys.readouterr().out
    assert all(f"{part}:" in shown for part in ("state", "dynamics", "editing"))


@pytest.mark.parametrize(
    ("parts", "dataset", "wanted"),
    [
        (["state"], None, 3),
        (["state", "dynamics", "editing"], None, 5),
        (["dynamics"], None, 2.35),
        (["dynamics", "editing"], None, 3),
        (["editing"], None, 1),
        (["state", "dynamics", "editing"], "x", 10),
    ],
)
def test_the_time_is_known_beforehand(parts, dataset, wanted):
    """In times of one side: three states and two dynamics, each once for digits and once for MiniGrid."""
    assert seconds_of(parts, 2.0, dataset) == pytest.approx(120.0 * wanted)


@pytest.mark.parametrize("wrong", [["flying"], ["--minutes", "0"], ["--minutes", "nan"], ["--seed", "-1"]])
def test_nonsense_is_refused_before_anything_is_trained(wrong, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ablations", *wrong])
    with pytest.raises(SystemExit) as refused:
        command.main()
    assert refused.value.code == 2
    assert "must be" in (said := capsys.readouterr().err) or "there are state, dynamics, editing" in said


@pytest.mark.parametrize("uneven", [0.0, 0.3])
def test_a_stage_ends_with_its_time_and_its_schedule_runs_over_that(uneven):
    recipe = Recipe(steps=5, batch=1, learning_rate=1.0)
    state, rates = {"step": 0, "seconds": 0.0, "budget": 60.0}, []
    while state["step"] < (now := recipe_in_time(recipe, state)).steps:
        rates.append(learning_rate(now, state["step"]))
        assert state["step"] / now.steps == pytest.approx(state["seconds"] / 60.0, abs=0.3)
        spent = state["seconds"] + 0.1 * (1 + uneven * (state["seconds"] > 30))
        state = {**state, "step": state["step"] + 1, "seconds": spent}
    assert 60.0 <= state["seconds"] + 1e-6 < 60.2
    assert max(rates) > 0.95
    assert rates[0] < 0.3 * max(rates)
    assert rates[-1] == pytest.approx(0.01, abs=0.005)


@pytest.mark.parametrize("kind", ["digits", "minigrid"])
def test_sides_differ_in_one_thing(kind):
    size, channels = ((64, 64), 1) if kind == "digits" else ((72, 72), 3)
    frames = torch.zeros(2, channels, *size, dtype=torch.uint8)
    clips = unlabelled_clips(frames, torch.tensor([1]), {})
    config = config_for(clips, one_network(kind))
    assert config.cells == (1, 1)
    network, vector = (model(config, torch.Generator().manual_seed(3)) for model in (WorldModel, VectorModel))
    same = ("encoder", "forward_dynamics", "inverse_dynamics", "control")
    values = {name: value for name, value in network.state_dict().items() if name.startswith(same)}
    assert all(torch.equal(value, vector.state_dict()[name]) for name, value in values.items())
    drawing = [parameter_count(model.part("renderer")) for model in (network, vector)]
    assert drawing[1] == pytest.approx(drawing[0], rel=0.05)
    config = config_for(clips, field(kind))
    assert parameter_count(JointDynamics(config)) == pytest.approx(parameter_count(ForwardDynamics(config)), rel=0.05)


def test_a_decoder_is_drawn_and_its_coordinates_change_as_those_of_weights_do(small):
    clips = sides.Workshop(1.0, 0, 1.0, Path("nowhere"), None).digits["vector latent"].clips
    config = config_for(clips, replace(small, whole=True))
    model = VectorModel(config, torch.Generator().manual_seed(0)).requires_grad_(False)
    states = encode_all(model, clips)
    before = model.render(states[:4])
    assert before.shape == (4, 1, 64, 64)
    cells = of_cells(states)
    change_coordinates(model, cells, pixel_metric(model, cells, torch.Generator().manual_seed(0), probes=64))
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
