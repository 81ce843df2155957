"""A recording whose cells have few looks says which, and a dream of it keeps to them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nova_gym.data import unlabelled_clips
from nova_gym.dream import Card, Dream
from nova_gym.model.config import ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run, fine_tune, preset, train_further
from nova_gym.training.changes import Changes
from nova_gym.training.looks import MOST, learn_looks, learn_more_looks, looks_of
from nova_gym.training.representation import Representation, crowding, encode_all
from nova_gym.training.train import config_for

from . import toys

SIZES = ModelConfig(frame_size=(8, 96), actions=2)


def tiles(shade=200):
    """Walks of a block from tile to tile."""
    places, actions = toys.walks(toys.pushed)
    frames = toys.drawn(places)
    return toys.clips_of(np.where(frames == frames.max(), np.uint8(shade), frames), actions)


def test_tiles_have_few_looks_and_what_may_be_anywhere_has_none():
    clips = tiles()
    looks = looks_of(clips, (8, 8))
    cells = clips.frames.unflatten(3, (-1, 8)).movedim(3, 1).flatten(0, 1)
    assert {cell.numpy().tobytes() for cell in looks} == {cell.numpy().tobytes() for cell in cells}
    assert len(looks) < 10
    noise = torch.randint(256, clips.frames.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert looks_of(replace(clips, frames=noise), (8, 8)) is None
    assert looks_of(replace(clips, frames=clips.frames.float()), (8, 8)) is None


def test_a_changed_cell_gets_the_nearest_look_and_another_stays_as_it_is():
    model = WorldModel(replace(SIZES, looks=3))
    model.looks.copy_(torch.eye(3, SIZES.rank))
    state = torch.zeros(1, SIZES.rank, 1, 2)
    following = state.clone()
    following[0, 1, 0, 0], following[0, 2, 0, 1] = 0.9, 0.01
    settled = model.settle(state, following, 1e-3)
    assert torch.equal(settled[0, :, 0, 0], model.looks[1])
    assert torch.equal(settled[0, :, 0, 1], state[0, :, 0, 1])
    assert torch.equal(WorldModel(SIZES).settle(state, following, 1e-3)[0, :, 0, 0], following[0, :, 0, 0])


def test_a_step_settles_alike_where_a_graph_is_made_of_it(monkeypatch):
    model, generator = WorldModel(replace(SIZES, looks=5)), torch.Generator().manual_seed(0)
    state, following, looks = (
        torch.randn(*shape, generator=generator)
        for shape in ((3, SIZES.rank, 2, 4), (3, SIZES.rank, 2, 4), (5, SIZES.rank))
    )
    model.looks.copy_(looks)
    following[0] = state[0]
    settled = model.settle(state, following, 1.0)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(settled, model.settle(state, following, 1.0))


def test_looks_that_one_pixel_tells_apart_get_states_that_are_apart():
    frames = torch.zeros(64, 3, 8, 96, dtype=torch.uint8)
    frames[:, :, :, 8:16], frames[::2, :, 3, 27] = 255, 60  # a bright tile, and a dot that is faint
    clips = unlabelled_clips(frames, torch.tensor([63]), {})
    looks, apart = looks_of(clips, (8, 8)), []
    for known in (None, looks):
        model = WorldModel(replace(SIZES, actions=0, looks=len(looks)), torch.Generator().manual_seed(0))
        stage = Representation(model, clips, preset("tiny").training, looks=known)
        optimizer, generator = torch.optim.Adam(stage.parameters(), 3e-3), torch.Generator().manual_seed(0)
        for _ in range(60):
            optimizer.zero_grad()
            stage(stage.batch(generator, 0.0))[0].backward()
            optimizer.step()
        learn_looks(model, looks)
        apart.append(float(crowding(model.looks)))
    assert apart[1] < 0.5 * apart[0]
    assert crowding(torch.ones(4, 2)) == 1.0
    assert crowding(torch.eye(4)) == 0.0


def test_a_cell_on_the_way_to_another_look_costs_alike_however_near_that_is():
    model, changes = WorldModel(replace(SIZES, looks=3)), Changes(1e-5, 1.0)
    near = torch.zeros(3, SIZES.rank)
    near[1, 0], near[2, 1] = 0.1, 10.0  # the first two are a hundred times nearer to each other than to the third
    model.looks.copy_(near)
    before = torch.zeros(4, SIZES.rank, 1, 2)
    before[:, :, 0] = 5.0
    after = before.clone()
    after[:, :, 0, 0] = 0.0  # the first look; the other cell stays as it is
    reached = after.clone()
    reached[1, 0, 0, 0], reached[2, 1, 0, 0], reached[3, 1, 0, 0] = 0.075, 7.5, 2.0
    reached.requires_grad_()
    cost = changes.mistaken(model, before, reached, before, after)
    torch.testing.assert_close(cost.detach(), torch.tensor([0.0, 0.5, 0.5, 0.0]))
    cost.sum().backward()
    assert reached.grad[1, 0, 0, 0] > 0.0
    assert torch.equal(reached.grad[..., 1], torch.zeros(4, SIZES.rank, 1))
    assert torch.isfinite(reached.grad).all()


def test_a_cell_that_is_lost_stays_lost():
    model = WorldModel(replace(SIZES, looks=3))
    model.looks.copy_(torch.eye(3, SIZES.rank))
    state = torch.zeros(1, SIZES.rank, 1, 3)
    state[0, 0, 0, 0], state[0, 0, 0, 1], state[0, 0, 0, 2] = 2000.0, float("nan"), 1.9
    found = model.nearest_look(state)
    assert torch.equal(found[..., :2].nan_to_num(-1.0), state[..., :2].nan_to_num(-1.0))
    assert torch.equal(found[0, :, 0, 2], model.looks[0])


def test_a_dream_knows_the_states_of_all_looks_and_its_file_keeps_them(tmp_path):
    clips = tiles()
    model = WorldModel(replace(SIZES, looks=len(looks_of(clips, (8, 8)))))
    learn_looks(model, looks_of(clips, model.config.cell))
    states = model.encode(clips.frames[:50].float() / 255).detach()
    torch.testing.assert_close(model.nearest_look(states), states, atol=1e-5, rtol=0)
    path = tmp_path / "tiles.safetensors"
    Dream(model.requires_grad_(False), {"random": states[:1]}, Card()).save(path)
    torch.testing.assert_close(Dream.load(path).world_model.looks, model.looks, atol=1e-3, rtol=1e-2)


def test_another_recording_adds_the_looks_that_are_new():
    clips = tiles()
    model = WorldModel(replace(SIZES, looks=len(looks_of(clips, (8, 8)))))
    model.encoder.change_basis(20.0 * torch.eye(SIZES.rank), torch.zeros(SIZES.rank))  # as training does, about
    learn_looks(model, looks_of(clips, model.config.cell))
    before, seen = model.looks.clone(), encode_all(model, clips)
    learn_more_looks(model, seen)
    assert torch.equal(model.looks, before)
    learn_more_looks(model, torch.cat([seen, encode_all(model, tiles(90))]))
    assert len(model.looks) == model.config.looks == len(before) + 1  # the empty one is the same
    learn_more_looks(model, 30.0 * torch.randn(MOST + 1, SIZES.rank, 1, 1))  # anything: it adds nothing
    assert len(model.looks) == len(before) + 1
    free = WorldModel(SIZES)
    learn_more_looks(free, seen)
    assert free.looks is None


def test_a_tuned_dream_knows_what_only_the_new_recording_shows(tiny, clips, tmp_path):
    states = encode_all(tiny.world_model, clips)
    states[:, :, 4, 4] = 3.0
    tuned = fine_tune(tiny, clips, states, 1, 0, Run(tmp_path / "tuned.ckpt", device="cpu")).world_model
    assert tuned.config.looks == len(tuned.looks) == len(tiny.world_model.looks) + 1
    assert torch.equal(tuned.looks[-1], torch.full_like(tuned.looks[-1], 3.0))


def test_a_training_that_goes_on_with_new_looks_is_resumed(tiny, clips, tmp_path):
    later = replace(clips, frames=clips.frames.clone())
    later.frames[:, :, :8, :8] = torch.arange(3, dtype=torch.uint8)[:, None, None] * 100  # a corner of another colour
    checkpoint = tmp_path / "further.ckpt"

    def stop(stage, step, steps, text):
        if stage == "tuning" and step >= 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_further(tiny, [clips, later], preset("tiny"), Run(checkpoint, device="cpu", progress=stop))
    resumed = train_further(tiny, [clips, later], preset("tiny"), Run(checkpoint, device="cpu", resume=True))
    assert resumed.world_model.config.looks == len(tiny.world_model.looks) + 1


def test_many_looks_need_a_wider_step(monkeypatch):
    clips, cpu = tiles(), preset("cpu")
    for count, hidden in ((3, cpu.model.hidden), (4 * cpu.model.hidden, cpu.model.hidden), (256, 64), (4000, 64)):
        monkeypatch.setitem(config_for.__globals__, "looks_of", lambda *_, count=count: torch.zeros(count, 3, 8, 8))
        config = config_for(clips, cpu)
        assert (config.looks, config.hidden) == (count, hidden)
