"""States and latent actions in other coordinates: every frame and every prediction stays."""

import pytest
import torch

from nova_gym.data import to_unit
from nova_gym.model.coordinates import change_latent_actions, change_states
from nova_gym.model.world_model import WorldModel
from nova_gym.training import preset
from nova_gym.training.representation import change_coordinates, of_cells, pixel_metric, settle_coordinates


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(**sizes):
    return WorldModel(preset("tiny", **sizes).model).eval().requires_grad_(False)


def test_new_axes_of_states_draw_the_same_frames():
    model, matrix, mean = made(), torch.randn(8, 8, generator=generator()) + 3 * torch.eye(8), torch.randn(8)
    frames = torch.rand(2, 3, 24, 32, generator=generator(1))
    before, drawn = model.encode(frames), model.render(model.encode(frames))
    change_states(model, matrix, torch.linalg.inv(matrix), mean)
    after = model.encode(frames)
    expected = torch.einsum("ij,bjrc->birc", matrix, before - mean[:, None, None])
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(model.render(after), drawn, atol=2 / 255, rtol=0)


def test_settled_coordinates_draw_the_same_frames_and_states_have_mean_square_1(clips):
    model = made()
    frames = to_unit(clips.frames[:64])
    before = model.render(model.encode(frames))
    settle_coordinates(model, clips, generator())
    states = model.encode(to_unit(clips.frames))
    torch.testing.assert_close(model.render(model.encode(frames)), before, atol=2 / 255, rtol=0)
    assert states.square().mean() == pytest.approx(1.0, rel=0.05)
    assert of_cells(states).mean(0).abs().max() < 1e-2
    variances = of_cells(states).var(0)
    assert (variances[:-1] >= variances[1:] - 1e-4).all()  # principal directions, largest first


def test_what_nobody_sees_does_not_count_in_coordinates(clips):
    model = made()
    frames = to_unit(clips.frames[:64])
    model.base[-3:] += 20.0  # the last biases, one a channel: all is white, far beyond the range
    states = of_cells(model.encode(frames))
    counted = [pixel_metric(model, states, generator(), probes=256, clip=clip) for clip in (False, True)]
    assert counted[0].trace() > 0
    assert not counted[1].any()
    change_coordinates(model, states, counted[1])
    assert model.encode(frames).square().mean().item() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(
    "sizes", [{}, {"discrete": False, "actions": 2}, {"actions": 0, "control": None, "codes": 0}], ids=str
)
def test_new_axes_of_latent_actions_change_no_prediction(sizes):
    """Neither of the step, nor of reward and end, codes, the bridge or the control model."""
    model = made(**sizes)
    state, following = torch.randn(2, 3, 8, 4, 5, generator=generator())
    actions = torch.tensor([0, 3, 6]) if model.config.discrete else torch.rand(3, 2)
    if model.has_control:  # what it makes of the past must not change either
        for tensor in (model.control.linear, model.control.constant):
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator(3)))
        past = torch.rand(3, 4, 4, 5, generator=generator(2))

    def predictions(change):
        latent_actions = {"inferred": model.infer(state, following)}
        if model.has_actions:
            latent_actions["bridge"] = model.translate(state, actions)
        if model.has_codebook:
            latent_actions["codes"] = model.decode(torch.arange(8).repeat(3, 10)[:, :20].view(3, 4, 5))
        if model.has_control:
            memory = model.remember(model.fresh_memory(3, (4, 5)), state, change(past))
            latent_actions["control"] = model.part("control").decode(memory, state)
        found = {}
        for name, latent_action in latent_actions.items():
            reached = model.step(state, latent_action)
            found |= {name: reached, f"outcome of {name}": torch.stack(model.outcome(state, latent_action, reached))}
        return found

    matrix = torch.randn(4, 4, generator=generator(1)) + 2 * torch.eye(4)
    before = predictions(lambda u: u)
    change_latent_actions(model, matrix)
    after = predictions(lambda u: torch.einsum("ij,bjrc->birc", matrix, u))
    for name, expected in before.items():
        torch.testing.assert_close(after[name], expected, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: name + text)
    assert not model.motion(torch.zeros(1, 4, 2, 2)).any()
