"""What is done with latent actions after training: their coordinates, and the codes."""

import copy

import pytest
import torch

from nova_gym.model.coordinates import change_latent_actions
from nova_gym.training import latent_actions
from nova_gym.training.latent_actions import fit_codebook, moving_cells, settle_latent_actions
from nova_gym.training.representation import encode_all


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model(tiny):
    return copy.deepcopy(tiny.world_model)


@pytest.fixture(scope="module")
def states(tiny, clips):
    return encode_all(tiny.world_model, clips)


def test_settled_latent_actions_fill_the_unit_box_along_their_principal_axes(model, clips, states):
    change_latent_actions(model, 3.0 * torch.randn(4, 4, generator=generator()) + torch.eye(4))
    before, after = states[clips.source], states[clips.source + 1]
    expected = model.step(before, model.infer(before, after))
    settle_latent_actions(model, clips, states)
    inferred = moving_cells(model, clips, states)
    assert inferred.abs().amax(0).tolist() == pytest.approx([1.0] * 4, rel=1e-3)
    moments = inferred.T @ inferred
    assert (moments - moments.diag().diag()).abs().max() < 0.02 * moments.diag().max()
    torch.testing.assert_close(model.step(before, model.infer(before, after)), expected, atol=1e-3, rtol=1e-2)
    assert not model.motion(torch.zeros(1, 4, 2, 2)).any()


def test_code_0_is_0_and_the_others_lie_where_cells_move(model, clips, states):
    found = fit_codebook(model, clips, states, generator())
    book, moving = model.part("codebook"), moving_cells(model, clips, states)
    assert not book.codes[0].any()
    assert found["codes"] == 7
    assert book.usage[0] == 0
    assert book.usage.sum() == pytest.approx(1.0)
    distance = torch.cdist(moving, book.codes[1:]).amin(1).square().mean() / moving.square().sum(1).mean()
    assert found["distance"] == pytest.approx(float(distance), rel=0.05)
    assert distance < 0.5


def test_the_codes_depend_on_the_generator_and_on_nothing_else(model, clips, states):
    codes = []
    for seed in (0, 0, 1):
        fit_codebook(model, clips, states, generator(seed))
        codes.append(model.part("codebook").codes.clone())
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_fewer_motions_than_codes_are_each_a_code(model, clips, states, monkeypatch):
    motions = torch.eye(4)[:3]
    monkeypatch.setattr(latent_actions, "moving_cells", lambda *_: motions.repeat(50, 1))
    found = fit_codebook(model, clips, states, generator())
    assert found["codes"] == 3
    assert found["distance"] == pytest.approx(0.0, abs=1e-9)
    codes = model.part("codebook").codes
    torch.testing.assert_close(torch.unique(codes[1:4], dim=0), torch.unique(motions, dim=0))
    assert not codes[4:].any()
    assert torch.equal(model.nearest_code(model.decode(torch.arange(4).view(1, 2, 2))), torch.arange(4).view(1, 2, 2))


def test_what_hardly_moves_is_no_motion(model, clips, states, monkeypatch):
    """Inverse dynamics never say exactly 0, where nothing moves either."""

    def infer(state, following):
        said = torch.full((len(state), 4, 9, 9), 0.01)
        said[:, :, 3, 4] = 0.5
        said[:, 0, 5, 6] = -0.06
        return said

    monkeypatch.setattr(model, "infer", infer)
    moving = moving_cells(model, clips, states)
    assert moving.shape == (2 * len(clips.source), 4)
    assert torch.unique(moving[:, 0]).tolist() == pytest.approx([-0.06, 0.5])
