"""What a world model of fields promises, whatever its weights."""

import json
from dataclasses import replace

import pytest
import torch

from nova_gym.errors import BadInputError
from nova_gym.model.config import ControlConfig, ModelConfig
from nova_gym.model.heads import NO_ODDS
from nova_gym.model.world_model import WorldModel
from nova_gym.training import PRESETS, preset


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(name="tiny", seed=0, **sizes):
    return WorldModel(preset(name, **sizes).model, generator(seed)).eval().requires_grad_(False)


def field(model, rows, cols, batch=2, seed=0, channels=None):
    return torch.randn(batch, channels or model.config.rank, rows, cols, generator=generator(seed))


@pytest.fixture(scope="module")
def model():
    return made()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_encodes_infers_bridges_steps_and_renders(name):
    model = made(name)
    config, cells = model.config, model.config.cells
    frames = (2, config.inr.channels, *config.frame_size)
    state = model.encode(torch.rand(frames))
    assert state.shape == (2, config.rank, *cells)
    latent_action = torch.rand(2, config.latent_action, *cells)
    if config.actions:
        latent_action = model.translate(state, torch.tensor([0, 6]))
        assert latent_action.shape == (2, config.latent_action, *cells)
    following = model.step(state, latent_action)
    assert following.shape == state.shape
    assert model.infer(state, following).shape == latent_action.shape
    assert model.weights(state).shape == (2 * cells[0] * cells[1], len(model.base))
    assert model.render(state).shape == frames
    assert model.render(state, (20, 30), nyquist=True).shape == (*frames[:2], 20, 30)
    reward, termination, _ = model.outcome(state, latent_action, following)
    assert reward.shape == termination.shape == (2,)


def test_the_paper_s_model_is_one_network_for_the_whole_frame_and_about_40_million_parameters():
    model = made("paper")
    assert model.config.cells == (1, 1)
    assert len(model.base) == model.config.rank == 987
    assert 36e6 < sum(p.numel() for p in model.parameters()) < 44e6


def test_equal_cells_have_equal_states_wherever_they_are_in_frames_of_any_size(model):
    tile = torch.rand(3, 8, 8, generator=generator())
    frames = torch.rand(1, 3, 40, 64, generator=generator(1))
    for row, col in ((0, 0), (2, 3), (4, 7)):
        frames[0, :, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8] = tile
    state = model.encode(frames)
    assert state.shape[2:] == (5, 8)
    alone = model.encode(tile[None])[0, :, 0, 0]
    for row, col in ((0, 0), (2, 3), (4, 7)):
        torch.testing.assert_close(state[0, :, row, col], alone, atol=1e-6, rtol=1e-5)
    assert (state[0, :, 1, 1] - alone).abs().max() > 1e-3


@pytest.mark.parametrize("cell", [(8, 8), (12, 8), (5, 7), (9, 16), (1, 1)])
def test_a_cell_of_any_size_is_encoded_to_its_last_pixel(cell):
    model = made(frame_size=(2 * cell[0], 3 * cell[1]), cell=cell)
    frames = torch.zeros(2, 3, *model.config.frame_size)
    frames[1, :, -1, -1] = 1.0
    before, after = model.encode(frames)
    assert before.shape[1:] == (2, 3)
    assert [(int(r), int(c)) for r, c in (before != after).any(0).nonzero()] == [(1, 2)]


def test_frames_that_do_not_divide_into_cells_are_refused_by_naming_sizes_that_do(model):
    with pytest.raises(BadInputError, match=r"70×72 pixels .* cells of 8×8; sizes near it that do: 64×72 or 72×72"):
        model.encode(torch.rand(1, 3, 70, 72))
    with pytest.raises(BadInputError, match=r"near it that do: 8×8$"):
        model.config.cells_of(3, 5)
    with pytest.raises(BadInputError, match="30×43"):
        _ = ModelConfig(frame_size=(30, 43)).cells


def test_dynamics_are_additive(model):
    states, (first, second) = field(model, 3, 4, 5), torch.randn(2, 1, 4, 3, 4).expand(2, 5, 4, 3, 4)
    motion = model.step(states, first) - model.step(states, second)
    torch.testing.assert_close(motion, motion[:1].expand_as(motion), atol=1e-5, rtol=1e-4)
    latent_action = first.clone()
    torch.testing.assert_close(model.step(states, latent_action), model.content(states) + model.motion(latent_action))


def test_where_the_latent_action_is_0_b_adds_exactly_nothing(model):
    latent_action = field(model, 4, 5, channels=4)
    latent_action[:, :, 1:, 2:] = 0.0
    motion = model.motion(latent_action)
    assert not motion[:, :, 1:, 2:].any()
    assert motion[:, :, 0].abs().amax(1).min() > 0


def test_more_cells_around_change_nothing_in_the_middle():
    """A rule is read within `depth` layers of reach: what lies further away does not matter."""
    model = made()
    far, actions = model.config.depth * (model.config.reach // 2), torch.tensor([2, 5])
    large = field(model, 13, 15)
    small, inner = large[:, :, 1:10, 3:12], (..., slice(far, 9 - far), slice(far, 9 - far))

    def step(state):
        return model.step(state, model.translate(state, actions))

    torch.testing.assert_close(step(large)[:, :, 1:10, 3:12][inner], step(small)[inner], atol=1e-5, rtol=1e-4)
    inferred = model.infer(large, large.flip(0))[:, :, 1:10, 3:12]
    torch.testing.assert_close(inferred[inner], model.infer(small, small.flip(0))[inner], atol=1e-5, rtol=1e-4)
    border = step(large)[:, :, 1:10, 3:12] - step(small)
    assert border.abs().max() > 1e-3  # the rules do see their neighbours


def test_a_cell_within_the_dead_band_stays_to_the_bit_and_one_beyond_it_changes_whole(model):
    state = field(model, 3, 3, batch=1)
    following = state.clone()
    following[0, :, 0, 0] += 0.1  # mean square 0.01
    following[0, :, 1, 2] += 0.3
    settled = model.settle(state, following, 0.05)
    assert torch.equal(settled[0, :, 1, 2], following[0, :, 1, 2])
    rest = torch.ones(3, 3, dtype=torch.bool)
    rest[1, 2] = False
    assert torch.equal(settled[0][:, rest], state[0][:, rest])
    assert torch.equal(model.settle(state, following, 0.0), following)


def changing(model, rows, cols, seed=0):
    """A transition in which the cells (1, 1) and (1, 2) change."""
    state = field(model, rows, cols, seed=seed)
    following, latent_action = state.clone(), 0.3 * field(model, rows, cols, channels=4, seed=seed + 1)
    following[:, :, 1, 1:3] += field(model, 1, 2, seed=9)[:, :, 0]
    return state, latent_action, following


@pytest.mark.parametrize("values", [(0.0, 1.0, 5.0), ()])
def test_reward_and_end_are_read_off_what_changed_and_off_nothing_else(values):
    model = made(reward_values=values)
    state, latent_action, following = changing(model, 4, 4)
    reward, termination, undecided = model.outcome(state, latent_action, following)
    others = torch.ones(4, 4, dtype=torch.bool)
    others[1, 1:3] = False
    elsewhere = [each.clone() for each in (state, latent_action, following)]
    elsewhere[0][:, :, others] += 1.0
    elsewhere[2][:, :, others] += 1.0
    elsewhere[1][:, :, others] -= 1.0
    for got, expected in zip(model.outcome(*elsewhere), (reward, termination, undecided), strict=True):
        torch.testing.assert_close(got, expected)
    larger = [torch.nn.functional.pad(each, (2, 3, 1, 4)) for each in (state, latent_action, following)]
    for got, expected in zip(model.outcome(*larger), (reward, termination, undecided), strict=True):
        torch.testing.assert_close(got, expected)
    following[:, :, 1, 1] += 2.0
    assert (model.outcome(state, latent_action, following)[1] - termination).abs().max() > 1e-4
    assert not values or set(reward.tolist()) <= set(values)


def test_where_nothing_changes_reward_and_end_are_those_of_nothing(model):
    """Whatever the state, and whatever the size of the grid."""
    results = [
        model.outcome(state, 0.5 * state[:, :4], state)
        for state in (field(model, 3, 3, seed=1), field(model, 6, 5, seed=2))
    ]
    for told in results:
        for each, first in zip(told, results[0], strict=True):
            torch.testing.assert_close(each, first[:1].expand(2))


def test_a_model_of_video_has_no_reward_no_end_and_no_actions():
    model = made(actions=0)
    state = field(model, 2, 2)
    reward, termination, undecided = model.outcome(state, state[:, :4], state + 1)
    assert not reward.any()
    assert not termination.any()
    assert (undecided == NO_ODDS).all()
    assert not model.has_actions
    with pytest.raises(BadInputError, match="only latent actions or codes"):
        model.translate(state, torch.tensor([0, 1]))


def test_what_a_model_lacks_says_how_to_get_it():
    model = made(codes=0, control=None)
    for missing, part in (
        (lambda: model.decode(torch.zeros(1, 2, 2, dtype=torch.int64)), "codebook"),
        (lambda: model.fresh_memory(1, (2, 2)), "control"),
    ):
        with pytest.raises(BadInputError, match=f"nova-gym train --stage {part}"):
            missing()


def test_an_action_that_does_not_exist_is_the_latent_action_0(model):
    assert not model.translate(field(model, 3, 3), torch.tensor([-1, 7])).any()


def test_continuous_actions_are_heard_in_every_cell():
    model = made(discrete=False, actions=2)
    state = field(model, 3, 4, batch=1).expand(2, -1, -1, -1)
    latent_action = model.translate(state, torch.tensor([[0.0, 0.0], [0.5, -0.5]]))
    assert (latent_action[0] - latent_action[1]).abs().amax(0).min() > 1e-5


def test_the_weights_of_a_cell_are_the_base_and_its_own_share_of_the_basis(model):
    state = field(model, 2, 3)
    weights = model.weights(state).view(2, 2, 3, -1)
    torch.testing.assert_close(weights[1, 0, 2], model.base + state[1, :, 0, 2] @ model.basis, atol=1e-5, rtol=1e-4)


def test_training_draws_what_is_rendered(model):
    state = field(model, 3, 2)
    drawn = model.draw(state).clamp(0, 1).view(2, 3, 2, 3, 8, 8)  # (B, rows, cols, C, h, w)
    torch.testing.assert_close(
        model.render(state), drawn.permute(0, 3, 1, 4, 2, 5).reshape(2, 3, 24, 16), atol=2 / 255, rtol=0
    )
    assert model.size_of(state) == (24, 16)


def test_a_handful_of_numbers_says_where_and_what(model):
    """`place` and `summarise` are inverse, for each cell of a grid of any size."""
    rows, cols = 3, 5
    for row in range(rows):
        for col in range(cols):
            latent_action = torch.zeros(1, 4, rows, cols)
            latent_action[0, :, row, col] = torch.tensor([0.5, -0.25, 0.1, -1.0])
            numbers = model.summarise(latent_action)
            assert numbers.shape == (1, 6)
            assert numbers.abs().max() <= 1.0
            assert torch.equal(model.place(numbers, (rows, cols)), latent_action)
    corners = torch.tensor([[-1.0, -1.0, 1, 1, 1, 1], [1.0, 1.0, 1, 1, 1, 1], [-7.0, 7.0, 1, 1, 1, 1]])
    placed = model.place(corners, (rows, cols)).any(1)
    assert [tuple(map(int, each.nonzero()[0])) for each in placed] == [(0, 0), (2, 4), (0, 4)]
    assert (placed.flatten(1).sum(1) == 1).all()


def test_of_several_cells_that_move_the_one_that_moves_most_is_told(model):
    latent_action = torch.zeros(1, 4, 4, 4)
    latent_action[0, 0, 1, 1], latent_action[0, 1, 2, 3] = 0.3, -0.9
    placed = model.place(model.summarise(latent_action), (4, 4))
    assert placed[0].any(0).nonzero().tolist() == [[2, 3]]


def test_where_one_network_draws_the_whole_frame_the_numbers_are_the_latent_action():
    model = made(frame_size=(16, 24), cell=(16, 24))
    numbers = torch.rand(3, 4)
    placed = model.place(numbers, (1, 1))
    assert placed.shape == (3, 4, 1, 1)
    assert torch.equal(model.summarise(placed), numbers)


def test_codes_are_nearest_cell_by_cell_and_code_0_is_the_latent_action_0(model):
    codes = torch.randint(0, 8, (2, 3, 4), generator=generator())
    assert torch.equal(model.nearest_code(model.decode(codes)), codes)
    assert not model.decode(torch.zeros(1, 2, 2, dtype=torch.int64)).any()
    assert not model.nearest_code(torch.zeros(1, 4, 2, 2)).any()


def test_a_config_survives_json_and_unknown_fields_and_presets_do_not():
    for chosen in PRESETS.values():
        assert ModelConfig.from_dict(json.loads(json.dumps(chosen.model.to_dict()))) == chosen.model
    bare = replace(PRESETS["tiny"].model, control=None, detail=PRESETS["tiny"].model.inr, blend=True)
    assert ModelConfig.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare
    with pytest.raises(TypeError):
        ModelConfig.from_dict({**bare.to_dict(), "kind": "lstm"})
    with pytest.raises(BadInputError, match="tiny, cpu, single, digits, paper"):
        preset("huge")


def test_making_a_model_leaves_pytorch_s_own_generator_as_it_was_and_depends_on_its_own_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = made(seed=1), made(seed=1), made(seed=2)
    assert torch.equal(torch.rand(3), expected)
    for (name, value), same, different in zip(
        first.state_dict().items(), second.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(value, same), name
        assert (
            not value.is_floating_point() or not value.any() or value.numel() < 9 or not torch.equal(value, different)
        )


def test_a_control_model_of_two_layers_is_a_control_model():
    model = made(control=ControlConfig(hidden=8, layers=2))
    state, memory = field(model, 2, 3), model.fresh_memory(2, (2, 3))
    assert memory.hidden.shape == (2, 2, 8, 2, 3)
    actions, latent_action = model.choose(memory, state)
    assert actions.shape == (2,)
    after = model.remember(memory, state, latent_action)
    assert after.hidden.shape == memory.hidden.shape
    assert torch.equal(after.latent_action, latent_action)
    empty = model.forget(after, torch.tensor([True, False]))
    assert not any(part.narrow(-4, 0, 1).any() for part in empty)


def test_a_frame_of_one_cell_is_encoded_as_by_convolutions():
    config = ModelConfig(frame_size=(24, 40), cell=(24, 40), encoder_widths=(8, 16, 32))
    encoder = WorldModel(config, torch.Generator().manual_seed(0)).part("encoder")
    frames = torch.rand(5, 3, 24, 40)
    expected = encoder.last(encoder.convolutions(frames - 0.5))
    torch.testing.assert_close(encoder(frames), expected, rtol=1e-4, atol=1e-5)
    assert encoder(frames).shape == (5, config.rank, 1, 1)
