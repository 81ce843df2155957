"""Content from elsewhere in the clip: what B(u) has to tell, A must not know."""

from dataclasses import replace

import pytest
import torch

from nova_gym.training import preset
from nova_gym.training.dynamics import Dynamics
from nova_gym.training.representation import encode_all
from nova_gym.training.unrolling import Unrolling


def generator(seed):
    return torch.Generator().manual_seed(seed)


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


@pytest.mark.parametrize("kind", [Dynamics, Unrolling])
def test_from_elsewhere_too_the_inferred_action_is_to_lead_to_the_next_state(kind, tiny, clips):
    """A is given another state than the inverse dynamics; the step is compared with the true next state."""
    model, states = tiny.world_model, encode_all(tiny.world_model, clips)
    training = preset("tiny").training
    training = replace(training, dynamics=replace(training.dynamics, noise=0.0))
    for share in (0.0, 1.0):
        stage = kind(model, clips, states, replace(training, elsewhere=share))
        batch = stage.batch(generator(0), 0.0)
        content = batch["content"]
        before, after = (batch["state"], batch["next"]) if kind is Dynamics else (batch["before"], batch["after"])
        before, after = before[-len(content) :], after[-len(content) :]
        assert torch.equal(content, before) == (share == 0.0)
        with torch.no_grad():
            _, metrics = stage(batch)
            reached = model.step(content, model.infer(before, after))
        torch.testing.assert_close(
            metrics["next" if kind is Dynamics else "inverse"], (reached - after).square().mean(), rtol=1e-4, atol=1e-6
        )
