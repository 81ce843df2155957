import pytest
import torch

from nova_gym.data import to_unit
from nova_gym.errors import BadInputError
from nova_gym.model.config import ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training import PRESETS, preset
from nova_gym.training.dynamics import scale_latent_actions
from nova_gym.training.representation import change_coordinates, pixel_metric


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_encodes_infers_bridges_steps_and_renders(name):
    model = WorldModel(preset(name).model)
    config = model.config
    frames = (2, config.inr.channels, *config.frame_size)
    state = model.encode(torch.rand(frames))
    assert state.shape == (2, config.rank)
    latent_action = torch.rand(2, config.latent_action)
    if config.actions:
        latent_action = model.translate(state, torch.tensor([0, 6]))
    following = model.step(state, latent_action)
    assert following.shape == state.shape
    assert model.infer(state, following).shape == (2, config.latent_action)
    assert model.weights(state).shape == (2, len(model.base))
    assert model.render(state).shape == frames
    assert model.render(state, (20, 30), nyquist=True).shape == (*frames[:2], 20, 30)


def test_the_paper_s_size_is_about_40_million_parameters():
    count = sum(p.numel() for p in WorldModel(preset("paper").model).parameters())
    assert 36e6 < count < 44e6


def test_dynamics_are_additive():
    model = WorldModel(preset("tiny").model)
    states, (first, second) = torch.randn(5, 16), torch.randn(2, 1, 4).expand(2, 5, 4)
    motion = model.step(states, first) - model.step(states, second)
    torch.testing.assert_close(motion, motion[:1].expand_as(motion), atol=1e-5, rtol=1e-4)


def test_a_config_survives_json_and_unknown_presets_do_not():
    import json

    for chosen in PRESETS.values():
        assert ModelConfig.from_dict(json.loads(json.dumps(chosen.model.to_dict()))) == chosen.model
    with pytest.raises(BadInputError, match="tiny, cpu, digits, paper"):
        preset("huge")


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(ValueError, match="encodes 72×72"):
        WorldModel(preset("tiny").model).encode(torch.rand(1, 3, 64, 64))


def test_sizes_that_the_stride_does_not_divide_are_encoded_to_the_edge():
    model = WorldModel(preset("tiny", frame_size=(30, 43)).model)
    frames = torch.zeros(2, 3, 30, 43)
    frames[1, :, -1, -1] = 1.0
    states = model.encode(frames)
    assert (states[0] != states[1]).any()


def test_new_coordinates_draw_the_same_frames(clips):
    model = WorldModel(preset("tiny").model)
    frames = to_unit(clips.frames[:64])
    with torch.no_grad():
        states = model.encode(frames)
        before = model.render(states)
        metric = pixel_metric(model, states, torch.Generator().manual_seed(0), probes=256)
        change_coordinates(model, states, metric)
        states = model.encode(frames)
        torch.testing.assert_close(model.render(states), before, atol=1e-3, rtol=0)
    assert states.square().mean() == pytest.approx(1.0, rel=0.05)
    variances = states.var(0)
    assert (variances[:-1] >= variances[1:] - 1e-4).all()  # principal directions, largest first


def test_what_nobody_sees_does_not_count_in_coordinates(clips):
    model = WorldModel(preset("tiny").model)
    frames = to_unit(clips.frames[:64])
    with torch.no_grad():
        model.base[-3:] += 20.0  # the last biases, one a channel: all is white, far beyond the range
        states = model.encode(frames)
        counted = [
            pixel_metric(model, states, torch.Generator().manual_seed(0), probes=64, clip=clip)
            for clip in (False, True)
        ]
        assert counted[0].trace() > 0
        assert not counted[1].any()
        change_coordinates(model, states, counted[1])
    assert model.encode(frames).square().mean().item() == pytest.approx(1.0, rel=0.05)


def test_scaled_latent_actions_predict_the_same_and_fill_the_unit_box():
    model = WorldModel(preset("tiny").model)
    states = torch.randn(500, 16)
    with torch.no_grad():
        before = model.infer(states[:-1], states[1:])
        expected = model.step(states[:-1], before)
        scale_latent_actions(model, before)
        after = model.infer(states[:-1], states[1:])
        torch.testing.assert_close(model.step(states[:-1], after), expected, atol=1e-4, rtol=1e-3)
    assert after.abs().max() == pytest.approx(1.0, rel=1e-3)
    assert after.mean(0).abs().max() < 1e-3
