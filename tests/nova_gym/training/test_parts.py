"""One part of a dream trained by itself."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nova_gym import Dream
from nova_gym.cli import app
from nova_gym.data import load_clips, moving_digits, unlabelled_clips
from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run, preset, train_part
from nova_gym.training.parts import CODES


def test_a_checkpoint_of_another_part_or_dream_is_not_resumed(tiny, dataset, tmp_path, monkeypatch):
    """What was begun on one dream, or for one part of it, must not end up in another."""
    monkeypatch.chdir(tmp_path)
    tiny.save("labelled.safetensors")
    other = copy.deepcopy(tiny)
    with torch.no_grad():
        other.world_model.base += 1.0
    other.save("other.safetensors")
    checkpoint = Path("new.ckpt")

    def begin(dream, stage, *options):
        command = ("train", dataset, "-o", "new.safetensors", "--device", "cpu", "--stage", stage, "--dream", dream)
        return CliRunner().invoke(app, [*command, *options])

    clips, dream = load_clips(dataset), Dream.load("labelled.safetensors")
    stopping = Run(checkpoint, device="cpu", progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_part(dream, "control", clips, dataset, preset("tiny"), stopping)
    assert checkpoint.exists()
    for name, stage in (("labelled", "codebook"), ("other", "control")):
        result = begin(f"{name}.safetensors", stage, "--resume")
        assert result.exit_code == 2
        assert "belongs to another run" in " ".join(result.output.split())
    assert begin("labelled.safetensors", "control", "--resume").exit_code == 0


def interrupt(stage, step, steps, text=""):
    if stage == "control":
        raise KeyboardInterrupt


def test_a_dream_without_a_part_gets_one(filmed, digits, tmp_path):
    """Also where neither the dream nor its preset has a size for it."""
    model = WorldModel(replace(filmed.world_model.config, codes=0, control=None))
    model.load_state_dict(filmed.world_model.state_dict(), strict=False)
    bare = Dream(model, filmed.starts, filmed.card)
    clips, chosen = load_clips(str(digits)), preset("tiny", codes=0, control=None)
    for part, made in (("codebook", "codes"), ("control", "control")):
        run = Run(tmp_path / f"{part}.ckpt", device="cpu")
        trained = train_part(bare, part, clips, "x", chosen, run).world_model
        assert getattr(trained.config, made)
        assert trained.part(part) is not None
    assert not model.has_codebook
    assert len(train_part(bare, "codebook", clips, "x", chosen, run).world_model.codebook.codes) == CODES


def test_a_part_is_trained_on_frames_of_another_size_too(filmed, tmp_path):
    """Rules are the same everywhere: those of 4 × 4 cells are learned further on 5 × 6."""
    frames = torch.from_numpy(moving_digits(4, seed=1, length=6, size=48))[..., :40, :]
    clips = unlabelled_clips(frames.flatten(0, 1)[:, None], torch.full((4,), 5), {})
    trained = train_part(filmed, "control", clips, "x", preset("tiny"), Run(tmp_path / "c.ckpt", device="cpu"))
    assert trained.world_model.config == filmed.world_model.config


def test_a_part_that_others_depend_on_is_not_trained_by_itself(tiny, clips, dataset, tmp_path):
    for part in ("dynamics", "detail", "heads"):
        with pytest.raises(BadInputError, match="codebook, control, doubt can"):
            train_part(tiny, part, clips, dataset, preset("tiny"), Run(tmp_path / "x.ckpt", device="cpu"))
