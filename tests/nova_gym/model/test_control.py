"""The generative control model, by itself and as a part of a dream."""

from dataclasses import replace

import pytest
import torch

from nova_gym import Dream, DreamSimulator
from nova_gym.data import unlabelled_clips
from nova_gym.dream import Card
from nova_gym.errors import BadInputError
from nova_gym.model.config import CONTROLS, ControlConfig, ModelConfig
from nova_gym.model.control import make_control
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Recipe, Run, preset
from nova_gym.training.control import ControlStage
from nova_gym.training.dynamics import Dynamics, infer_all, scale_latent_actions
from nova_gym.training.loop import Loop

RANK, LENGTH = 6, 3


def control(kind, **sizes):
    torch.manual_seed(0)
    made = make_control(
        ModelConfig(rank=RANK, latent_action=LENGTH, control=ControlConfig(kind, hidden=16, layers=2, **sizes))
    )
    if kind == "transformer":  # ages start at 0, which would hide that they are mixed up
        for block in made.blocks:
            torch.nn.init.normal_(block.ages)
    return made.requires_grad_(False)


def clip(steps, batch=3):
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(batch, steps, size, generator=generator) for size in (RANK, LENGTH))


@pytest.mark.parametrize("kind", CONTROLS)
def test_a_clip_at_once_equals_step_by_step(kind):
    """Also beyond the window of the transformer."""
    model = control(kind, window=4)
    states, latent_actions = clip(9)
    memory, answers = model.reset(3), []
    for t in range(9):
        answers.append(model.decode(memory, states[:, t]))
        memory = model.encode(memory, states[:, t], latent_actions[:, t])
    torch.testing.assert_close(torch.stack(answers, 1), model(states, latent_actions), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", CONTROLS)
def test_no_answer_depends_on_what_comes_later(kind):
    model = control(kind, window=4)
    states, latent_actions = clip(9)
    before = model(states, latent_actions)
    states[:, 5:] += 1.0
    latent_actions[:, 4:] += 1.0
    after = model(states, latent_actions)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5] - after[:, 5]).abs().min() > 0


@pytest.mark.parametrize("kind", CONTROLS)
def test_memory_does_not_grow_in_a_thousand_steps(kind):
    model = control(kind, window=8)
    state, latent_action = torch.zeros(2, RANK), torch.zeros(2, LENGTH)
    memory = model.reset(2)
    shapes = [part.shape for part in memory]
    for _ in range(1000):
        memory = model.encode(memory, state, latent_action)
    assert [part.shape for part in memory] == shapes
    assert sum(part.untyped_storage().nbytes() for part in memory) < 100_000


@pytest.mark.parametrize("kind", CONTROLS)
def test_rows_restart_apart(kind):
    model = control(kind, window=4)
    states, latent_actions = clip(3)
    memory = model.reset(3)
    for t in range(2):
        memory = model.encode(memory, states[:, t], latent_actions[:, t])
    kept, fresh = model.decode(memory, states[:, 2]), model.decode(model.reset(3), states[:, 2])
    answer = model.decode(model.restart(memory, torch.tensor([False, True, False])), states[:, 2])
    torch.testing.assert_close(answer[[0, 2]], kept[[0, 2]])
    torch.testing.assert_close(answer[1], fresh[1])
    assert (kept[1] - fresh[1]).abs().max() > 1e-3


def test_it_goes_on_as_its_context_moved(tmp_path):
    """A world in which a thing slides left or right: only what happened before tells which, not where it is."""
    sizes = ModelConfig(
        frame_size=(8, 8), actions=0, rank=4, latent_action=2, hidden=32, depth=1, control=ControlConfig(hidden=32)
    )
    model = WorldModel(sizes)
    directions = torch.tensor([-1.0, 1.0]).repeat(64)
    begin = torch.rand(128, generator=torch.Generator().manual_seed(0)) - 0.5
    places = begin[:, None] + 0.3 * directions[:, None] * torch.arange(-4, 5)
    states = torch.nn.functional.pad(places.flatten()[:, None], (0, 3))
    clips = unlabelled_clips(torch.zeros(len(states), 1, 8, 8), torch.full((128,), 8), {})
    training = replace(preset("tiny").training, dynamics=Recipe(100, 128, 5e-3, 10), control=Recipe(80, 32, 1e-2, 10))
    loop = Loop(model, 0, Run(tmp_path / "x.ckpt", device="cpu"))
    loop.train(Dynamics(model, clips, states, training))
    scale_latent_actions(model, infer_all(model, clips, states))
    loop.train(ControlStage(model, clips, states, training))
    simulator = DreamSimulator(Dream(model.requires_grad_(False), {}, Card()), 2)
    way = 0.3 * torch.tensor([-1.0, 1.0])[:, None] * torch.arange(-4, 1)  # both arrive at 0
    context = torch.nn.functional.pad(way.T[:, :, None], (0, 3))
    latent_actions = torch.stack([model.infer(context[t], context[t + 1]) for t in range(4)])
    simulator.reset(states=context[-1])
    *_, last = simulator.autopilot(3, simulator.remember(zip(context, latent_actions, strict=False)))
    assert float(last.state[0, 0]) < -0.5
    assert float(last.state[1, 0]) > 0.5


@pytest.mark.parametrize("kind", CONTROLS)
def test_a_generated_future_depends_on_its_context_and_on_nothing_else(filmed, kind):
    config = replace(filmed.world_model.config, control=ControlConfig(kind, hidden=16))
    model = WorldModel(config).requires_grad_(False)
    simulator = DreamSimulator(replace(filmed, world_model=model), 2)
    frames = torch.rand(2, 6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    frames[1, 5] = frames[0, 5]  # the same present, after another past
    states, latent_actions = simulator.generate(frames, 0.5, 10)
    assert states.shape == (2, 11, config.rank)
    assert latent_actions.shape == (2, 10, config.latent_action)
    torch.testing.assert_close(states[0, 5], states[1, 5])
    assert (states[0, 6] - states[1, 6]).abs().max() > 1e-4
    torch.testing.assert_close(simulator.generate(frames, 0.5, 10)[0], states)
    with pytest.raises(BadInputError, match="5 of 10 steps are context"):
        simulator.generate(frames[:, :5], 0.5, 10)


def test_where_actions_are_known_the_autopilot_takes_the_nearest_of_them(tiny):
    model, simulator = tiny.world_model, DreamSimulator(tiny, 3, horizon=0)
    before = simulator.reset(states=tiny.starts["random"][:3])
    wanted = model.part("control").decode(model.fresh_memory(3), before).clamp(-1, 1)
    taken = next(simulator.autopilot(1)).latent_action
    for state, u, chosen in zip(before, wanted, taken, strict=True):
        each = torch.arange(model.config.actions)
        possible = model.translate(state.expand(len(each), -1), each)
        nearest = (possible - u).square().sum(1).argmin()
        torch.testing.assert_close(chosen, possible[nearest], atol=1e-5, rtol=1e-4)
