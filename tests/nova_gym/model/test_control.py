"""The generative control model, by itself and as a part of a dream."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from nova_gym import Dream, DreamSimulator
from nova_gym.data import unlabelled_clips
from nova_gym.dream import Card
from nova_gym.errors import BadInputError
from nova_gym.model.config import ControlConfig, ModelConfig
from nova_gym.model.control import FADING, Control
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Recipe, Run, preset
from nova_gym.training.control import ControlStage
from nova_gym.training.dynamics import Dynamics
from nova_gym.training.latent_actions import settle_latent_actions
from nova_gym.training.loop import Loop

RANK, LENGTH = 6, 3


@pytest.fixture(scope="module", params=[1, 2], ids=["one layer", "two layers"])
def control(request):
    torch.manual_seed(0)
    sizes = ControlConfig(hidden=16, layers=request.param)
    return Control(ModelConfig(rank=RANK, latent_action=LENGTH, control=sizes)).requires_grad_(False)


def clip(steps, batch=3, rows=4, cols=5):
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(batch, steps, size, rows, cols, generator=generator) for size in (RANK, LENGTH))


def remembered(control, states, latent_actions):
    memory = control.reset(len(states), states.shape[3:])
    for t in range(latent_actions.shape[1]):
        memory = control.encode(memory, states[:, t], latent_actions[:, t])
    return memory


def test_an_answer_depends_on_what_happened_and_on_its_order(control):
    states, latent_actions = clip(3)
    answer = control.decode(remembered(control, states, latent_actions), states[:, 0])
    assert answer.shape == (3, LENGTH, 4, 5)
    for other in (
        remembered(control, states.flip(1), latent_actions.flip(1)),
        remembered(control, states, -latent_actions),
        control.reset(3, (4, 5)),
    ):
        assert (control.decode(other, states[:, 0]) - answer).abs().max() > 1e-3


def test_memory_does_not_grow_and_stays_in_bounds_in_a_thousand_steps(control):
    memory = control.reset(2, (3, 3))
    state, latent_action = torch.ones(2, RANK, 3, 3), torch.ones(2, LENGTH, 3, 3)
    shapes = [part.shape for part in memory]
    for _ in range(1000):
        memory = control.encode(memory, state, latent_action)
    assert [part.shape for part in memory] == shapes
    assert memory.hidden.abs().max() <= 1.0


def test_dreams_restart_apart(control):
    states, latent_actions = clip(3)
    memory = remembered(control, states, latent_actions)
    kept, fresh = control.decode(memory, states[:, 2]), control.decode(control.reset(3, (4, 5)), states[:, 2])
    answer = control.decode(control.restart(memory, torch.tensor([False, True, False])), states[:, 2])
    torch.testing.assert_close(answer[[0, 2]], kept[[0, 2]])
    torch.testing.assert_close(answer[1], fresh[1])
    assert (kept[1] - fresh[1]).abs().max() > 1e-3


def test_what_happens_far_away_is_not_heard_at_once(control):
    """A cell hears its neighbours, and through them others later, at every size of the grid."""
    states, latent_actions = clip(1, rows=15, cols=15)
    other = latent_actions.clone()
    other[:, :, :, 0, 0] += 1.0
    state = states[:, 0]
    first, second = (control.decode(remembered(control, states, u), state) for u in (latent_actions, other))
    heard = (first - second).abs().amax((0, 1)) > 1e-7
    far = len(control.gates) * 3 + 1  # a reset gate, a candidate and an answer look one cell further each
    assert heard[0, 0]
    assert not heard[far:].any()
    assert not heard[:, far:].any()


def test_it_goes_on_as_its_context_moved(tmp_path):
    """A thing walks left or right, a cell a step: where it is does not tell which, only what happened before."""
    sizes = ModelConfig(
        frame_size=(8, 88), actions=0, rank=2, latent_action=2, hidden=32, depth=1, control=ControlConfig(hidden=24)
    )
    model = WorldModel(sizes)
    begin = torch.arange(3, 8).repeat(20)
    way = torch.tensor([-1, 1]).repeat_interleave(50)
    places = begin[:, None] + way[:, None] * torch.arange(-2, 3)  # 4 steps on 11 cells
    states = 2.0 * F.one_hot(places.flatten().clamp(0, 10), 11)[:, None, None].float()
    states = F.pad(states, (0, 0, 0, 0, 0, 1))
    clips = unlabelled_clips(torch.zeros(len(states), 1, 8, 88), torch.full((100,), 4), {})
    training = preset("tiny").training
    training = replace(training, dynamics=Recipe(200, 64, 5e-3, 10), control=Recipe(150, 32, 1e-2, 10))
    loop = Loop(model, 0, Run(tmp_path / "x.ckpt", device="cpu"))
    loop.train(Dynamics(model, clips, states, training))
    settle_latent_actions(model, clips, states)
    loop.train(ControlStage(model, clips, states, training))
    simulator = DreamSimulator(Dream(model.requires_grad_(False), {}, Card(dead_band=0.1)), 2)
    paths = states.unflatten(0, (100, 5))[[0, 50]]  # both are at cell 3 after two steps
    assert torch.equal(paths[0, 2], paths[1, 2])
    inferred = [model.infer(paths[:, t], paths[:, t + 1]) for t in range(2)]
    simulator.reset(states=paths[:, 2])
    *_, last = simulator.autopilot(2, simulator.remember(zip(paths.unbind(1), inferred, strict=False)))
    assert last.state[:, 0, 0].argmax(1).tolist() == [1, 5]


@pytest.fixture(scope="module")
def turning(tmp_path_factory):
    """A control stage before its first step, on clips whose cells turn, each at any speed: the next change is linear in
    the last one, but a state does not tell it."""
    generator = torch.Generator().manual_seed(0)
    begin, speed = torch.rand(2, 60, 1, 2, 3, generator=generator) * torch.tensor([6.3, 0.8]).view(2, 1, 1, 1, 1)
    angle = begin + (speed - 0.4) * torch.arange(8.0)[:, None, None]
    states = torch.stack([angle.cos(), angle.sin()], dim=2).flatten(0, 1)
    clips = unlabelled_clips(torch.zeros(len(states), 1, 16, 24), torch.full((60,), 7), {})
    sizes = ModelConfig(frame_size=(16, 24), actions=0, rank=2, latent_action=2, hidden=32, control=ControlConfig(8))
    model, training = WorldModel(sizes), preset("tiny").training
    training = replace(training, dynamics=Recipe(300, 64, 5e-3, 10), control=Recipe(5, 8, 1e-3, 1))
    loop = Loop(model, 0, Run(tmp_path_factory.mktemp("turning") / "x.ckpt", device="cpu"))
    loop.train(Dynamics(model, clips, states, training))
    settle_latent_actions(model, clips, states)
    return ControlStage(model, clips, states, training)


@torch.no_grad()
def test_what_is_linear_is_known_before_training(turning):
    control = turning.model.part("control")
    turning.begin()
    known = turning._error()
    control.linear.zero_()
    control.constant.zero_()
    assert known < 0.5 * turning._error()


@torch.no_grad()
def test_the_control_model_that_goes_on_best_on_clips_held_out_stays(turning):
    control = turning.model.part("control")
    turning.begin()
    turning.memory = {}
    turning._look()
    best = control.last.weight.clone()
    control.last.weight.add_(10.0)
    turning.finish()
    assert torch.equal(control.last.weight, best)


def test_training_does_not_see_the_clips_held_out(turning):
    clips = turning.clips
    seen = {int(clips.source[start]) // 8 for start in turning.starts}
    assert seen.isdisjoint({int(clips.source[start]) // 8 for start in turning.watched})
    assert len(seen) == 54


def test_files_from_before_the_linear_part_have_none():
    values = ModelConfig(control=ControlConfig()).to_dict()
    del values["control"]["linear"], values["control"]["average"]
    found = ModelConfig.from_dict(values).control
    assert not found.linear
    assert not found.average


def test_a_control_model_from_before_averages_were_heard_goes_on_without_them():
    sizes = ModelConfig(rank=RANK, latent_action=LENGTH, control=ControlConfig(hidden=16, average=False))
    control = Control(sizes).requires_grad_(False)
    assert control.linear.shape[1] == RANK + LENGTH
    states, latent_actions = clip(3)
    memory = remembered(control, states, latent_actions)
    assert memory.past.numel() == 0
    assert control.decode(memory, states[:, 0]).shape == (3, LENGTH, 4, 5)


def test_the_average_of_what_was_heard_counts_the_last_most(control):
    states, latent_actions = clip(3)
    heard = control.listen(remembered(control, states, latent_actions), states[:, 0])
    weights = torch.tensor([FADING**3, FADING**2, FADING, 1.0])
    expected = torch.einsum("t,bt...->b...", weights, torch.cat([states, states[:, :1]], 1)) / weights.sum()
    torch.testing.assert_close(control.told(heard, states[:, 0])[:, -RANK:], expected - states[:, 0])


@pytest.fixture(scope="module")
def wavering(tmp_path_factory):
    """A control stage on clips that waver about a mean, each about another one."""
    generator = torch.Generator().manual_seed(0)
    means, noise = (torch.randn(40, count, 2, 2, 3, generator=generator) for count in (1, 8))
    states = (means + 0.3 * noise).flatten(0, 1)
    clips = unlabelled_clips(torch.zeros(len(states), 1, 16, 24), torch.full((40,), 7), {})
    sizes = ModelConfig(frame_size=(16, 24), actions=0, rank=2, latent_action=2, hidden=32, control=ControlConfig(8))
    model, training = WorldModel(sizes), preset("tiny").training
    training = replace(training, dynamics=Recipe(400, 64, 5e-3, 10), control=Recipe(5, 8, 1e-3, 1))
    loop = Loop(model, 0, Run(tmp_path_factory.mktemp("wavering") / "x.ckpt", device="cpu"))
    loop.train(Dynamics(model, clips, states, training))
    settle_latent_actions(model, clips, states)
    return ControlStage(model, clips, states, training)


@torch.no_grad()
def test_what_wavers_goes_back_to_its_own_mean_also_where_no_clip_of_the_recording_was(wavering):
    wavering.begin()
    model, generator = wavering.model, torch.Generator().manual_seed(1)
    means = torch.randn(16, 2, 2, 3, generator=generator) + 1.5  # most of them further up than in the recording
    clip = means[:, None] + 0.3 * torch.randn(16, 6, 2, 2, 3, generator=generator)
    memory = model.fresh_memory(16, (2, 3))
    for t in range(5):
        memory = model.remember(memory, clip[:, t], model.infer(clip[:, t], clip[:, t + 1]))
    reached = model.step(clip[:, 5], model.choose(memory, clip[:, 5])[1])
    assert (reached - means).square().mean() < 0.5 * (clip[:, 5] - means).square().mean()


def test_a_generated_future_depends_on_its_context_and_on_nothing_else(filmed):
    simulator = DreamSimulator(filmed, 2)
    config, cells = filmed.world_model.config, simulator.cells
    frames = torch.rand(2, 6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    frames[1, 5] = frames[0, 5]  # the same present, after another past
    states, latent_actions = simulator.generate(frames, 0.5, 10)
    assert states.shape == (2, 11, config.rank, *cells)
    assert latent_actions.shape == (2, 10, config.latent_action, *cells)
    torch.testing.assert_close(states[0, 5], states[1, 5])
    assert (latent_actions[0, 5] - latent_actions[1, 5]).abs().max() > 1e-4
    torch.testing.assert_close(simulator.generate(frames, 0.5, 10)[0], states)
    with pytest.raises(BadInputError, match="5 of 10 steps are context"):
        simulator.generate(frames[:, :5], 0.5, 10)


def test_larger_clips_than_those_it_was_trained_on_are_continued_too(filmed):
    frames = torch.rand(1, 3, 1, 40, 64, generator=torch.Generator().manual_seed(0))
    states, _ = DreamSimulator(filmed, 1, cells=(5, 8)).generate(frames, 0.5, 4)
    assert states.shape[3:] == (5, 8)
    with pytest.raises(BadInputError, match=r"\(1, 1, 40, 64\)"):
        DreamSimulator(filmed, 1, cells=(5, 8)).generate(frames[..., :32, :32], 0.5, 4)


def test_where_actions_are_known_the_autopilot_takes_the_nearest_of_them(tiny):
    model, simulator = tiny.world_model, DreamSimulator(tiny, 3, horizon=0)
    before = simulator.reset(states=tiny.starts["random"][:3])
    memory = model.fresh_memory(3, simulator.cells)
    wanted = model.part("control").decode(memory, before).clamp(-1, 1)
    taken = next(simulator.autopilot(1)).latent_action
    actions, _ = model.choose(memory, before)
    for row, (state, u) in enumerate(zip(before, wanted, strict=True)):
        each = torch.arange(model.config.actions)
        possible = model.translate(state.expand(len(each), -1, -1, -1), each)
        nearest = (possible - u).square().flatten(1).sum(1).argmin()
        assert int(actions[row]) == nearest
        torch.testing.assert_close(taken[row], possible[nearest].clamp(-1, 1), atol=1e-5, rtol=1e-4)
