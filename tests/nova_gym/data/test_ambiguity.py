"""Memory and chance are measured on what repeats."""

import numpy as np
import pytest

from nova_gym.data import measure_ambiguity


def measured(frames, actions, lengths, rewards=None, ends=None):
    """`frames` are small numbers, one a look."""
    count = len(actions)
    return measure_ambiguity(
        np.asarray(frames).astype(np.uint64),
        np.asarray(actions),
        np.zeros(count) if rewards is None else np.asarray(rewards),
        np.zeros(count, bool) if ends is None else np.asarray(ends),
        np.asarray(lengths),
    )


def walked(follow, rng, clips=40, length=50):
    """Clips in which `follow(frames so far, action)` says the next frame."""
    frames, actions = [], []
    for _ in range(clips):
        clip = [int(rng.integers(3))]
        for _ in range(length):
            actions.append(int(rng.integers(2)))
            clip.append(follow(clip, actions[-1]))
        frames += clip
    return measured(frames, actions, [length] * clips)


def test_where_the_frame_is_the_state_nothing_is_ambiguous():
    found = walked(lambda clip, action: (clip[-1] + action) % 5, np.random.default_rng(0))
    assert found.enough
    assert found.surprising[1] == found.explained == 0
    assert "none needed" in found.lines()[0]


def test_what_the_frame_before_says_is_memory():
    found = walked(lambda clip, action: (clip[-1] + (clip[-2] if len(clip) > 1 else 0) + action) % 5,
                   np.random.default_rng(0))  # fmt: skip
    assert found.surprising[1] > 0.3
    assert found.explained == 1
    assert "the past explains 100%" in found.lines()[0]


def test_what_no_past_says_is_chance():
    rng = np.random.default_rng(0)
    found = walked(lambda clip, action: (clip[-1] + action + int(rng.random() < 0.25)) % 5, rng)
    assert found.surprising[1] == pytest.approx(0.25, abs=0.02)
    assert found.differs == pytest.approx(2 * 0.25 * 0.75, abs=0.02)
    assert found.explained < 0.05
    assert "explains" in found.lines()[0]


def test_a_recording_without_repeats_says_so():
    found = measured(np.arange(201), np.zeros(200, int), [200])
    assert not found.enough
    assert "hardly any frames repeat" in found.lines()[0]


def test_repeats_of_the_first_frames_alone_tell_nothing_of_a_past():
    frames = np.concatenate([[1, 100 * i + 2, 100 * i + 3, 100 * i + 4] for i in range(50)])
    found = measured(frames, np.zeros(150, int), [3] * 50)
    assert found.past == 1
    assert not found.enough


def test_rewards_and_ends_are_judged_between_the_same_frames():
    frames, actions = np.tile([1, 2], 100), np.zeros(100, int)
    rewards, ends = np.arange(100) % 4 == 0, np.arange(100) % 5 == 0
    found = measured(frames, actions, [1] * 100, rewards, ends)
    assert (found.reward, found.termination) == (0.25, 0.2)
    assert found.surprising[1] == 0
