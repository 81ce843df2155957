"""Rewards of any scale and events that are rare."""

import pytest
import torch

from nova_gym.data.clips import Clips
from nova_gym.model.heads import two_hot
from nova_gym.training.rare import MOST, SHARE, even_out, favour_rare
from nova_gym.training.rewards import BINS, reward_values


def recorded(rewards, ends=None, length=None):
    """A recording of these rewards and endings; its frames are of no interest."""
    count = len(rewards)
    lengths = torch.full((count // (length or count),), length or count)
    clip = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    return Clips(
        torch.zeros(count + len(lengths), 1, 1, 1, dtype=torch.uint8),
        torch.zeros(count, dtype=torch.int64),
        torch.as_tensor(rewards, dtype=torch.float32),
        torch.zeros(count, dtype=torch.bool) if ends is None else torch.as_tensor(ends),
        lengths,
        ("official",) * len(lengths),
        torch.arange(count) + clip,
        lengths[clip] - (torch.arange(count) - (lengths.cumsum(0) - lengths)[clip]),
        {},
        2,
    )


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_few_rewards_are_values_and_many_are_bins_that_cover_them(scale):
    few, bins = reward_values(recorded([-scale, 0.0, 2 * scale] * 10))
    assert few == pytest.approx((-scale, 0.0, 2 * scale))
    assert not bins
    rewards = scale * torch.randn(1000, generator=torch.Generator().manual_seed(0)).exp() - scale
    values, bins = reward_values(recorded(rewards))
    assert bins
    assert len(values) == BINS
    values = torch.tensor(values)
    assert (values.diff() > 0).all()
    assert (values[0].item(), values[-1].item()) == pytest.approx((float(rewards.min()), float(rewards.max())))
    torch.testing.assert_close(two_hot(rewards, values) @ values, rewards, rtol=1e-4, atol=1e-4 * scale)


def test_rewards_beyond_the_bins_are_the_outermost_and_one_value_is_certain():
    values = torch.tensor([-1.0, 0.0, 4.0])
    weights = two_hot(torch.tensor([-9.0, 1.0, 9.0]), values)
    assert weights.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.75, 0.25], [0.0, 0.0, 1.0]]
    assert two_hot(torch.tensor([3.0, 3.0]), torch.tensor([3.0])).tolist() == [[1.0], [1.0]]


def test_rare_rewards_and_endings_are_drawn_more_often_and_what_leads_to_them_too():
    rewards, ends = torch.zeros(1000), torch.zeros(1000, dtype=torch.bool)
    rewards[500], ends[999] = 1.0, True
    clips = recorded(rewards, ends)
    weights = favour_rare(clips).weights
    assert weights[500] == weights[999] == pytest.approx(min(MOST, SHARE * 1000))
    assert weights[499] == 1.0
    before = favour_rare(clips, before=3).weights
    assert (before[497:501] == weights[500]).all()
    assert before[496] == before[501] == 1.0


def test_what_leads_to_a_rare_event_is_in_its_own_clip():
    rewards = torch.zeros(1000)
    rewards[500] = 1.0
    weights = favour_rare(recorded(rewards, length=10), before=3).weights
    assert weights[500] > 1.0
    assert weights[499] == 1.0


def test_where_all_events_are_common_nothing_is_favoured():
    clips = recorded([0.0, 1.0] * 50)
    assert favour_rare(clips) is clips
    dense = recorded(torch.rand(1000, generator=torch.Generator().manual_seed(0)))
    assert favour_rare(dense).weights is None or favour_rare(dense).weights.max() < 2.0


def test_what_follows_rare_situations_is_drawn_as_often_and_odds_within_one_stay():
    clips, states = recorded(torch.zeros(100)), torch.zeros(101, 1, 1, 1)
    states[90:100] = 1.0  # ten of a hundred
    weights = even_out(clips, states + 1e-4 * torch.rand(states.shape)).weights
    assert weights[90:].sum() == pytest.approx(float(weights[:90].sum()))
    assert weights[90:].unique().numel() == 1
    clips.actions[5] = 1  # the same state, another action
    assert even_out(clips, states).weights[5] == MOST


def test_where_no_situation_repeats_all_are_drawn_alike():
    clips = recorded(torch.zeros(10))
    assert even_out(clips, torch.arange(11.0).view(-1, 1, 1, 1)) is clips
