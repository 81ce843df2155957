from functools import partial

import pytest
import torch

from nova_gym import WorldModel
from nova_gym.editing import LAYERS, Intervention, edit, infer_actions, interpolate, layer
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality.clips import real_clip
from nova_gym.errors import BadInputError
from nova_gym.measures import TILE_TOLERANCE, tile_errors
from nova_gym.training import preset

#: Two batch sizes, or two orders of the same sums, agree to rounding after some steps.
assert_close = partial(torch.testing.assert_close, atol=1e-4, rtol=1e-4)


#: Of the clips here: others than those of the model's own frames, since any will do.
CELLS = (3, 4)


@pytest.fixture(scope="module")
def model():
    """Small and untrained: what is promised of it holds for any weights."""
    return WorldModel(preset("tiny").model).eval().requires_grad_(False)


@pytest.fixture
def states(model):
    return torch.randn(2, 6, model.config.rank, *CELLS, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def motion(model):
    return torch.randn(2, 5, model.config.latent_action, *CELLS, generator=torch.Generator().manual_seed(1))


def roll(model, state, latent_actions):
    states = [state]
    for t in range(latent_actions.shape[1]):
        states.append(model.step(states[-1], latent_actions[:, t]))
    return torch.stack(states, 1)


def test_without_interventions_a_real_clip_comes_out_as_it_was(shipped):
    frames = real_clip(shipped, seed=0, steps=8)
    states = edit(shipped.world_model, encode_frames(shipped, frames)[None])[0]
    dreamt = shipped.world_model.render(states).permute(0, 2, 3, 1).numpy()
    assert (tile_errors(frames / 255.0, dreamt, 8) < TILE_TOLERANCE).mean() > 0.99


def test_content_takes_over_the_motion(model, states):
    alien = states[:, 5] + 1.0
    edited = edit(model, states, [Intervention(2, content=alien)])
    own = infer_actions(model, states)
    assert_close(edited[:, :2], roll(model, states[:, 0], own[:, :1]))
    assert_close(edited[:, 2:], roll(model, alien, own[:, 2:]))


def test_motion_is_replaced_as_long_as_it_lasts(model, states, motion):
    own = infer_actions(model, states)
    edited = edit(model, states, [Intervention(1, motion=motion[:, :2])])
    expected = torch.cat([own[:, :1], motion[:, :2], own[:, 3:]], 1)
    assert_close(edited, roll(model, states[:, 0], expected))


def test_both_at_once_are_the_alien_s_motion_of_the_alien_s_content(model, states, motion):
    alien = states[:, 5]
    edited = edit(model, states, [Intervention(0, content=alien, motion=motion)])
    assert_close(edited, roll(model, alien, motion))


def test_motion_goes_over_in_steps(model, states, motion):
    own = infer_actions(model, states)
    edited = edit(model, states, [Intervention(0, motion=motion, over=4)])
    weights = torch.tensor([0.25, 0.5, 0.75, 1.0, 1.0])[:, None, None, None]
    assert_close(edited, roll(model, states[:, 0], torch.lerp(own, motion, weights)))


def test_of_two_interventions_the_later_in_the_set_holds(model, states):
    first, second = states[:, 4], states[:, 5]
    edited = edit(model, states, [Intervention(1, content=first), Intervention(1, content=second)])
    assert_close(edited[:, 1], second)


def test_interpolation_ends_at_the_target_in_equal_steps(motion):
    path = interpolate(motion[:, 0], motion[:, 1], 4)
    assert_close(path[:, -1], motion[:, 1])
    steps = torch.diff(torch.cat([motion[:, :1], path], 1), dim=1)
    assert_close(steps, steps[:, :1].expand_as(steps))


def test_content_and_motion_add_up_and_the_background_is_the_base(model, states, motion):
    parts = {name: layer(model, name, states[:, 0], motion[:, 0]) for name in LAYERS}
    assert_close(parts["content"] + parts["motion"], model.step(states[:, 0], motion[:, 0]))
    assert_close(model.weights(parts["background"]), model.base.expand(2 * 3 * 4, -1))


def test_in_the_layers_of_the_shipped_dream_the_agent_is_in_the_motion_alone(shipped):
    frames = real_clip(shipped, seed=1, steps=8)
    model, states = shipped.world_model, encode_frames(shipped, frames)
    latent_actions = infer_actions(model, states[None])[0]

    def red(name):
        picture = model.render(layer(model, name, states[:-1], latent_actions)).numpy()
        return ((picture[:, 0] > 0.5) & (picture[:, 1] < 0.3)).sum((1, 2))

    assert red("motion").sum() > 0
    assert red("motion").sum() > 4 * red("content").sum()
    assert red("background").sum() == 0


@pytest.mark.parametrize(
    ("intervention", "message"),
    [
        (Intervention(5), "has 5, from 0 on"),
        (Intervention(-1), "no step -1"),
        (Intervention(0, over=0), "at least 1 step"),
        (Intervention(0, content=torch.zeros(2, 8)), r"content must be \(2, 8, 3, 4\), not \(2, 8\)"),
        (Intervention(0, content=torch.zeros(2, 8, 9, 9)), r"content must be \(2, 8, 3, 4\), not \(2, 8, 9, 9\)"),
        (
            Intervention(0, motion=torch.zeros(1, 5, 4, *CELLS)),
            r"motion must be \(2, steps, 4, 3, 4\), not \(1, 5, 4, 3, 4\)",
        ),
        (Intervention(0, motion=torch.zeros(2, 0, 4, *CELLS)), r"motion must be"),
    ],
)
def test_an_intervention_that_does_not_fit_is_refused(model, states, intervention, message):
    with pytest.raises(BadInputError, match=message):
        edit(model, states, [intervention])


def test_other_bad_input_is_refused(model, states, motion):
    with pytest.raises(BadInputError, match="at least 2 frames"):
        edit(model, states[:, :1])
    with pytest.raises(BadInputError, match="states must be"):
        edit(model, states[0])
    with pytest.raises(BadInputError, match="at least 1 step"):
        interpolate(motion[:, 0], motion[:, 1], 0)
    with pytest.raises(BadInputError, match="not both"):
        interpolate(motion[:, 0], motion[:, 1, :2], 2)
    with pytest.raises(BadInputError, match="background, content, motion"):
        layer(model, "foreground", states[:, 0], motion[:, 0])
