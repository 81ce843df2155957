"""One part of a dream trained by itself."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nova_gym import Dream
from nova_gym.cli import app
from nova_gym.data import load_clips
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run, preset, train_part
from nova_gym.training.codebook import CodebookStage
from nova_gym.training.dynamics import bound_latent_actions
from nova_gym.training.representation import encode_all


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
        train_part(dream, "codebook", clips, dataset, preset("tiny"), stopping)
    assert checkpoint.exists()
    for name, stage in (("labelled", "control"), ("other", "codebook")):
        result = begin(f"{name}.safetensors", stage, "--resume")
        assert result.exit_code == 2
        assert "belongs to another run" in " ".join(result.output.split())
    assert begin("labelled.safetensors", "codebook", "--resume").exit_code == 0


def interrupt(stage, step, steps, text=""):
    if stage == "codebook":
        raise KeyboardInterrupt


def test_a_dream_without_a_codebook_gets_one(filmed, digits, tmp_path):
    """Also where neither the dream nor its preset has a size for it."""
    dream = filmed
    model = WorldModel(replace(dream.world_model.config, codes=0))
    model.load_state_dict({k: v for k, v in dream.world_model.state_dict().items() if "codebook" not in k})
    bare = preset("tiny", codes=0)
    made = train_part(
        Dream(model, dream.starts, dream.card),
        "codebook",
        load_clips(str(digits)),
        "x",
        bare,
        Run(tmp_path / "b.ckpt", device="cpu"),
    )
    assert len(made.world_model.codebook.codes) == 256


def test_a_dead_code_starts_anew_where_latent_actions_are(filmed, digits):
    clips = load_clips(str(digits))
    stage = CodebookStage(
        copy.deepcopy(filmed.world_model), clips, encode_all(filmed.world_model, clips), preset("tiny").training
    )
    book, inferred = stage.codebook, torch.rand(32, filmed.world_model.config.latent_action)
    with torch.no_grad():
        book.codes[0], book.usage[0] = 100.0, 0.0
    stage._count(inferred, book.nearest(inferred), torch.rand(len(book.codes)))
    assert (inferred == book.codes[0]).all(1).any()
    assert book.usage[0] > 0


def test_tuning_a_dream_with_a_control_model_keeps_its_answers(tiny, clips):
    """Latent actions are scaled anew after tuning: the control model has to speak the new scale."""
    model = copy.deepcopy(tiny.world_model)
    states = encode_all(model, clips)
    with torch.no_grad():
        for layer in (model.inverse_dynamics.network.last, model.bridge.network.last):
            layer.weight *= 1.5
            layer.bias *= 1.5
        model.forward_dynamics.motion_network.first.weight /= 1.5
        model.control.pair.weight[:, model.config.rank :] /= 1.5
        model.control.answer.last.weight *= 1.5
        model.control.answer.last.bias *= 1.5
        before = model.step(states[:8], model.control.decode(model.control.reset(8), states[:8]))
        bound_latent_actions(model, clips, states)
        after = model.step(states[:8], model.control.decode(model.control.reset(8), states[:8]))
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-3)
