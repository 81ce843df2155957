"""Clips that go on are true: every step of theirs was recorded, and none where the frame does not say all."""

import torch

from nova_gym.data import Clips
from nova_gym.training import prolonging
from nova_gym.training.prolonging import prolonged


def recording(places, actions, ends=False):
    """One clip whose frames are each of the colour of a place."""
    count = len(actions)
    return Clips(
        frames=torch.tensor(places, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous(),
        actions=torch.tensor(actions),
        rewards=torch.zeros(count),
        terminations=torch.tensor([False] * (count - 1) + [ends]),
        lengths=torch.tensor([count]),
        starts=("official",),
        source=torch.arange(count),
        remaining=torch.arange(count, 0, -1),
        metadata={},
        action_count=3,
    )


def go_on(*args, **kwargs):
    return prolonged(recording(*args, **kwargs), torch.Generator().manual_seed(0))


def test_each_step_was_recorded_and_all_that_can_be_gone_around_is():
    places, actions = [5, 1, 2, 1, 1, 9], [0, 1, 2, 0, 1]
    places[5] = 2
    longer = go_on(places, actions)
    assert longer.lengths.tolist() == [prolonging.STEPS]
    shown = longer.frames[:, 0, 0, 0].tolist()
    steps = set(zip(shown, longer.actions.tolist(), shown[1:], strict=False))
    assert steps <= set(zip(places, actions, places[1:], strict=False))
    assert {(1, 1, 2), (2, 2, 1), (1, 0, 1)} <= steps
    assert shown[0] in (1, 5)


def test_a_clip_that_never_comes_back_or_whose_way_back_ends_it_does_not_go_on():
    assert go_on([1, 2, 3, 4], [0, 1, 2]) is None
    assert go_on([1, 2, 1], [0, 1], ends=True) is None
    assert go_on([1, 1, 1], [0, 0]) is None


def test_where_the_same_action_leads_elsewhere_the_frame_does_not_say_all():
    assert go_on([1, 2, 1, 3, 1], [0, 1, 0, 1]) is None
