"""Training with memory and chance, on worlds whose states are made up: what was hidden or random is dreamt rightly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nova_gym import Dream, DreamSimulator
from nova_gym.dream import Card
from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.heads import Heads
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run, preset, recurrent
from nova_gym.training.loop import Loop
from nova_gym.training.odds import least_odds
from nova_gym.training.presets import Recipe
from nova_gym.training.recurrent import RecurrentDynamics

from . import toys

PLACES = 12


def shown(places):
    """(…, 4, 1, 1) states of places on a ring, by which all of them are told apart."""
    angle = torch.as_tensor(places, dtype=torch.float32)[..., None] * (2 * np.pi / PLACES)
    return 2**0.5 * torch.cat([angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos()], -1)[..., None, None]


def nearest(states):
    """(…) int64 places that states (…, 4 + M, 1, 1) are nearest to."""
    return torch.cdist(states[..., :4, 0, 0].flatten(0, -2), shown(torch.arange(PLACES))[..., 0, 0]).argmin(-1)


def trained(rule, folder, steps=160, **sizes):
    """A dream of walks by a rule, of one cell."""
    loop, stage = taught(rule, folder, steps, **sizes)
    loop.train(stage)
    stage.model.eval().requires_grad_(False)
    return Dream(stage.model, {}, Card(""))


def taught(rule, folder, steps=160, ends=(), **sizes):
    """The training of such a dream; walks of the numbers `ends` end an episode."""
    places, actions = toys.walks(rule, episodes=200, length=16)
    clips = toys.clips_of(np.zeros((*places.shape, 1, 1, 1), np.uint8), actions)
    walk = torch.arange(len(clips.source)) // 16
    over = (clips.remaining == 1) & torch.isin(walk, torch.tensor(ends))
    clips = replace(clips, terminations=over, rewards=over.float())
    config = ModelConfig(
        frame_size=(8, 8), actions=2, rank=4, latent_action=4, hidden=48, head_hidden=8, depth=2, reach=1, far=True,
        reward_values=(0.0,), encoder_widths=(8, 8), inr=INRConfig(1, 2, 4, 1), **sizes,
    )  # fmt: skip
    training = replace(preset("tiny").training, dynamics=Recipe(steps, 256, 1e-2, warmup=10), horizon=16, elsewhere=0.0)
    model, states = WorldModel(config), shown(places.ravel())
    loop = Loop(model, 0, Run(folder / "run.ckpt", device="cpu"))
    return loop, RecurrentDynamics(model, clips, states, training)


@torch.no_grad()
def foretold(dream, hears):
    """The share of places that a dream foretells of walks it never saw, whether or not it hears their first steps."""
    places, actions = toys.walks(toys.gliding, episodes=64, length=12, seed=9)
    model, acts = dream.world_model, torch.as_tensor(actions)
    state = model.begin(shown(places[:, 0]), official=True)
    for t in range(4):
        state = model.recall(state, shown(places[:, t + 1]), acts[:, t])
    simulator = DreamSimulator(dream, 64)
    simulator.reset(states=state if hears else model.seen(state))
    right = [nearest(simulator.step(acts[:, t]).state) == torch.as_tensor(places[:, t + 1]) for t in range(4, 12)]
    return float(torch.stack(right).float().mean())


def test_memory_learns_what_no_frame_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(recurrent, "SPAN", 3)
    dream = trained(toys.gliding, tmp_path, memory=8)
    assert foretold(dream, hears=True) > 0.95
    assert foretold(dream, hears=False) < 0.7


def test_chance_draws_one_future_or_the_other_and_never_their_mean(tmp_path, monkeypatch):
    monkeypatch.setattr(recurrent, "SPAN", 2)
    dream = trained(toys.flipping, tmp_path, 240, outcomes=4)
    simulator = DreamSimulator(dream, 1200)
    simulator.reset(states=shown(np.arange(1200) % PLACES), generator=torch.Generator().manual_seed(0))
    state = simulator.step(torch.zeros(1200, dtype=torch.int64)).state
    reached = nearest(state)
    moved = (reached - torch.arange(1200)) % PLACES
    left, right = (moved == PLACES - 1).float().mean(), (moved == 1).float().mean()
    assert float(left + right) > 0.9
    assert float(left) == pytest.approx(0.5, abs=0.1)
    assert float((state - shown(reached)).square().mean()) < 0.1


def test_the_least_odds_are_those_of_nearly_all_that_happened(tmp_path, monkeypatch):
    monkeypatch.setattr(recurrent, "SPAN", 2)
    dream = trained(toys.flipping, tmp_path, 240, outcomes=4)
    places, actions = toys.walks(toys.flipping, episodes=200, length=16)
    clips = toys.clips_of(np.zeros((*places.shape, 1, 1, 1), np.uint8), actions)
    assert 0.5 < least_odds(dream.world_model, clips, shown(places.ravel())) < 1.0  # both futures are as likely
    short = toys.clips_of(np.zeros((2, 3, 1, 1, 1), np.uint8), actions[:2, :2])
    assert least_odds(dream.world_model, short, shown(places[:2, :3].ravel())) == 0.0  # too few to tell


def test_heads_learn_from_true_states_and_from_the_dream_s_own(tmp_path, monkeypatch):
    monkeypatch.setattr(recurrent, "SPAN", 2)
    judged, forward = [], Heads.forward

    def noted(heads, state, latent_action, following, changed, more=None):
        judged.append(following.detach())
        return forward(heads, state, latent_action, following, changed, more)

    monkeypatch.setattr(Heads, "forward", noted)
    trained(toys.gliding, tmp_path, 20, memory=8)
    true = torch.stack([(states - shown(nearest(states))).abs().amax((1, 2, 3)) < 1e-6 for states in judged[-8:]])
    other = (torch.arange(true.shape[1]) // recurrent.SPAN) % 2 == 1
    assert bool(true[:, ~other].all())
    assert float(true[:, other].float().mean()) < 0.5


@pytest.mark.parametrize("sizes", [{"memory": 8}, {"memory": 8, "outcomes": 4}])
def test_a_step_from_beyond_an_end_is_taught_to_be_that_end_unless_ends_may_be_chance(sizes, tmp_path):
    _, stage = taught(toys.gliding, tmp_path, ends=range(100), **sizes)
    batch = stage.batch(torch.Generator().manual_seed(0), 0.0)
    at = stage.memory["at"][:, None] + torch.arange(recurrent.SPAN)
    over = (at // 16 > at[:, :1] // 16) & (at[:, :1] // 16 < 100) & ("outcomes" not in sizes)
    assert bool(over.any()) == ("outcomes" not in sizes)
    assert torch.equal(batch["beyond"], over)
    assert bool(batch["terminations"][over].all())
    assert bool((batch["rewards"][over] == 1.0).all())  # what the end pays
    assert not bool(batch["valid"][over].any())
    loss, _ = stage(batch)
    assert bool(loss.isfinite())
