"""The compiled step is the step of PyTorch, whatever the model, and never that of weights that were."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gym import Card, Dream, DreamSimulator, WorldModel, simulator
from nova_gym.model.dynamics import ForwardDynamics
from nova_gym.training import preset

#: Odd lengths, so that no loop comes out even.
SMALL = preset("tiny", rank=13, latent_action=3, hidden=22, head_hidden=9).model
#: Lengths that several dreams are computed by at once.
EVEN = preset("tiny", rank=64, latent_action=32, hidden=96, head_hidden=32).model


def dream(seed=0, halves=False, config=SMALL, **card):
    generator = torch.Generator().manual_seed(seed)
    model = WorldModel(config, generator).eval().requires_grad_(False)
    if halves:  # as a dream's file has them
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return Dream(model, {"random": torch.randn(40, config.rank, generator=generator)}, Card(**card))


def plain(dreams):
    """The same simulator without the compiled step."""
    other = DreamSimulator(dreams.dream, dreams.num_dreams, dreams.horizon)
    other.reset(states=dreams.state)
    other._compiled = lambda: None
    return other


def assert_same(given, expected):
    for name, one, other in zip(given._fields, given, expected, strict=True):
        assert one.dtype == other.dtype
        said = f"{name}: {one} instead of {other}"
        torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-4, equal_nan=True, msg=said)


def clear_cut(simulator, state, expected):
    """Rows of a step in which no decision is so close that rounding, which differs between two ways, may turn it."""
    model, band = simulator.dream.world_model, simulator.dream.card.dead_band
    change = (model.step(state, expected.latent_action) - state).square().mean(-1)
    reward, termination = model.heads(state, expected.latent_action, expected.state)
    best = reward.topk(min(2, reward.shape[1])).values
    apart = best[:, 0] - best[:, -1] > 1e-3 if best.shape[1] == 2 else torch.ones(len(state), dtype=torch.bool)
    return ((change - band).abs() > 1e-3 * band) & (termination.abs() > 1e-3) & apart


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([SMALL, EVEN]),
    st.one_of(st.integers(1, 10), st.integers(1, 150)),
    st.integers(0, 99),
    st.booleans(),
    st.sampled_from([(), (0.0, 1.0), (-1.0, 0.5, 2.0)]),
    st.sampled_from([0.0, 0.02, 0.4, 1e9]),
    st.sampled_from([0, 3]),
    st.integers(0, 2),
)
def test_it_agrees_with_pytorch(sizes, count, seed, halves, values, band, horizon, depth):
    config = replace(sizes, reward_values=values, depth=depth)
    made = dream(seed, halves, config, dead_band=band, reward_discount=0.9, horizon=7)
    compiled = DreamSimulator(made, count, horizon)
    compiled.reset(generator=torch.Generator().manual_seed(seed), starts="random")
    layers = plain(compiled)
    generator = torch.Generator().manual_seed(seed)
    for turn in range(4):
        before = compiled.state.clone()
        if turn % 2:
            actions = torch.randint(0, config.actions, (count,), generator=generator)
            result, expected = compiled.step(actions), layers.step(actions)
        else:
            latent_actions = torch.rand(count, config.latent_action, generator=generator) * 2 - 1
            result, expected = compiled.step_latent(latent_actions), layers.step_latent(latent_actions)
        rows = clear_cut(compiled, before, expected)
        assert rows.float().mean() > 0.8 or count < 20
        assert_same(type(result)(*(each[rows] for each in result)), type(result)(*(each[rows] for each in expected)))
        assert torch.equal(compiled.state, result.state)
        assert torch.equal(compiled.steps, layers.steps)
        assert not before.eq(compiled.state).all() or band
        layers.state = compiled.state


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e6, 999.9])
def test_lost_dreams_are_lost_in_the_same_way(value):
    compiled = DreamSimulator(dream(dead_band=0.01), 3)
    states = compiled.reset(generator=torch.Generator(), starts="random").clone()
    states[1, 4] = value
    compiled.reset(states=states)
    layers = plain(compiled)
    for _ in range(2):
        result = compiled.step(torch.tensor([2, 3, 4]))
        assert_same(result, layers.step(torch.tensor([2, 3, 4])))
        assert result.state.isfinite().all()


def test_dreams_without_labels_and_with_continuous_actions_have_it_too():
    for config in (replace(SMALL, actions=0, reward_values=(0.0, 1.0)), replace(SMALL, actions=2, discrete=False)):
        compiled = DreamSimulator(dream(config=config), 2)
        compiled.reset(generator=torch.Generator(), starts="random")
        layers = plain(compiled)
        assert_same(compiled.step_latent(torch.ones(2, 3)), layers.step_latent(torch.ones(2, 3)))
        if config.actions:
            assert_same(compiled.step(torch.ones(2, 2)), layers.step(torch.ones(2, 2)))


def _in_place(model):
    model.bridge.network.first.weight.mul_(1.5)


def _optimiser(model):
    model.heads.requires_grad_(True)
    model.heads.termination.bias.grad = torch.full((1,), -100.0)
    torch.optim.SGD(model.heads.parameters(), lr=1.0).step()


def _state(model):
    model.load_state_dict({name: value * 1.1 for name, value in model.state_dict().items()})


def _layer(model):
    model.forward_dynamics.motion_network.last = torch.nn.Linear(22, 13)


def _parameter(model):
    model.forward_dynamics.content_network.last.bias = torch.nn.Parameter(torch.ones(13), requires_grad=False)


def _there_and_back(model):
    model.half().float()


def _storage(model):
    parameters = list(model.parameters())
    torch.nn.utils.vector_to_parameters(torch.full((sum(map(torch.numel, parameters)),), 0.01), parameters)


@pytest.mark.parametrize("change", [_in_place, _optimiser, _state, _there_and_back, _storage])
def test_weights_that_change_are_never_stepped_with_as_they_were(change):
    compiled = DreamSimulator(dream(), 2)
    compiled.reset(generator=torch.Generator(), starts="random")
    for _ in range(2):  # a second time as well
        compiled.step(torch.tensor([1, 2]))
        first = compiled._compiled()
        change(compiled.dream.world_model)
        layers = plain(compiled)
        assert_same(compiled.step(torch.tensor([1, 2])), layers.step(torch.tensor([1, 2])))
        assert compiled._compiled() is not first


@pytest.mark.parametrize("change", [_layer, _parameter])
def test_what_is_put_in_the_place_of_a_layer_is_seen_by_the_next_simulator(change):
    before = DreamSimulator(dream(), 2)
    before.reset(generator=torch.Generator(), starts="random")
    before.step(torch.tensor([1, 2]))
    change(before.dream.world_model)
    compiled = DreamSimulator(before.dream, 2)
    compiled.reset(states=before.state)
    layers = plain(compiled)
    assert_same(compiled.step(torch.tensor([1, 2])), layers.step(torch.tensor([1, 2])))


def test_a_frozen_dream_is_compiled_once_for_all_its_simulators(shipped):
    first = DreamSimulator(shipped, 2)
    first.reset(generator=torch.Generator())
    first.step(torch.tensor([1, 2]))
    program = shipped.step_kept
    second = DreamSimulator(shipped, 1)
    second.reset(generator=torch.Generator())
    for _ in range(3):
        first.step(torch.tensor([1, 2])), second.step(torch.tensor([0]))
    assert program is not None
    assert shipped.step_kept is program


def test_other_dynamics_are_pytorch_s_matter():
    class Halved(ForwardDynamics):
        def forward(self, state, latent_action):
            return 0.5 * super().forward(state, latent_action)

    made = dream()
    made.world_model.forward_dynamics = Halved(SMALL).requires_grad_(False)
    halved = DreamSimulator(made, 5)
    before = halved.reset(generator=torch.Generator(), starts="random")
    motion = torch.ones(5, 3)
    assert torch.equal(halved.step_latent(motion).state, made.world_model.step(before, motion))


def test_what_a_step_gave_stays_as_it_was_when_the_next_is_made():
    compiled = DreamSimulator(dream(), 2)
    compiled.reset(generator=torch.Generator(), starts="random")
    result = compiled.step(torch.tensor([1, 2]))
    kept = [value.clone() for value in result]
    compiled.step(torch.tensor([3, 4]))
    assert all(map(torch.equal, result, kept))


def test_an_action_that_is_none_is_none_for_both_and_other_types_are_pytorch_s_matter():
    compiled = DreamSimulator(dream(), 2)
    compiled.reset(generator=torch.Generator(), starts="random")
    layers = plain(compiled)
    assert_same(compiled.step(torch.tensor([-1, 7])), layers.step(torch.tensor([-1, 7])))
    layers.state = compiled.state
    assert_same(compiled.step(torch.tensor([1, 2], dtype=torch.int32)), layers.step(torch.tensor([1, 2])))
    with pytest.raises(RuntimeError):
        compiled.step_latent(torch.zeros(2, 5))


def test_the_shipped_dream_is_stepped_alike_and_without_numba_by_pytorch(shipped, monkeypatch):
    compiled = DreamSimulator(shipped, 100)
    compiled.reset(generator=torch.Generator())
    layers = plain(compiled)
    for action in (2, 1, 2, 2, 0, 2, 5, 2):
        assert_same(compiled.step(torch.full((100,), action)), layers.step(torch.full((100,), action)))
    assert compiled._compiled().weights.dtype == "uint16"
    monkeypatch.setattr(simulator, "_compiler", lambda: None)
    assert compiled._compiled() is None
    layers.state = compiled.state
    assert torch.equal(compiled.step(torch.full((100,), 2)).state, layers.step(torch.full((100,), 2)).state)


@pytest.mark.parametrize("how", ["a fused optimiser", "into the data"])
def test_the_next_simulator_sees_what_was_written_past_pytorchs_counters(how):
    made = dream()
    before = DreamSimulator(made, 3)
    before.reset(generator=torch.Generator().manual_seed(0), starts="random")
    before.step(torch.tensor([1, 2, 3]))
    weights = made.world_model.part("forward_dynamics").parameters()
    if how == "a fused optimiser":
        weights = [weight.requires_grad_(True) for weight in weights]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        torch.optim.AdamW(weights, 0.1, fused=True).step()
    else:
        for weight in weights:
            weight.data.add_(0.1)
    after = DreamSimulator(made, 3)
    after.reset(states=before.state)
    layers = plain(after)
    assert_same(after.step(torch.tensor([1, 2, 3])), layers.step(torch.tensor([1, 2, 3])))
