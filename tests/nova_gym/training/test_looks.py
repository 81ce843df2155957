"""A recording whose cells have few looks says which, and a dream of it keeps to them."""

from dataclasses import replace

import numpy as np
import torch

from nova_gym.dream import Card, Dream
from nova_gym.model.config import ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training.looks import learn_looks, looks_of, more_looks

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
    learn_looks(model, clips)
    states = model.encode(clips.frames[:50].float() / 255).detach()
    torch.testing.assert_close(model.nearest_look(states), states, atol=1e-5, rtol=0)
    path = tmp_path / "tiles.safetensors"
    Dream(model.requires_grad_(False), {"random": states[:1]}, Card()).save(path)
    torch.testing.assert_close(Dream.load(path).world_model.looks, model.looks, atol=1e-3, rtol=1e-2)


def test_another_recording_adds_the_looks_that_are_new():
    clips = tiles()
    model = WorldModel(replace(SIZES, looks=len(looks_of(clips, (8, 8)))))
    model.encoder.change_basis(20.0 * torch.eye(SIZES.rank), torch.zeros(SIZES.rank))  # as training does, about
    learn_looks(model, clips)
    assert torch.equal(more_looks(model, [clips]), model.looks)
    more = more_looks(model, [clips, tiles(90)])
    assert len(more) == len(model.looks) + len(looks_of(tiles(90), (8, 8))) - 1  # the empty one is the same
    assert more_looks(WorldModel(SIZES), [clips]) is None
