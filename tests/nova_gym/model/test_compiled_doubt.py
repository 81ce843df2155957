"""Compiled doubt is the doubt of PyTorch, whatever it remembers, and never that of weights that were."""

import pytest
import torch

from nova_gym.model.config import ModelConfig
from nova_gym.model.doubt import Doubt

compiled = pytest.importorskip("nova_gym.model.compiled_doubt", reason="without Numba PyTorch does it all")

#: Odd lengths, so that no loop comes out even; memory, and one network for the whole frame.
FIELD = ModelConfig(frame_size=(40, 48), rank=13, hidden=22, actions=3, doubt=9)
HEARD = ModelConfig(frame_size=(40, 48), rank=13, hidden=22, actions=2, discrete=False, memory=5, doubt=40)
WHOLE = ModelConfig(frame_size=(72, 72), cell=(72, 72), rank=40, hidden=30, actions=3, doubt=17)


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
