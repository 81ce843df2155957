import sys

import numpy as np
import pytest
import torch

from nova_gym import Dream
from nova_gym.data import load_clips, moving_digits, to_unit, videos
from nova_gym.data.moving_digits import DIGIT, HELD_OUT, STEP, handwritten_digits, paths
from nova_gym.errors import BadInputError

MODULE = sys.modules["nova_gym.data.moving_digits"]  # as an attribute it is the function


def test_digits_stay_inside_move_at_constant_speed_and_turn_only_at_walls():
    room = 36
    corners = paths(200, np.random.default_rng(0), 60, room)
    assert corners.min() == 0
    assert corners.max() == room
    moves = np.diff(corners, axis=1)
    speed = np.sqrt((moves.astype(float) ** 2).sum(-1))
    assert speed.max() <= STEP * room + 1.5  # whole pixels: each coordinate is off by one at most
    near_wall = (corners < STEP * room) | (corners > room - STEP * room)
    turns = moves[:, 1:] * moves[:, :-1] < 0
    assert turns.any()
    assert near_wall[:, 1:-1][turns].all()
    straight = ~near_wall[:, 1:].any(-1) & ~near_wall[:, :-1].any(-1)
    assert abs(speed[straight].mean() - STEP * room) < 0.1


def test_the_brighter_pixel_shows_and_test_digits_are_never_trained_on(monkeypatch):
    """With digits of one brightness for training and another for tests, nothing else is ever seen: no sums either."""
    digits = np.full((1000, DIGIT, DIGIT), 100, dtype=np.uint8)
    digits[-HELD_OUT:] = 200
    monkeypatch.setattr(MODULE, "handwritten_digits", lambda: digits)
    training, test = moving_digits(100, 0), moving_digits(100, 0, test=True)
    assert set(np.unique(training)) == {0, 100}
    assert set(np.unique(test)) == {0, 200}
    ink = (training > 0).sum((2, 3))
    assert ink.max() == 2 * DIGIT * DIGIT  # both digits apart
    assert ink.min() < 1.5 * DIGIT * DIGIT  # and one before the other


def test_a_seed_makes_the_clips():
    once, again, other = moving_digits(3, 5), moving_digits(3, 5), moving_digits(3, 6)
    assert once.shape == (3, 20, 64, 64)
    assert once.dtype == np.uint8
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_digits_are_drawn_with_smooth_strokes_in_a_margin():
    digits = handwritten_digits()
    assert digits.shape == (1797, DIGIT, DIGIT)
    edge = np.concatenate([digits[:, 0], digits[:, -1], digits[:, :, 0], digits[:, :, -1]])
    assert (edge > 128).mean() < 0.01
    soft = ((digits > 0) & (digits < 255)).mean() / (digits > 0).mean()
    assert 0.2 < soft < 0.8  # neither steps nor fog


def test_the_canonical_file_is_used_where_there_is_one(tmp_path, monkeypatch):
    for module in (MODULE, videos):
        monkeypatch.setattr(module, "CANONICAL", (20, 10, 64, 64))
        monkeypatch.setattr(module, "CANONICAL_TRAINING", 8)
    file = tmp_path / "mnist_test_seq.npy"
    np.save(file, np.broadcast_to(np.arange(10, dtype=np.uint8)[None, :, None, None], (20, 10, 64, 64)))
    assert sorted(moving_digits(2, 0, test=True, source=file)[:, 0, 0, 0]) == [8, 9]
    clips = load_clips(str(file))
    assert clips.frames.shape == (8 * 20, 1, 64, 64)
    assert clips.frames.unique().tolist() == list(range(8))
    with pytest.raises(BadInputError, match="8 such clips of 20 frames"):
        moving_digits(9, 0, source=file)
    np.save(file, np.zeros((3, 4, 5)))
    with pytest.raises(BadInputError, match="canonical file"):
        moving_digits(1, 0, source=file)


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"length": 1}, {"size": 20}])
def test_sizes_that_make_no_clip_are_refused(wrong):
    with pytest.raises(BadInputError, match="at least 1 clip of 2 frames of 28×28"):
        moving_digits(**{"clips": 1, "seed": 0, **wrong})


@torch.no_grad()
def test_in_the_dream_of_digits_almost_all_paper_is_exactly_black():
    """Of digits that it never saw; frames that go through the dynamics as well keep their paper."""
    truth = torch.from_numpy(moving_digits(16, 7, test=True)).unsqueeze(2)
    model = Dream.load("digits").world_model
    states = model.encode(to_unit(truth[:, 0]))
    for t in (0, 10):
        drawn = model.render(states)
        assert (drawn[truth[:, t] == 0] < 1 / 256).float().mean() > 0.97, t
        for earlier in range(t, 10):
            pair = (model.encode(to_unit(truth[:, k])) for k in (earlier, earlier + 1))
            states = model.step(states, model.infer(*pair))
