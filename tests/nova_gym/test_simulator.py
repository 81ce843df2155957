import copy
from dataclasses import replace

import pytest
import torch

from nova_gym import DreamSimulator
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError


def test_dreams_in_a_batch_do_not_touch_each_other(tiny):
    many, one = DreamSimulator(tiny, 5), DreamSimulator(tiny, 1)
    states = tiny.starts["random"][:5]
    many.reset(states=states)
    one.reset(states=states[2:3])
    for action in (2, 0, 2, 6, 1):
        all_results = many.step(torch.tensor([0, 1, action, 3, 4]))
        result = one.step(torch.tensor([action]))
    torch.testing.assert_close(all_results.state[2], result.state[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(all_results.reward[2], result.reward[0], atol=1e-4, rtol=1e-4)


def test_reset_restarts_only_what_the_mask_says(tiny):
    simulator = DreamSimulator(tiny, 3)
    simulator.reset(generator=torch.Generator().manual_seed(0))
    simulator.step(torch.tensor([2, 2, 2]))
    before = simulator.state
    after = simulator.reset(torch.tensor([False, True, False]), generator=torch.Generator().manual_seed(1))
    assert (after[[0, 2]] == before[[0, 2]]).all()
    assert simulator.steps.tolist() == [1, 0, 1]
    assert (simulator.latent_action[1] == 0).all()
    assert any((after[1] == start).all() for start in tiny.starts["official"])


def test_some_dreams_restart_while_the_others_go_on(tiny):
    simulator = DreamSimulator(tiny, 4)
    simulator.reset(starts="random", generator=torch.Generator().manual_seed(0))
    result = simulator.step(torch.tensor([2, 2, 2, 2]))
    before, kept = result.state.clone(), result.state
    simulator.restart(torch.tensor([3, 1]), tiny.starts["random"][:2])
    assert torch.equal(simulator.state[[3, 1]], tiny.starts["random"][:2])
    assert torch.equal(simulator.state[[0, 2]], before[[0, 2]])
    assert torch.equal(kept, before)  # what a step gave stays as it was
    assert simulator.steps.tolist() == [1, 0, 1, 0]
    assert not simulator.latent_action[[1, 3]].any()


def with_any_look(dream):
    """The same dream, but a cell that changes need not have one of few looks."""
    model = copy.deepcopy(dream.world_model)
    model.looks, model.config = None, replace(model.config, looks=0)
    return replace(dream, world_model=model)


def test_a_step_is_the_world_model_s_equation(tiny):
    tiny = with_any_look(tiny)
    model = tiny.world_model
    simulator = DreamSimulator(replace(tiny, card=replace(tiny.card, dead_band=0.0)), 2)
    state = simulator.reset(starts="random", generator=torch.Generator())
    latent_action = model.translate(state, torch.tensor([2, 0]))
    result = simulator.step(torch.tensor([2, 0]))
    torch.testing.assert_close(result.latent_action, latent_action, atol=2e-4, rtol=2e-4)
    expected = model.content(state) + model.motion(latent_action)
    torch.testing.assert_close(result.state, expected, atol=2e-4, rtol=2e-4)


def test_standing_still_never_drifts(shipped):
    """A hundred steps of MiniGrid's `done`, which does nothing, leave the state as it was, bit by bit."""
    simulator = DreamSimulator(shipped, 8, horizon=0)
    start = simulator.reset(generator=torch.Generator().manual_seed(0))
    for _ in range(100):
        simulator.step(torch.full((8,), 6))
    assert torch.equal(simulator.state, start)


def plain(monkeypatch, compiled):
    """PyTorch steps, unless `compiled`."""
    if not compiled:
        monkeypatch.setattr("nova_gym.stepping._compiler", lambda part: None)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_dead_band_is_for_each_cell_by_itself(tiny, compiled, monkeypatch):
    """Within it a cell stays to the bit; beyond it it changes whole; what other cells do does not matter."""
    plain(monkeypatch, compiled)
    tiny = with_any_look(tiny)
    for band, stays in ((1e9, True), (0.0, False)):
        simulator = DreamSimulator(replace(tiny, card=replace(tiny.card, dead_band=band)), 2)
        start = simulator.reset(generator=torch.Generator()).clone()
        assert torch.equal(simulator.step(torch.tensor([2, 0])).state, start) == stays
    model, moves = tiny.world_model, torch.tensor([2, 0])
    changes = (model.step(start, model.translate(start, moves)) - start).square().mean(1)
    band = float(changes.median())
    simulator = DreamSimulator(replace(tiny, card=replace(tiny.card, dead_band=band)), 2)
    simulator.reset(states=start)
    after = simulator.step(moves).state
    clear = (changes - band).abs() > 1e-3 * band
    stayed = (after == start).all(1)
    assert torch.equal(stayed[clear], (changes <= band)[clear])
    torch.testing.assert_close(
        after.movedim(1, 3)[~stayed],
        model.step(start, model.translate(start, moves)).movedim(1, 3)[~stayed],
        atol=2e-4,
        rtol=2e-4,
    )


@pytest.mark.parametrize("compiled", [True, False])
def test_grids_of_any_size_are_stepped(tiny, compiled, monkeypatch):
    plain(monkeypatch, compiled)
    for cells in ((1, 1), (3, 17), (19, 19)):
        simulator = DreamSimulator(tiny, 2, cells=cells)
        frames = torch.rand(2, 3, 8 * cells[0], 8 * cells[1], generator=torch.Generator().manual_seed(0))
        simulator.reset(states=tiny.world_model.encode(frames))
        result = simulator.step(torch.tensor([2, 0]))
        assert result.state.shape == (2, 8, *cells)
        assert result.latent_action.shape == (2, 4, *cells)
        assert simulator.render().shape == frames.shape
    with pytest.raises(BadInputError, match="starts have 9 × 9 cells, these dreams 19 × 19"):
        simulator.reset(generator=torch.Generator())


def test_one_latent_action_or_code_a_cell_steps_it(tiny):
    tiny = with_any_look(tiny)
    model, simulator = tiny.world_model, DreamSimulator(replace(tiny, card=replace(tiny.card, dead_band=0.0)), 2)
    start = simulator.reset(generator=torch.Generator()).clone()
    codes = torch.randint(0, 8, (2, 9, 9), generator=torch.Generator().manual_seed(0))
    expected = model.step(start, model.decode(codes))
    torch.testing.assert_close(simulator.step_code(codes).state, expected, atol=2e-4, rtol=2e-4)
    simulator.reset(states=start)
    numbers = torch.tensor([[0.0, 0.5, 0.3, -0.2, 0.9, 1.0], [-1.0, 1.0, 0.1, 0.1, 0.1, 0.1]])
    placed = model.place(numbers, simulator.cells)
    result = simulator.step_latent(placed)
    assert torch.equal(result.latent_action, placed)
    torch.testing.assert_close(result.state, model.step(start, placed), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_a_lost_dream_is_truncated_and_kept_within_bounds(tiny, value, compiled, monkeypatch):
    """One number of one cell is enough."""
    plain(monkeypatch, compiled)
    simulator = DreamSimulator(tiny, 2)
    states = simulator.reset(generator=torch.Generator()).clone()
    states[1, 3, 4, 5] = value
    simulator.reset(states=states)
    result = simulator.step(torch.tensor([2, 2]))
    assert result.truncated.tolist() == result.lost.tolist() == simulator.lost.tolist() == [False, True]
    assert result.state.isfinite().all()
    assert result.reward.isfinite().all()
    simulator.reset(torch.tensor([False, True]), generator=torch.Generator())
    assert simulator.lost.tolist() == [False, False]


@pytest.mark.parametrize("compiled", [True, False])
def test_a_dream_at_its_horizon_is_not_lost(tiny, compiled, monkeypatch):
    plain(monkeypatch, compiled)
    simulator = DreamSimulator(tiny, 2, horizon=1)
    simulator.reset(generator=torch.Generator())
    result = simulator.step(torch.tensor([2, 2]))
    assert result.truncated.all()
    assert not result.lost.any()


def test_truncation_comes_at_the_horizon_and_never_without_one(shipped):
    short, endless = DreamSimulator(shipped, 1, horizon=3), DreamSimulator(shipped, 1, horizon=0)
    short.reset(generator=torch.Generator()), endless.reset(generator=torch.Generator())
    assert [bool(short.step(torch.tensor([6])).truncated) for _ in range(4)] == [False, False, True, True]
    assert not any(bool(endless.step(torch.tensor([6])).truncated) for _ in range(400))
    assert DreamSimulator(shipped).horizon == 324


def test_reward_is_discounted_in_time_as_reality_does(tiny, monkeypatch):
    monkeypatch.setattr("nova_gym.stepping._compiler", lambda part: None)  # the compiled step asks no method
    model = tiny.world_model
    monkeypatch.setattr(model, "outcome", lambda z, *_: (torch.ones(len(z)), torch.zeros(len(z)), torch.zeros(len(z))))
    simulator = DreamSimulator(tiny, 1)
    simulator.reset(generator=torch.Generator())
    rewards = [float(simulator.step(torch.tensor([6])).reward) for _ in range(3)]
    assert rewards == pytest.approx([1 - 0.9 * step / 324 for step in (1, 2, 3)])


def test_no_tensor_is_left_behind_on_another_device(tiny):
    """The `meta` device computes shapes only and refuses any tensor of the CPU: it stands in for a GPU."""
    moved = {name: bank.to("meta") for name, bank in tiny.starts.items()}
    simulator = DreamSimulator(Dream(copy.deepcopy(tiny.world_model).to("meta"), moved, tiny.card), 4)
    simulator.reset(generator=torch.Generator())
    simulator.reset(torch.ones(4, dtype=torch.bool, device="meta"), simulator.state)
    result = simulator.step(torch.zeros(4, dtype=torch.int64, device="meta"))
    simulator.step_latent(result.latent_action)
    assert all(value.device.type == "meta" for value in result)
    assert simulator.render((20, 30)).device.type == "meta"
    assert simulator.dream.world_model.render(simulator.state, nyquist=True).device.type == "meta"
    assert tiny.world_model.device.type == "cpu"


def test_the_dream_follows_its_actions_on_layouts_it_never_saw(shipped):
    """As `nova-gym eval` measures on many more episodes: all of it is right."""
    from nova_gym.envs import evaluate

    report = evaluate(shipped, episodes=24, steps=10, seed=7)
    assert report.open_loop[10]["exact"].value == 1.0
    assert min(estimate.value for estimate in report.transitions.values()) == 1.0
    assert report.outcomes["expert"]["termination recall"].value == 1.0


@pytest.mark.parametrize("arguments", [{"num_dreams": 0}, {"horizon": -1}, {"cells": (0, 3)}, {"cells": (3,)}])
def test_senseless_sizes_are_refused(tiny, arguments):
    with pytest.raises(BadInputError):
        DreamSimulator(tiny, **arguments)
    with pytest.raises(BadInputError, match="official, random"):
        DreamSimulator(tiny).reset(starts="elsewhere")
    with pytest.raises(BadInputError, match="generator"):
        DreamSimulator(tiny).reset()
    with pytest.raises(BadInputError, match="expected"):
        DreamSimulator(tiny).reset(states=torch.zeros(2, 2))
