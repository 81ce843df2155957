"""Where episodes in training start."""

from dataclasses import replace

import pytest
import torch

from nova_gym.agents import DreamVecEnv, make_agent
from nova_gym.agents.starts import RANDOM, PrioritizedStarts


@pytest.fixture(scope="module")
def starts(shipped):
    return PrioritizedStarts(shipped)


def _count(starts: PrioritizedStarts, start: torch.Tensor) -> int:
    return int((starts.bank == start).all(1).sum())


def test_starts_are_anywhere_official_or_on_the_way(shipped, starts):
    anywhere = shipped.starts["random"]
    known = {start.numpy().tobytes() for start in anywhere}
    assert all(start.numpy().tobytes() in known for start in starts.bank[starts.drawn :])
    assert len(anywhere) / len(starts.bank) == pytest.approx(RANDOM, abs=0.01)
    official = sum(_count(starts, start) for start in shipped.starts["official"])
    assert 0.35 < official / starts.drawn < 0.75  # walks that led nowhere are official starts as well


@pytest.mark.parametrize("kind", ["official", "random"])
def test_a_start_that_the_agent_fails_from_is_drawn_more_often(shipped, starts, kind):
    """One start in ten fails: without priorities these are a tenth of what is drawn, with them about half."""
    failing, first = len(shipped.starts[kind]) // 10, 0 if kind == "official" else len(shipped.starts["official"])
    starts.success[:] = 1.0
    starts.success[first : first + failing] = 0.0
    starts._draw()
    drawn = starts.bank[: starts.drawn] if kind == "official" else starts.bank[starts.drawn :]
    of = {start.numpy().tobytes(): i for i, start in enumerate(shipped.starts[kind])}
    places = [of[start.numpy().tobytes()] for start in drawn if start.numpy().tobytes() in of]
    assert sum(place < failing for place in places) / len(places) > 0.4


def test_training_draws_from_the_bank_and_counts_successes(tiny):
    """Episodes of one step at most: each is counted for the start that it began from."""
    starts = PrioritizedStarts(tiny)
    bank = starts.bank.clone()
    env = DreamVecEnv(
        replace(tiny, starts=tiny.starts | {"training": starts.bank}), 8, starts="training", max_episode_steps=1
    )
    starts.success[:] = 0.5
    make_agent("a2c", env, device="cpu").learn(8 * 16, callback=starts)
    assert not torch.equal(starts.bank, bank)
    assert (starts.success != 0.5).any()
    starts.bank[:] = starts.states[0]  # what is written there is where the next episodes start
    env.reset()
    assert all((info["latent"] == starts.states[0].numpy()).all() for info in env.reset_infos)


@pytest.mark.parametrize("kind", ["official", "recorded"])
def test_a_dream_without_random_starts_gives_what_it_has(tiny, kind):
    starts = PrioritizedStarts(replace(tiny, starts={kind: tiny.starts["official"]}))
    assert len(starts.bank) == starts.drawn == len(starts.states)
    assert len(starts.success) == len(tiny.starts["official"])


def test_the_same_seed_draws_the_same_starts(tiny):
    assert torch.equal(PrioritizedStarts(tiny, 3).bank, PrioritizedStarts(tiny, 3).bank)
    assert not torch.equal(PrioritizedStarts(tiny, 3).bank, PrioritizedStarts(tiny, 4).bank)
