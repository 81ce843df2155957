import json

import imageio.v3 as iio
import pytest
from typer.testing import CliRunner

from nova_gym.cli import app


def run(*arguments):
    return CliRunner().invoke(app, ["agent", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def dream_file(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("dream") / "tiny.safetensors"
    tiny.save(path)
    return path


def test_from_training_to_diagnosis(dream_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("--steps", 128, "--dreams", 4, "--evaluations", 1, "--episodes", 2, "--device", "cpu")
    wary = ("--doubt", "penalise")
    trained = run("train", "-o", "agent.safetensors", "--dream", dream_file, *small, "--plot", "curve.png", *wary)
    assert trained.exit_code == 0, trained.output
    assert json.loads((tmp_path / "agent.json").read_text())[-1]["steps"] >= 128
    assert iio.imread(tmp_path / "curve.png").ndim == 3
    assert list((tmp_path / "runs" / "agent").rglob("events*"))
    tested = run("eval", "agent.safetensors", "--dream", dream_file, "--episodes", 2, "--json", "eval.json")
    assert tested.exit_code == 0, tested.output
    assert "gap" in tested.output
    assert set(json.loads((tmp_path / "eval.json").read_text())["gap"]) == {"stochastic", "deterministic"}
    found = run("diagnose", "agent.safetensors", "--dream", dream_file, "--episodes", 2, "--json", "found.json")
    assert found.exit_code == 0, found.output
    diagnosis = json.loads((tmp_path / "found.json").read_text())
    assert diagnosis["parted"]["n"] == 2
    assert diagnosis["doubt"]["steps"] >= 2  # at least one a dream
    assert "doubt of the steps in the dream" in found.output
    again = run("train", "-o", "agent.safetensors", "--dream", dream_file)
    assert (again.exit_code, "--overwrite" in again.output) == (2, True)


def test_an_agent_is_tested_in_another_level_than_its_dream(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rooms = run("eval", "minigrid-ppo", "--reality", "MiniGrid-FourRooms-v0", "--episodes", 1)
    assert rooms.exit_code == 0, rooms.output
    assert "MiniGrid-FourRooms-v0" in rooms.output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("train", "-o", "agent.safetensors", "--algorithm", "trpo"), "ppo, a2c, dqn, sac"),
        (("train", "-o", "agent.safetensors", "--algorithm", "sac"), "sac needs continuous actions"),
        (("train", "-o", "agent.safetensors", "--gamma", 1), "a discount is above 0 and below 1"),
        (("train", "-o", "agent.safetensors", "--minutes", 0), "minutes must be more than 0"),
        (("train", "-o", "agent.safetensors", "--doubt", "hope"), "ignore, truncate, penalise"),
        (("train", "-o", "agent.pt"), "ends in .safetensors, or in .zip"),
        (("train", "-o", "agent.safetensors", "--observation", "sound"), "latent, pixels"),
        (("train", "-o", "agent.safetensors", "--reality", "CartPole-v1"), "another kind"),
        (("eval", "nobody"), "no agent"),
        (("diagnose", "nobody"), "no agent"),
    ],
)
def test_bad_input_is_one_clear_line(command, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*command)
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_zero_episodes_are_refused():
    assert run("eval", "--episodes", 0).exit_code == 2
