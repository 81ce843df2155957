"""The compiled step is the step of PyTorch, whatever the model and whatever it remembers, and never that of weights
that were."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gym import Card, Dream, DreamSimulator, WorldModel, stepping
from nova_gym.model.config import ModelConfig
from nova_gym.model.dynamics import ForwardDynamics

compiled_step = pytest.importorskip("nova_gym.model.compiled_step", reason="without Numba PyTorch does it all")

#: Odd lengths, so that no loop comes out even.
SMALL = ModelConfig(frame_size=(40, 48), rank=13, latent_action=3, hidden=22, head_hidden=9)
#: The lengths of the dream that ships, and of one whose cells lie anywhere.
EVEN = ModelConfig(frame_size=(72, 72), actions=3)
WIDE = ModelConfig(frame_size=(24, 32), rank=32, latent_action=8, hidden=48)
#: The paper's model: one network for the whole frame.
SINGLE = ModelConfig(frame_size=(72, 72), cell=(72, 72), rank=40, latent_action=6, hidden=70, reach=1)


def dream(seed=0, config=SMALL, **card):
    generator = torch.Generator().manual_seed(seed)
    model = WorldModel(config, generator).eval().requires_grad_(False)
    return Dream(model, {"random": torch.randn(40, config.rank, *config.cells, generator=generator)}, Card(**card))


def started(made, count, horizon=None, seed=0):
    simulator = DreamSimulator(made, count, horizon)
    simulator.reset(generator=torch.Generator().manual_seed(seed), starts="random")
    return simulator


def plain(dreams):
    """The same simulator without the compiled step."""
    other = twin(dreams)
    other._stepper.compiled = lambda: None
    return other


def twin(dreams):
    """The same simulator, which has computed nothing yet."""
    other = DreamSimulator(dreams.dream, dreams.num_dreams, dreams.horizon, dreams.cells)
    other.reset(states=dreams.state)
    return other


def assert_same(given, expected):
    for name, one, other in zip(given._fields, given, expected, strict=True):
        assert one.dtype == other.dtype
        said = f"{name}: {one} instead of {other}"
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, equal_nan=True, msg=said)


def assert_identical(given, expected):
    for name, one, other in zip(given._fields, given, expected, strict=True):
        assert torch.equal(one, other), name


def test_cells_that_change_get_the_nearest_of_few_looks_either_way():
    made = dream(config=replace(SMALL, looks=9))
    looks = made.world_model.looks.normal_(generator=torch.Generator().manual_seed(1))
    dreams = started(made, 5)
    others = plain(dreams)
    assert dreams._stepper.compiled() is not None
    for action in (0, 3, 1):
        result = dreams.step(torch.full((5,), action))
        assert_same(result, others.step(torch.full((5,), action)))
        cells = result.state.movedim(1, -1).flatten(0, 2)
        assert (cells[:, None] == looks).all(2).any(1).all()
    still = replace(made.card, dead_band=1e9)
    dreams = started(Dream(made.world_model, made.starts, still), 5)
    before = dreams.state
    assert torch.equal(dreams.step(torch.zeros(5, dtype=torch.int64)).state, before)


def clear_cut(simulator, state, expected):
    """Dreams of a step in which no decision is so close that rounding, which differs between two ways, may turn it."""
    model, band = simulator.dream.world_model, simulator.dream.card.dead_band
    change = (model.step(state, expected.latent_action) - state).square().mean(1)
    changed = (state != expected.state).any(1)
    reward, termination = model.heads(state, expected.latent_action, expected.state, changed)
    best = reward.topk(min(2, reward.shape[1])).values
    apart = best[:, 0] - best[:, -1] > 1e-3 if best.shape[1] == 2 else torch.ones(len(state), dtype=torch.bool)
    return ((change - band).abs() > 1e-3 * band).flatten(1).all(1) & (termination.abs() > 1e-3) & apart


def moves(simulator, turn, generator):
    """A step of whatever kind, as a method and what it is given; among the actions are some that do not exist."""
    if turn % 3 < 2:
        actions = simulator.dream.world_model.config.actions
        return "step", torch.randint(-1, actions + 1, (simulator.num_dreams,), generator=generator)
    motion = torch.rand(simulator.latent_action.shape, generator=generator) * 2 - 1
    still = torch.rand(simulator.num_dreams, 1, *simulator.cells, generator=generator) < 0.5
    return "step_latent", motion.masked_fill(still, 0.0)


#: The four ways to walk, in rows and columns.
WAYS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def walker(cells=(9, 9), count=8):
    """A dream whose weights are written by hand: an agent walks by four actions, waits by three, and walls stop it.

    The first number of a cell says whether the agent is there, the second whether a wall is.
    """
    config = ModelConfig(frame_size=(8 * cells[0], 8 * cells[1]), reward_values=(0.0, 1.0))
    model, large = WorldModel(config).eval().requires_grad_(False), 10.0  # GELU of which is 10
    for parameter in (*model.bridge.parameters(), *model.forward_dynamics.parameters()):
        parameter.zero_()
    look, find, say = (layer.weight for layer in model.bridge.network.layers)
    look[0, 0, 1, 1] = look[1, 1, 1, 1] = large
    for way, (y, x) in enumerate(WAYS):
        find[2 * way, 0, 1, 1], find[2 * way, 1, 1 + y, 1 + x] = 1.0, -2.0  # it leaves, unless a wall is there
        find[2 * way + 1, 0, 1 - y, 1 - x], find[2 * way + 1, 1, 1, 1] = 1.0, -2.0  # it comes
        say[way * config.latent_action, 2 * way : 2 * way + 2, 0, 0] = torch.tensor([-1.0, 1.0]) / large
    first, last = (layer.weight for layer in model.forward_dynamics.motion_network.layers)
    first[:2, 0, 0, 0] = torch.tensor([large, -large])
    last[0, :2, 0, 0] = torch.tensor([1.0, -1.0]) / large
    states = torch.randn(count, config.rank, *cells, generator=torch.Generator().manual_seed(0))
    states[:, :2] = 0.0
    states[:, 1, [0, -1]] = states[:, 1, :, [0, -1]] = states[:, 1, 2, 3] = 1.0
    states[:, 0, 1, 1] = 1.0
    return Dream(model, {"random": states}, Card(dead_band=0.003))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([SMALL, EVEN, WIDE, SINGLE]),
    st.one_of(st.integers(1, 4), st.integers(1, 40)),
    st.integers(0, 99),
    st.sampled_from([(), (0.0, 1.0), (-1.0, 0.5, 2.0)]),
    st.sampled_from([0.0, 0.003, 0.02, 1e9]),
    st.sampled_from([0, 3]),
    st.sampled_from([(1, 1), (1, 2), (3, 1), (3, 2), (3, 3), (5, 2)]),
)
def test_it_agrees_with_pytorch(sizes, count, seed, values, band, horizon, shape):
    config = replace(sizes, reward_values=values, reach=shape[0], depth=shape[1])
    compiled = started(dream(seed, config, dead_band=band, reward_discount=0.9, horizon=7), count, horizon, seed)
    layers = plain(compiled)
    generator = torch.Generator().manual_seed(seed)
    for turn in range(5):
        before = compiled.state.clone()
        how, given = moves(compiled, turn, generator)
        result, expected = getattr(compiled, how)(given), getattr(layers, how)(given)
        rows = clear_cut(compiled, before, expected)
        assert_same(type(result)(*(each[rows] for each in result)), type(result)(*(each[rows] for each in expected)))
        assert torch.equal(compiled.state, result.state)
        assert torch.equal(compiled.steps, layers.steps)
        layers.state = compiled.state


@pytest.mark.parametrize("cells", [(3, 3), (5, 8), (19, 19), (1, 4)])
def test_grids_of_any_size_are_stepped_by_the_same_weights(cells):
    made = dream(config=EVEN, dead_band=0.003)
    compiled = DreamSimulator(made, 3, cells=cells)
    compiled.reset(states=torch.randn(3, 16, *cells, generator=torch.Generator().manual_seed(0)))
    layers = plain(compiled)
    for action in range(3):
        actions = torch.full((3,), action)
        before = compiled.state
        result, expected = compiled.step(actions), layers.step(actions)
        assert clear_cut(compiled, before, expected).all()
        assert_same(result, expected)
        layers.state = compiled.state


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([SMALL, EVEN, None]), st.integers(0, 99), st.sampled_from([0.0, 0.003, 0.02]))
def test_what_it_remembers_changes_no_bit_of_a_step(config, seed, band):
    """Not after steps of all kinds, resets, cells that anybody writes to, and another dead band."""
    made = dream(seed, config, dead_band=band) if config else walker()
    warm = started(made, 6, 0, seed)
    generator = torch.Generator().manual_seed(seed)
    for turn in range(12):
        how, given = moves(warm, turn, generator)
        cold = twin(warm)
        assert_identical(getattr(warm, how)(given), getattr(cold, how)(given))
        if turn % 4 == 1:
            warm.reset(torch.arange(6) % 2 == 0, starts="random", generator=generator)
        if turn % 4 == 2:
            warm.state[turn % 6, :, 1, 2] += 0.5
        if turn % 4 == 3:
            warm.state = warm.state.flip(0).contiguous()
            warm.dream.card.dead_band *= 1.5


def test_a_dream_knows_nothing_of_those_beside_it():
    for made in (dream(config=WIDE, dead_band=0.003), walker()):
        together = started(made, 37)
        alone = [DreamSimulator(made, 1) for _ in range(37)]
        for n, single in enumerate(alone):
            single.reset(states=together.state[n : n + 1])
        for turn in range(6):
            actions = torch.arange(37) * (turn + 1) % 7
            result = together.step(actions)
            for n, single in enumerate(alone):
                assert_identical(type(result)(*(each[n : n + 1] for each in result)), single.step(actions[n : n + 1]))


def test_where_there_is_no_room_for_all_dreams_they_take_turns(monkeypatch):
    made = walker()
    roomy = started(made, 40)
    roomy.step(torch.full((40,), 6))
    monkeypatch.setattr(compiled_step, "MEMO_BYTES", 3 * 4 * 10_000)
    cramped = twin(roomy)
    for turn in range(6):
        actions = torch.arange(40) * (turn + 1) % 7
        assert_identical(cramped.step(actions), roomy.step(actions))
    assert len(cramped._stepper.memo.arrays[0]) < 5 < 40 == len(roomy._stepper.memo.arrays[0])


def test_an_agent_walks_where_no_wall_is_and_everything_else_stays_to_the_bit():
    dreams = started(walker(), 8)
    first, places = dreams.state.clone(), [(1, 1)] * 8
    walls = first[0, 1] > 0.5
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        actions = torch.randint(7, (8,), generator=generator)
        dreams.step(actions)
        for n, action in enumerate(actions.tolist()):
            y, x = (a + b for a, b in zip(places[n], WAYS[action] if action < 4 else (0, 0), strict=True))
            places[n] = places[n] if walls[y, x] else (y, x)
            agents = (dreams.state[n, 0] > 0.5).nonzero().tolist()
            assert agents == [list(places[n])]
    assert torch.equal(dreams.state[:, 1:], first[:, 1:])
    assert len(set(places)) > 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e6, 999.9])
def test_lost_dreams_are_lost_in_the_same_way(value):
    compiled = started(dream(config=replace(SMALL, reward_values=(0.0, 2.0)), dead_band=0.01), 3)
    states = compiled.state.clone()
    states[1, 4, 2, 3] = value
    compiled.reset(states=states)
    layers = plain(compiled)
    for _ in range(3):
        result = compiled.step(torch.tensor([2, 3, 4]))
        assert_same(result, layers.step(torch.tensor([2, 3, 4])))
        assert result.state.isfinite().all()
        layers.state = compiled.state


def test_dreams_without_labels_and_with_continuous_actions_have_it_too():
    for config in (replace(SMALL, actions=0), replace(SMALL, actions=2, discrete=False)):
        compiled = started(dream(config=config), 2)
        layers = plain(compiled)
        assert compiled._stepper.compiled() is not None
        motion = torch.ones(2, 3, 5, 6)
        assert_same(compiled.step_latent(motion), layers.step_latent(motion))
        if config.actions:
            assert_same(compiled.step(torch.ones(2, 2)), layers.step(torch.ones(2, 2)))


def test_more_actions_than_a_cell_has_marks_for_are_stepped_alike():
    compiled = started(dream(config=replace(SMALL, actions=70), dead_band=0.003), 4)
    layers = plain(compiled)
    actions = torch.tensor([0, 69, 33, 70])
    assert_same(compiled.step(actions), layers.step(actions))


def test_states_may_lie_in_memory_in_any_order():
    compiled = started(dream(), 3)
    other = twin(compiled)
    other.state = other.state.contiguous()  # a cell's numbers far apart
    assert other.state.stride() != compiled.state.stride()
    assert_identical(other.step(torch.tensor([1, 2, 3])), compiled.step(torch.tensor([1, 2, 3])))


@pytest.mark.parametrize(
    "state", [torch.zeros(2, 13, 5, 6), torch.zeros(3, 12, 5, 6), torch.zeros(3, 13, 5, 6).double()]
)
def test_states_of_another_shape_or_type_are_refused(state):
    compiled = started(dream(), 3)
    compiled.state = state
    with pytest.raises(ValueError, match="states are"):
        compiled.step(torch.tensor([1, 2, 3]))


def _in_place(model):
    model.bridge.network.layers[0].weight.mul_(1.5)


def _optimiser(model):
    model.heads.requires_grad_(True)
    model.heads.termination.bias.grad = torch.full((1,), -100.0)
    torch.optim.SGD(model.heads.parameters(), lr=1.0).step()


def _state(model):
    model.load_state_dict({name: value * 1.1 for name, value in model.state_dict().items()})


def _layer(model):
    model.forward_dynamics.motion_network.layers[1] = torch.nn.Conv2d(22, 13, 1, bias=False)


def _parameter(model):
    model.forward_dynamics.content_network.layers[1].bias = torch.nn.Parameter(torch.ones(13), requires_grad=False)


def _there_and_back(model):
    model.half().float()


def _storage(model):
    parameters = list(model.parameters())
    torch.nn.utils.vector_to_parameters(torch.full((sum(map(torch.numel, parameters)),), 0.01), parameters)


@pytest.mark.parametrize("change", [_in_place, _optimiser, _state, _there_and_back, _storage])
def test_weights_that_change_are_never_stepped_with_as_they_were(change):
    compiled = started(dream(), 2)
    for _ in range(2):  # a second time as well
        compiled.step(torch.tensor([1, 2]))
        first = compiled._stepper.compiled()
        change(compiled.dream.world_model)
        layers = plain(compiled)
        assert_same(compiled.step(torch.tensor([1, 2])), layers.step(torch.tensor([1, 2])))
        assert compiled._stepper.compiled() is not first


@pytest.mark.parametrize("change", [_layer, _parameter])
def test_what_is_put_in_the_place_of_a_layer_is_seen_by_the_next_simulator(change):
    before = started(dream(), 2)
    before.step(torch.tensor([1, 2]))
    change(before.dream.world_model)
    compiled = twin(before)
    layers = plain(compiled)
    assert_same(compiled.step(torch.tensor([1, 2])), layers.step(torch.tensor([1, 2])))


def test_a_frozen_dream_is_compiled_once_for_all_its_simulators():
    made = dream()
    first, second = started(made, 2), started(made, 1)
    first.step(torch.tensor([1, 2]))
    kept = made.step_kept
    third = started(made, 3)
    for _ in range(3):
        first.step(torch.tensor([1, 2])), second.step(torch.tensor([0])), third.step(torch.tensor([0, 1, 2]))
    assert kept is not None
    assert made.step_kept is kept


def test_other_dynamics_are_pytorch_s_matter():
    class Halved(ForwardDynamics):
        def forward(self, state, latent_action):
            return 0.5 * super().forward(state, latent_action)

    made = dream()
    made.world_model.forward_dynamics = Halved(SMALL).requires_grad_(False)
    halved = started(made, 5)
    before, motion = halved.state, torch.ones(5, 3, 5, 6)
    assert torch.equal(halved.step_latent(motion).state, made.world_model.step(before, motion))


def test_what_a_step_gave_stays_as_it_was_when_the_next_is_made():
    compiled = started(dream(), 2)
    result = compiled.step(torch.tensor([1, 2]))
    kept = [value.clone() for value in result]
    compiled.step(torch.tensor([3, 4]))
    assert all(map(torch.equal, result, kept))


def test_actions_of_other_types_and_motions_of_other_shapes_are_pytorch_s_matter():
    compiled = started(dream(), 2)
    layers = plain(compiled)
    assert_same(compiled.step(torch.tensor([1, 2], dtype=torch.int32)), layers.step(torch.tensor([1, 2])))
    with pytest.raises(RuntimeError):
        compiled.step_latent(torch.zeros(2, 5, 5, 6))


def test_the_shipped_dream_is_stepped_alike_and_without_numba_by_pytorch(shipped, monkeypatch):
    compiled = DreamSimulator(shipped, 20)
    compiled.reset(generator=torch.Generator())
    layers = plain(compiled)
    for action in (2, 1, 2, 2, 0, 2, 5, 2):
        assert_same(compiled.step(torch.full((20,), action)), layers.step(torch.full((20,), action)))
    monkeypatch.setattr(stepping, "_compiler", lambda part: None)
    assert compiled._stepper.compiled() is None
    layers.state = compiled.state
    assert torch.equal(compiled.step(torch.full((20,), 2)).state, layers.step(torch.full((20,), 2)).state)


@pytest.mark.parametrize("how", ["a fused optimiser", "into the data"])
def test_the_next_simulator_sees_what_was_written_past_pytorchs_counters(how):
    made = dream()
    before = started(made, 3)
    before.step(torch.tensor([1, 2, 3]))
    weights = made.world_model.forward_dynamics.parameters()
    if how == "a fused optimiser":
        weights = [weight.requires_grad_(True) for weight in weights]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        torch.optim.AdamW(weights, 0.1, fused=True).step()
    else:
        for weight in weights:
            weight.data.add_(0.1)
    after = twin(before)
    layers = plain(after)
    assert_same(after.step(torch.tensor([1, 2, 3])), layers.step(torch.tensor([1, 2, 3])))
