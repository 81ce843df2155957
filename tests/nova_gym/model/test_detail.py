"""Larger frames have weights of their own, from the same states."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from nova_gym import BadInputError, Dream
from nova_gym.cli import app
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality.scenes import scenes, scenes_of_a_kind
from nova_gym.model import inr
from nova_gym.training import Run, sharpen
from nova_gym.training.detail import different_cells, with_detail

LARGE = (288, 288)


@pytest.fixture(scope="module")
def pictures(tiny):
    drawn = scenes(tiny, 24, 4, seed=0)
    assert [frames.shape[1] for pair in drawn.values() for frames in pair] == [72, 144, 72, 216, 72, 288]
    return {size: tuple(torch.from_numpy(f).permute(0, 3, 1, 2).contiguous() for f in drawn[size]) for size in drawn}


@pytest.fixture(scope="module")
def sharp(tiny, pictures, tmp_path_factory):
    checkpoint = tmp_path_factory.mktemp("sharp") / "sharp.ckpt"
    return sharpen(tiny, pictures, Run(checkpoint, device="cpu"), steps=300)


def test_detail_starts_with_what_the_usual_renderer_draws(tiny):
    sharp, state = with_detail(tiny.world_model, 4), tiny.starts["random"][:3]
    assert sharp.config.detail.frequencies == 4  # 8 periods in 32 pixels: 16 would need more
    assert torch.allclose(sharp.render(state, LARGE), tiny.world_model.render(state, LARGE), atol=1e-3)
    matrix, _ = inr.unflatten(sharp.detail.base[None], sharp.config.detail)[0]
    assert (matrix[0, -4:].abs().sum(1) > 0).all()  # new units read something, or no gradient would reach them


def test_cells_that_look_alike_are_learned_from_once(tiny, pictures):
    cells = different_cells(pictures, tiny.world_model.config.cell)
    for size, (small, large) in cells.items():
        assert small.shape[1:] == (3, 8, 8)
        assert large.shape == (len(small), 3, 8 * size, 8 * size)
        assert 4 < len(small) < 12  # floor, wall, goal, and the agent in four directions, on the floor and on the goal
        assert len({cell.numpy().tobytes() for cell in large}) == len(small)
        averaged = F.avg_pool2d(large.float(), size)
        assert (averaged - small.float()).abs().mean() < 8  # each cell and the same cell drawn larger


def test_large_frames_come_nearer_to_reality(tiny, sharp):
    """On layouts that were not learned from."""
    drawn = scenes_of_a_kind(tiny, "held out", 6, (1, 4), seed=5)
    states, truth = encode_frames(tiny, drawn[1]), torch.from_numpy(drawn[4]).permute(0, 3, 1, 2) / 255.0
    before, after = ((dream.world_model.render(states, LARGE) - truth).square().mean() for dream in (tiny, sharp))
    assert after < 0.93 * before  # this dream can hardly draw at all, and is taught for seconds


def test_everything_else_stays_as_it_was(tiny, sharp):
    """Latents, and with them agents, stay valid; so do the dream's own frames and its scores."""
    old = tiny.world_model.state_dict()
    for name, value in sharp.world_model.state_dict().items():
        assert name.startswith("detail.") or torch.equal(value, old[name])
    state = tiny.starts["random"][:2]
    for size in (None, 36, 72):
        assert torch.equal(tiny.world_model.render(state, size), sharp.world_model.render(state, size))
    assert torch.equal(
        tiny.world_model.render(state, LARGE, nyquist=True), sharp.world_model.render(state, LARGE, nyquist=True)
    )
    assert not tiny.world_model.has_detail


def test_what_was_measured_before_still_holds(tiny, pictures, tmp_path):
    scored = replace(tiny, card=replace(tiny.card, scores={"random": {"exact": 1.0}}))
    assert sharpen(scored, pictures, Run(tmp_path / "s.ckpt", device="cpu"), steps=2).card.scores == scored.card.scores


def test_detail_draws_what_is_larger_and_only_octaves_that_its_pixels_sample(sharp):
    detail = sharp.world_model.detail
    assert [detail.suits(*size) for size in ((4, 4), (8, 8), (8.1, 8), (32, 32))] == [False, False, True, True]
    assert int(detail.mask(32, 32).sum()) == 2 + 4 * 4 == len(detail.mask(32, 32))
    assert int(detail.mask(4, 32).sum()) == 2 + 2 * 4 + 2 * 2  # never fewer than for the dream's own pixels


def test_the_file_keeps_detail(sharp, tmp_path):
    sharp.save(tmp_path / "sharp.safetensors")
    loaded = Dream.load(tmp_path / "sharp.safetensors")
    assert loaded.world_model.config == sharp.world_model.config
    assert torch.allclose(loaded.world_model.detail.basis, sharp.world_model.detail.basis, atol=1e-2)
    printed = CliRunner().invoke(app, ["info", str(tmp_path / "sharp.safetensors")]).output
    assert "learned up to 288×288" in " ".join(printed.split())


def test_a_sharp_dream_can_be_sharpened_anew(sharp):
    again = with_detail(sharp.world_model, 3)
    assert again.config.detail.frequencies == 4


def test_training_goes_on_where_it_was_stopped(tiny, pictures, tmp_path):
    def stop(stage, step, steps, text=""):
        if step >= 210:
            raise KeyboardInterrupt

    whole = sharpen(tiny, pictures, Run(tmp_path / "whole.ckpt", device="cpu"), steps=220)
    with pytest.raises(KeyboardInterrupt):
        sharpen(tiny, pictures, Run(tmp_path / "half.ckpt", device="cpu", progress=stop), steps=220)
    resumed = sharpen(tiny, pictures, Run(tmp_path / "half.ckpt", device="cpu", resume=True), steps=220)
    assert torch.equal(whole.world_model.detail.basis, resumed.world_model.detail.basis)
    with pytest.raises(BadInputError, match="belongs to another run"):
        sharpen(tiny, pictures, Run(tmp_path / "half.ckpt", device="cpu", resume=True), steps=221)


def test_the_command_makes_a_sharp_dream(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.save("tiny.safetensors")
    run = CliRunner().invoke
    command = ["sharpen", "tiny.safetensors", "-o", "sharp.safetensors", "--factor", "2", "--scenes", "4"]
    result = run(app, [*command, "--steps", "5", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "144×144" in result.output
    assert Dream.load("sharp.safetensors").world_model.has_detail
    assert run(app, command).exit_code == 2  # it is there already
    refused = run(app, [*command, "--overwrite", "--factor", "8"])
    assert refused.exit_code == 2
    assert "7 sizes need at least as many scenes" in " ".join(refused.output.split())


def test_what_cannot_be_sharpened_is_refused(tiny, filmed, pictures, tmp_path):
    run = Run(tmp_path / "x.ckpt", device="cpu")
    with pytest.raises(BadInputError, match="at least twice as large"):
        sharpen(tiny, {}, run)
    with pytest.raises(BadInputError, match="video without actions"):
        sharpen(filmed, pictures, run)
