import json
import re

import pytest
from typer.core import TyperArgument
from typer.main import get_command
from typer.testing import CliRunner

from nova_gym import Dream
from nova_gym.cli import app

ENV_ID = "MiniGrid-SimpleCrossingS9N1-v0"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_from_nothing_to_a_measured_dream(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("record", ENV_ID, "--name", "test/cli-v0", "--transitions", 80).exit_code == 0
    trained = run("train", "test/cli-v0", "-o", "mine.safetensors", "--preset", "tiny", "--device", "cpu")
    assert trained.exit_code == 0, trained.output
    assert not (tmp_path / "mine.ckpt").exists()
    assert list((tmp_path / "runs" / "mine").iterdir())
    options = ("--episodes", 4, "--steps", 3, "--json", "scores.json", "--picture", "worst.png", "--write-card")
    assert run("eval", "mine.safetensors", *options).exit_code == 0
    levels = json.loads((tmp_path / "scores.json").read_text())["levels"]
    assert levels[ENV_ID]["open_loop"]["3"]["exact"]["n"] == 4
    assert levels[ENV_ID]["doubt"]["steps"] == 8  # four frames after one step, and four after three
    assert (tmp_path / "worst.png").stat().st_size
    tuned = run("tune", "mine.safetensors", "test/cli-v0", "-o", "tuned.safetensors", "--steps", 3, "--device", "cpu")
    assert tuned.exit_code == 0, tuned.output
    assert "transitions were wrong before" in tuned.output
    assert run("tune", "mine.safetensors", "test/cli-v0", "-o", "tuned.safetensors").exit_code == 2
    info = run("info", "mine.safetensors")
    assert info.exit_code == 0
    assert "held_out_layouts" in info.output


def test_a_recording_of_random_layouts_says_what_it_shows_and_what_it_holds_out():
    recorded = run("record", "NovaLayouts-MiniGrid-v0", "--name", "test/cli-layouts-v0", "--transitions", 60)
    assert recorded.exit_code == 0, recorded.output
    assert "things shown: agent, goal, wall" in recorded.output
    assert "held out: whole families of layouts" in recorded.output
    assert "NovaLayouts-MiniGrid-v0" in run("record", "--help").output


@pytest.mark.slow
def test_a_dream_is_trained_on_one_environment_for_another_and_measured_in_several(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("record", "NovaLayouts-MiniGrid-v0", "--name", "test/mixed-v0", "--transitions", 80).exit_code == 0
    train = ("train", "test/mixed-v0", "-o", "mine.safetensors", "--preset", "tiny", "--device", "cpu", "--reality")
    refused = run(*train, "CartPole-v1")
    assert refused.exit_code == 2
    assert "another kind" in refused.output
    assert not list(tmp_path.glob("mine.*"))  # it says so before it trains
    trained = run(*train, "MiniGrid-Empty-5x5-v0")
    assert trained.exit_code == 0, trained.output
    dream = Dream.load("mine.safetensors")
    assert (dream.card.env_id, dream.card.horizon, dream.cells) == ("MiniGrid-Empty-5x5-v0", 100, (5, 5))
    assert dream.card.data["reality"]["env_id"] == "NovaLayouts-MiniGrid-v0"
    assert all(bank.shape[2:] == (5, 5) for bank in dream.starts.values())
    levels = ("MiniGrid-Empty-5x5-v0", ENV_ID)
    asked = [word for level in levels for word in ("--reality", level)]
    options = ("--episodes", 3, "--steps", 12, "--json", "scores.json", "--picture", "worst.png", "--write-card")
    measured = run("eval", "mine.safetensors", *asked, *options)
    assert measured.exit_code == 0, measured.output
    scores = json.loads((tmp_path / "scores.json").read_text())["levels"]
    assert list(scores) == list(levels)
    assert {figures["settings"]["starts"] for figures in scores.values()} == {"official"}
    assert all(list(figures["open_loop"]) == ["1", "10", "12"] for figures in scores.values())
    assert Dream.load("mine.safetensors").card.scores["levels"] == scores
    assert {path.name for path in tmp_path.glob("*.png")} == {f"worst-{level}.png" for level in levels}


def test_the_demo_draws_and_measures(tmp_path, monkeypatch):
    monkeypatch.setattr("nova_gym.cli.walk.WALKS", 1)
    monkeypatch.setattr("nova_gym.cli.walk.WALK_STEPS", 3)
    monkeypatch.setattr("nova_gym.cli.walk.EPISODES", 4)
    result = run("demo", "-o", tmp_path, "--steps", 0)
    assert result.exit_code == 0, result.output
    assert "batch 256" in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"dream.gif", "frame-8x.png"}


def test_ctrl_c_leaves_a_checkpoint_that_resume_takes_up(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ("train", dataset, "-o", "mine.safetensors", "--preset", "tiny", "--device", "cpu")

    def press(self, stage):
        self.mark("something")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nova_gym.training.loop.Loop.train", press)
        stopped = run(*command)
    assert stopped.exit_code == 130
    assert "--resume" in stopped.output
    assert run(*command).exit_code == 2  # a checkpoint is not thrown away unasked
    assert run(*command, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("record", "Nothing-v0", "--name", "test/nothing-v0"), "cannot make the environment"),
        (("record", ENV_ID, "--name", "not an id", "--transitions", 5), "cannot create the dataset"),
        (("train", "test/nothing-v0", "-o", "x.safetensors"), "nova-gym record"),
        (("train", "test/nothing-v0", "-o", "x.safetensors", "--preset", "huge"), "tiny, cpu, single, digits, paper"),
        (("train", "test/nothing-v0", "-o", "x.ckpt"), "ends in .safetensors"),
        (("eval", "nothing"), "neither a file nor one that ships"),
        (("eval", "minigrid", "--starts", "elsewhere"), "random, official"),
        (("info", "nothing"), "neither a file nor one that ships"),
        (("demo", "--dream", "nothing"), "neither a file nor one that ships"),
        (("eval", "minigrid", "--episodes", 0), "--episodes"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(command, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*command)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output


def commands(command, words=()):
    inner = getattr(command, "commands", {})
    return [found for name in inner for found in commands(inner[name], (*words, name))] or [(words, command)]


@pytest.mark.parametrize(("words", "command"), commands(get_command(app)))
def test_every_command_explains_itself_and_all_its_options(words, command):
    shown = " ".join(run(*words, "--help").output.replace("│", " ").split())
    assert shown.startswith("Usage:")
    assert len(command.help.split("\n\n")) > 1  # what it is for, and how
    for extra in re.findall(r"nova-gym\\?(\[\w+\])", command.help):  # which is no markup
        assert f"nova-gym{extra}" in shown
    for parameter in command.params:
        assert parameter.help, parameter.name
        assert isinstance(parameter, TyperArgument) or parameter.opts[0] in shown
