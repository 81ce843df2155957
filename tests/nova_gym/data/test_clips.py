"""Recorded clips as tensors."""

import pytest
import torch

from nova_gym.data import load_clips
from nova_gym.errors import BadInputError


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_clips_hold_every_transition_once(clips):
    assert len(clips.frames) == len(clips.actions) + len(clips.lengths)
    assert clips.source[0] == 0
    last = clips.source[torch.cumsum(clips.lengths, 0) - 1] + 1
    assert torch.equal(last[:-1] + 1, clips.first_frames[1:])
    assert torch.equal(clips.remaining[torch.cumsum(clips.lengths, 0) - 1], torch.ones_like(clips.lengths))
    assert (clips.position + clips.remaining == clips.lengths.repeat_interleave(clips.lengths)).all()


def test_rewards_are_undiscounted_and_end_the_clip(clips):
    assert set(clips.rewards.tolist()) == {0.0, 1.0}
    assert torch.equal(clips.rewards > 0.5, clips.terminations)
    assert clips.terminations.any()
    assert (clips.remaining[clips.terminations] == 1).all()


def test_elsewhere_is_any_frame_of_the_same_clip(clips):
    transitions = torch.randint(len(clips.source), (20_000,), generator=generator(0))
    own = clips.source[transitions]
    clip = torch.repeat_interleave(torch.arange(len(clips.lengths)), clips.lengths + 1)
    assert torch.equal(clips.elsewhere(transitions, own, 0.0, generator(1)), own)
    found = clips.elsewhere(transitions, own, 1.0, generator(1))
    assert torch.equal(clip[found], clip[own])
    place, last = found - clips.first_frames[clip[found]], clips.lengths[clip[found]]
    assert float((place == 0).float().mean()) == pytest.approx(float((1 / (last + 1)).mean()), abs=0.02)
    assert float((place == last).float().mean()) == pytest.approx(float((1 / (last + 1)).mean()), abs=0.02)
    moved = (found != own).float().mean()
    some = (clips.elsewhere(transitions, own, 0.25, generator(2)) != own).float().mean()
    assert float(some) == pytest.approx(0.25 * float(moved), abs=0.02)


def test_a_part_of_a_recording_is_a_recording_of_the_same_clips(clips):
    chosen = torch.arange(len(clips.lengths)) % 3 == 1
    part, there, made = clips.part(chosen), chosen.repeat_interleave(clips.lengths + 1), 0
    assert torch.equal(part.frames, clips.frames[there])
    first = torch.cumsum(clips.lengths, 0) - clips.lengths
    for clip in chosen.nonzero()[:, 0].tolist():
        for step in range(int(clips.lengths[clip])):
            transition = int(first[clip]) + step
            assert part.actions[made] == clips.actions[transition]
            assert part.position[made] == step
            for moment in (0, 1):
                own, same = part.frames[part.source[made] + moment], clips.frames[clips.source[transition] + moment]
                assert torch.equal(own, same)
            made += 1
    assert made == len(part.source) == len(part.remaining)
    assert part.starts == tuple(name for i, name in enumerate(clips.starts) if i % 3 == 1)
    assert clips.part(torch.ones_like(chosen)) is clips


def test_a_missing_dataset_is_one_clear_error():
    with pytest.raises(BadInputError, match="nova-gym record"):
        load_clips("test/nothing-v0")
