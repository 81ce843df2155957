"""The benchmarks run, and their figures hang together; how fast anything is, no test asks."""

import json
from dataclasses import replace

import imageio.v3 as iio
import pytest
from typer.testing import CliRunner

from nova_gym.benchmarks import growth, learning, loading, playing, rendering, stepping, training
from nova_gym.benchmarks.figures import figures_beside
from nova_gym.cli import app
from nova_gym.errors import BadInputError
from nova_gym.model.config import INRConfig
from nova_gym.training import PRESETS


def silent(done, total):
    assert 0 < done <= total


def check(tables):
    for figures in tables.values():
        assert figures[0].ratio == 1.0
        for figure in figures:
            assert figure.value > 0
            assert figure.low <= figure.ratio <= figure.high


def test_stepping_compares_each_batch_with_reality(tiny, monkeypatch):
    monkeypatch.setattr(stepping, "LATENT_BATCHES", (1, 3))
    monkeypatch.setattr(stepping, "PIXEL_BATCHES", (2,))
    monkeypatch.setattr(stepping, "PROCESSES", 2)
    tables = stepping.measure_stepping(tiny, 1, 0.01, silent)
    check(tables)
    assert "dream, latents, batch 3" in [figure.name for figure in tables["steps per second, latents"]]


@pytest.mark.slow
def test_rendering_counts_the_operations_of_the_whole_network(tiny, monkeypatch):
    whole = INRConfig(frequencies=6, width=12, layers=5)
    assert rendering.operations_a_pixel(whole) == 2 * (26 * 12 + 4 * 12 * 12 + 12 * 3)
    monkeypatch.setattr(rendering, "SIZES", (8,))
    check(rendering.measure_rendering(tiny, 1, 0.01, silent))


@pytest.mark.slow
def test_growth_is_measured_and_drawn(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "BATCHES", (1, 3))
    monkeypatch.setattr(growth, "SIZES", (8, 16))
    monkeypatch.setattr(growth, "WIDTHS", (4, 8))
    monkeypatch.setattr(growth, "_SIDE", 8)
    tables = growth.measure_growth(tiny, 1, 0.01, silent)
    check(tables)
    assert [figure.name for figure in tables[growth.RESOLUTION]] == ["8 × 8", "16 × 16"]
    growth.draw_growth(tables, tmp_path / "growth.png")
    assert iio.imread(tmp_path / "growth.png").ndim == 3


@pytest.mark.slow
def test_playing_and_learning_and_loading(tiny, monkeypatch):
    monkeypatch.setattr(learning, "DREAMS", 4)
    monkeypatch.setattr(playing, "RESOLUTION", 36)
    check(playing.measure_playing(tiny, 1, 0.3, silent))
    tables = learning.measure_learning(tiny, 1, silent)
    check(tables)
    assert [figure.name for figure in next(iter(tables.values()))] == ["PPO", "the dream", "the policy", "the update"]
    memory = loading.measure_loading("minigrid", 1, silent)["peak memory"]
    assert memory[1].value > memory[0].value
    with pytest.raises(BadInputError, match="cannot be loaded"):
        loading.measure_loading("nobody", 1, silent)


@pytest.mark.slow
def test_training_times_every_stage(monkeypatch):
    monkeypatch.setattr(training, "STEPS", 2)
    monkeypatch.setitem(PRESETS, "cpu", replace(PRESETS["tiny"], name="cpu"))
    tables = training.measure_training(1, silent)
    check(tables)
    assert [figure.name for figure in tables["milliseconds of a step of training"]][1:] == list(training.STAGES)


def test_ratios_are_taken_round_by_round():
    slow, fast = figures_beside({"slow": [1.0, 10.0, 2.0], "fast": [2.0, 40.0, 2.0]}, "s")
    assert (fast.value, fast.ratio, fast.low, fast.high) == (2.0, 2.0, 1.0, 4.0)
    assert slow.ratio == 1.0


def test_the_command_writes_json_and_refuses_unknown_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "SIZES", (8,))
    target = tmp_path / "bench.json"
    done = CliRunner().invoke(app, ["bench", "rendering", "--rounds", "1", "--seconds", "0.01", "--json", str(target)])
    assert done.exit_code == 0, done.output
    assert "fused" in done.output
    written = json.loads(target.read_text())
    assert written["rendering 1 × 8²"][2]["name"] == "fused"
    assert written["measured on"]["dream"]["name"] == "minigrid"
    wrong = CliRunner().invoke(app, ["bench", "loading", "--plot", "x.png"])
    assert (wrong.exit_code, "not among the parts" in wrong.output) == (2, True)
    wrong = CliRunner().invoke(app, ["bench", "flying"])
    assert (wrong.exit_code, "there are stepping" in wrong.output) == (2, True)
