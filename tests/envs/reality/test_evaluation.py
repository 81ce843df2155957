import json

import numpy as np
import pytest
import torch

from nova_gym import measures
from nova_gym.envs import evaluate, find_reality, reality_spec
from nova_gym.errors import BadInputError


def test_shares_and_means_have_the_intervals_of_the_textbook():
    estimate = measures.share(np.array([True] * 8 + [False] * 2))
    assert (estimate.value, estimate.n) == (0.8, 10)
    assert (estimate.low, estimate.high) == pytest.approx((0.4902, 0.9433), abs=1e-3)  # Wilson
    estimate = measures.mean(np.array([1.0, 2.0, 3.0]))
    assert (estimate.low, estimate.high) == pytest.approx((-0.4841, 4.4841), abs=1e-3)  # Student, 2 degrees
    assert measures.share(np.array([], dtype=bool)) is None


def test_one_wrong_tile_is_seen_in_its_place():
    truth = np.random.default_rng(0).random((2, 24, 24, 3))
    frames = truth.copy()
    frames[1, 8:16, 16:24] += 0.5
    errors = measures.tile_errors(truth, frames, 8)
    assert errors.shape == (2, 3, 3)
    assert errors[1, 1, 2] == pytest.approx(0.25)
    assert errors.sum() == pytest.approx(0.25)
    assert measures.psnr(truth, frames)[0] == measures.PSNR_CAP
    assert measures.ssim(truth, frames)[0] == pytest.approx(1)


def test_an_untrained_dream_is_found_out(tiny):
    report = evaluate(tiny, episodes=6, steps=3)
    assert report.open_loop[3]["exact"].value < 0.5
    assert report.transitions["turn"].value < 0.5
    assert report.picture().shape == (3 * 72, 6 * 72, 3)
    json.dumps(report.to_dict())


def test_a_dream_that_never_moves_is_wrong_where_things_move_only(shipped, monkeypatch):
    monkeypatch.setattr("nova_gym.stepping._compiler", lambda part: None)  # the compiled step asks no method
    monkeypatch.setattr(shipped.world_model, "step", lambda z, u: z)
    report = evaluate(shipped, episodes=8, steps=1)
    assert report.transitions["no-op"].value > 0.8
    assert report.transitions["turn"].value == 0
    assert report.transitions["free move"].value == 0


def test_missed_and_invented_endings_are_counted(shipped, monkeypatch):
    def never(z, *_):
        return torch.zeros(len(z)), torch.zeros(len(z)), torch.zeros(len(z))

    monkeypatch.setattr("nova_gym.stepping._compiler", lambda part: None)
    monkeypatch.setattr(shipped.world_model, "outcome", never)
    outcomes = evaluate(shipped, episodes=8, steps=2).outcomes["expert"]
    assert outcomes["termination recall"].value == 0
    assert outcomes["termination precision"] is None

    def always(z, *_):
        return torch.ones(len(z)), torch.ones(len(z)), torch.zeros(len(z))

    monkeypatch.setattr(shipped.world_model, "outcome", always)
    outcomes = evaluate(shipped, episodes=8, steps=2).outcomes["expert"]
    assert outcomes["termination recall"].value < 0.2  # whoever ends at once misses the real end,
    assert outcomes["termination precision"].value < 0.2  # and invents one: once, since an end is an end
    assert outcomes["termination precision"].n == 8


def test_every_episode_reaches_every_checkpoint(shipped):
    """In so small a room a random walk soon steps on the goal, and the time limit is 100 steps."""
    report = evaluate(shipped, episodes=5, steps=110, reality="MiniGrid-Empty-5x5-v0")
    assert {step: row["exact"].n for step, row in report.open_loop.items()} == {1: 5, 10: 5, 50: 5, 100: 5, 110: 5}
    assert report.outcomes["random"]["termination recall"] is None  # nothing ends there
    assert report.outcomes["random"]["endings right"].n == 5 * 110
    assert report.outcomes["transitions"]["termination recall"].n == 5
    assert report.outcomes["expert"]["termination recall"].n == 5


@pytest.mark.parametrize("env_id", ["MiniGrid-LavaGapS5-v0", "MiniGrid-GoToObject-6x6-N2-v0", "CartPole-v1"])
def test_what_ends_an_episode_is_known_before(env_id):
    reality, rng = find_reality(reality_spec(env_id, 120)), np.random.default_rng(0)
    env, ended = reality.make(), 0
    for seed in range(20):
        env.reset(seed=seed)
        for _ in range(60):
            action = reality.random_action(env, rng)
            foretold = reality.ends(env, action)
            terminated = env.step(action)[2]
            assert terminated == foretold
            ended += terminated
            if terminated:
                break
    assert ended > 0


def test_starts_are_those_that_a_recording_cannot_hold(shipped, tiny):
    elsewhere = evaluate(shipped, 2, 1)
    assert elsewhere.settings["recorded"] == "NovaLayouts-MiniGrid-v0"  # which leaves out whole families
    assert elsewhere.settings["starts"] == "official"
    own = evaluate(tiny, 2, 1)
    assert own.settings["held_out_layouts"] >= 1
    assert own.settings["starts"] == "random"


@pytest.mark.slow
def test_the_same_seed_finds_the_same_numbers(tiny):
    assert evaluate(tiny, 3, 2, seed=4).to_dict() == evaluate(tiny, 3, 2, seed=4).to_dict()


def test_bad_input_is_refused(tiny):
    with pytest.raises(BadInputError, match="at least 1 episode"):
        evaluate(tiny, episodes=0)
    with pytest.raises(BadInputError, match="random, official"):
        evaluate(tiny, starts="elsewhere")
