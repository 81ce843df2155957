"""From video without labels to a dream, and one part of a dream by itself."""

import warnings

import gymnasium as gym
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from typer.testing import CliRunner

from nova_gym import Dream
from nova_gym.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def files(filmed, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filmed.save("filmed.safetensors")
    tiny.save("labelled.safetensors")


def test_video_becomes_a_dream_that_steps_renders_and_generates(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = run("train", digits, "-o", "mine.safetensors", "--preset", "tiny", "--device", "cpu")
    assert trained.exit_code == 0, trained.output
    assert "nova-gym eval" not in trained.output  # there is nothing to measure it by
    dream = Dream.load("mine.safetensors")
    assert not dream.world_model.has_actions
    assert dream.card.env_id == ""
    assert dream.card.horizon == 11
    assert {name: len(bank) for name, bank in dream.starts.items()} == {"clips": 12}
    assert set(dream.card.training["stages"]) >= {"representation", "dynamics", "codebook", "control"}
    assert "tuning" not in dream.card.training["stages"]
    env = gym.make("NovaDream-v0", dream="mine.safetensors", action="codebook", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.reset(seed=0)
    assert len(env.unwrapped.autopilot(5)) == 5
    assert env.render().shape == (32, 32, 3)
    information = run("info", "mine.safetensors")
    assert information.exit_code == 0
    assert "none but latent ones" in information.output
    for command, message in (
        (("eval", "mine.safetensors"), "no real counterpart"),
        (("tune", "mine.safetensors", digits, "-o", "x.safetensors"), "tuning needs a dream with actions"),
    ):
        result = run(*command)
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())


@pytest.mark.parametrize("stage", ["control", "codebook"])
@pytest.mark.parametrize("kind", ["filmed", "labelled"])
def test_a_stage_by_itself_leaves_all_else_to_the_last_bit(stage, kind, files, digits, dataset):
    source = digits if kind == "filmed" else dataset
    options = ("--device", "cpu", "--seed", 7)
    result = run("train", source, "-o", "new.safetensors", "--stage", stage, "--dream", f"{kind}.safetensors", *options)
    assert result.exit_code == 0, result.output
    old, new = Dream.load(f"{kind}.safetensors"), Dream.load("new.safetensors")
    before, after = old.world_model.state_dict(), new.world_model.state_dict()
    others = [name for name in before if not name.startswith(f"{stage}.")]
    assert others == [name for name in after if not name.startswith(f"{stage}.")]
    for name in others:
        assert torch.equal(before[name], after[name]), name
    for name, bank in old.starts.items():
        assert torch.equal(bank, new.starts[name])
    assert any(name not in before or not torch.equal(before[name], after[name]) for name in set(after) - set(others))
    assert new.card.training["parts"][stage]["seed"] == 7
    assert (new.card.env_id, new.card.dead_band) == (old.card.env_id, old.card.dead_band)
    if stage == "codebook":
        assert not new.world_model.codebook.codes[0].any()
        assert new.world_model.codebook.codes.abs().max() <= 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--stage", "control"), "--stage and --dream go together"),
        (("--stage", "dynamics", "--dream", "filmed.safetensors"), "codebook, control, doubt can"),
        (("--stage", "control", "--dream", "labelled.safetensors"), "1 channels; the dream's have 3"),
        (("--reality", "MiniGrid-FourRooms-v0"), "--reality needs a recording of a real environment"),
    ],
)
def test_a_stage_that_cannot_be_trained_is_refused(options, message, files, digits):
    result = run("train", digits, "-o", "new.safetensors", "--preset", "tiny", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
