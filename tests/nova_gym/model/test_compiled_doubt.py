"""Compiled doubt is the doubt of PyTorch, whatever it remembers, and never that of weights that were."""

import pytest
import torch

from nova_gym import Card, Dream, DreamSimulator, WorldModel
from nova_gym.model.config import ModelConfig
from nova_gym.model.doubt import Doubt

compiled = pytest.importorskip("nova_gym.model.compiled_doubt", reason="without Numba PyTorch does it all")

#: Odd lengths, so that no loop comes out even; memory, and one network for the whole frame.
FIELD = ModelConfig(frame_size=(40, 48), rank=13, hidden=22, actions=3, doubt=9)
HEARD = ModelConfig(frame_size=(40, 48), rank=13, hidden=22, actions=2, discrete=False, memory=5, doubt=40)
WHOLE = ModelConfig(frame_size=(72, 72), cell=(72, 72), rank=40, hidden=30, actions=3, doubt=17)
#: One that the compiled step takes.
STEPPED = ModelConfig(frame_size=(40, 48), rank=13, latent_action=3, hidden=22, head_hidden=9, actions=3, doubt=9)


def made(config, seed=0):
    torch.manual_seed(seed)
    doubt = Doubt(config).requires_grad_(False)
    for name, tensor in doubt.named_buffers():
        tensor.copy_(torch.rand(tensor.shape) * 2.0 - (1.0 if name == "codes" else 0.5))
    return doubt


def steps(config, count, seed=1):
    """States of 5 dreams in which few cells change at a step, and actions, some of which do not exist."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    state = (draw(5, config.rank + config.memory, *config.cells) * 2.0 - 1.0).contiguous(
        memory_format=torch.channels_last
    )
    for turn in range(count):
        moves = draw(5, 1, *config.cells) < (0.0 if turn % 4 == 3 else 0.2)
        following = torch.where(moves, state + draw(*state.shape), state)
        known = torch.randint(-1, config.actions + 1, (5,), generator=generator)
        yield state, known if config.discrete else draw(5, config.actions), following, draw(5) * 12.0 - 12.0
        state = following


@pytest.mark.parametrize("config", [FIELD, HEARD, WHOLE])
def test_it_is_the_doubt_of_pytorch_also_where_nothing_changes(config):
    doubt = made(config)
    fast, belief = compiled.CompiledDoubt(doubt), None
    for given in steps(config, 12):
        belief = doubt.begin(given[0]) if belief is None else belief
        expected, belief = doubt.step(belief, *given), fast.step(belief, *given)
        for name, one, other in zip(belief._fields, belief, expected, strict=True):
            assert one.dtype == other.dtype
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, msg=name)


def test_weights_that_change_are_noticed():
    doubt = made(FIELD)
    before = compiled.compiled_doubt(doubt, None)
    assert compiled.compiled_doubt(doubt, before) is before
    doubt.load_state_dict(made(FIELD, seed=2).state_dict())
    after = compiled.compiled_doubt(doubt, before)
    assert after is not before
    given = next(steps(FIELD, 1))
    belief = doubt.begin(given[0])
    torch.testing.assert_close(after.step(belief, *given).doubt, doubt.step(belief, *given).doubt, atol=1e-4, rtol=1e-4)


def doubtful(seed=0):
    """A dream that doubts, some cells of which move at a step and some of which are lively."""
    generator = torch.Generator().manual_seed(seed)
    model = WorldModel(STEPPED, generator).eval().requires_grad_(False)
    model.doubt.load_state_dict(made(STEPPED).state_dict())
    start = torch.randn(40, STEPPED.rank, *STEPPED.cells, generator=generator)
    return Dream(model, {"random": start}, Card(dead_band=0.1))


@pytest.mark.parametrize("memo", [2**28, 1])  # of all dreams, and of one, in which they take turns
def test_what_is_kept_of_still_cells_is_never_outdated(memo, monkeypatch):
    monkeypatch.setattr("nova_gym.model.compiled_step.MEMO_BYTES", memo)
    dream, generator = doubtful(), torch.Generator().manual_seed(3)
    simulator, doubt, kept = DreamSimulator(dream, 20, doubt=True), dream.world_model.doubt, []
    simulator.reset(generator=generator, starts="random")
    for turn in range(40):
        if turn % 6 == 2:
            mask = torch.rand(20, generator=generator) < 0.3
            simulator.reset(mask, generator=generator, starts="random")
        if turn % 6 == 4:  # whoever writes into a state is noticed
            simulator.state[turn % 20, :, 1, 2] += 0.5
        if turn % 6 == 5:
            simulator.restart(torch.tensor([3, 7]), dream.starts["random"][[turn, 0]])
        before, belief = simulator.state.clone(), simulator.belief
        actions = torch.randint(-1, 4, (20,), generator=generator) if turn % 5 else None
        if actions is None:
            latent = torch.randn(simulator.latent_action.shape, generator=generator) * (turn % 2)
            result = simulator.step_latent(latent.contiguous(memory_format=torch.channels_last))
        else:
            result = simulator.step(actions)
        assert simulator._stepper.memo.watcher is simulator._stepper.doubting
        kept.append((before != result.state).any(1).float().mean())
        expected = doubt.step(belief, before, actions, result.state, result.undecided)
        for name, one, other in zip(expected._fields, simulator.belief, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, msg=f"{name} at step {turn}")
    assert 0.02 < sum(kept) / len(kept) < 0.9


def test_a_belief_that_was_read_stays_as_it_was():
    dream = doubtful()
    simulator = DreamSimulator(dream, 4, doubt=True)
    simulator.reset(generator=torch.Generator().manual_seed(0), starts="random")
    simulator.step(torch.tensor([0, 1, 2, 0]))
    read, doubt, shown = simulator.belief, simulator.doubt, simulator.doubt_map
    kept = read.copy()
    simulator.step(torch.tensor([1, 1, 1, 1]))
    assert not torch.equal(simulator.doubt_map, shown)
    for one, other in zip((*read, doubt, shown), (*kept, kept.doubt, kept.doubt_map), strict=True):
        assert torch.equal(one, other)
