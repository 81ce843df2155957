"""The stages `dynamics` and `tuning`: what they show the model, and what they compare."""

from dataclasses import replace

import pytest
import torch

from nova_gym.training import dynamics, preset
from nova_gym.training.changes import EMPHASIS, ROUNDING, Changes, emphasize, wrong_transitions
from nova_gym.training.dynamics import MATCHING, MISTAKEN, OUTCOME, QUIET, REVERSED, Dynamics
from nova_gym.training.representation import encode_all


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def states(tiny, clips):
    return encode_all(tiny.world_model, clips)


def never(changes, model, settled, truth):
    """No rollout of a model that hardly learned keeps to the true looks."""
    return torch.zeros(len(settled), dtype=torch.bool)


def rolling(dream, clips, states, lost=None, **training):
    """The stage on true states without noise."""
    config = preset("tiny").training
    config = replace(config, dynamics=replace(config.dynamics, noise=0.0), **training)
    stage = Dynamics(dream.world_model, clips, states, config)
    if lost is not None:
        stage.changes = replace(stage.changes, lost=lost)
    return stage


def test_rollouts_go_on_from_one_step_to_the_next(tiny, clips, states, monkeypatch):
    """A rollout is what the model makes of a true state and of the actions since, till its clip or `horizon` ends."""
    monkeypatch.setattr(dynamics, "PUSHED", 0.0)
    monkeypatch.setattr(Changes, "astray", never)
    model, longest = tiny.world_model, 0
    stage = rolling(tiny, clips, states, lost=float("inf"), horizon=6)
    band = stage.changes.dead_band
    for step in range(12):
        batch = stage.batch(generator(step), 0.0)
        with torch.no_grad():
            stage(batch)
        memory = stage.memory
        for state, after, steps, over in zip(*(memory[key] for key in ("state", "at", "steps", "over")), strict=True):
            begun = after - steps
            made = states[clips.source[begun]][None]
            for transition in range(int(begun), int(after)):
                moved = model.step(made, model.translate(made, clips.actions[transition][None]))
                made = model.settle(made, moved, band)
            torch.testing.assert_close(state, made[0], atol=1e-4, rtol=1e-3)
            assert over == (clips.remaining[after - 1] == 1 or steps == 6)
            assert clips.position[begun] % 6 == 0
            longest = max(longest, int(steps))
    assert longest == 6


def test_rollouts_are_pushed_along_their_own_error_and_not_too_far(tiny, clips, states, monkeypatch):
    monkeypatch.setattr(dynamics, "PUSHED", 1.0)
    monkeypatch.setattr(Changes, "astray", never)
    stage, pushed = rolling(tiny, clips, states, lost=4.0, horizon=6), 0
    for step in range(6):
        batch = stage.batch(generator(step), 0.0)
        count = len(stage.memory["at"])
        truth = batch["before"][:count]
        off, further = (part.flatten(1) for part in (stage.memory["state"] - truth, batch["state"][:count] - truth))
        moved = off.norm(dim=1) > 1e-3
        along = torch.nn.functional.cosine_similarity(off[moved], further[moved])
        assert (along > 0.999).all()
        longer = further.norm(dim=1) / off.norm(dim=1)
        assert (longer[moved] > 0.999).all()
        assert (longer[moved] < dynamics.MOST + 1e-3).all()
        pushed += int((longer[moved] > 1.01).sum())
        with torch.no_grad():
            stage(batch)
    assert pushed


def test_a_rollout_that_is_lost_makes_room_for_another(tiny, clips, states):
    stage = rolling(tiny, clips, states, lost=0.0)
    for step in range(3):
        batch = stage.batch(generator(step), 0.0)
        begun = clips.source[stage.memory["at"]]
        assert torch.equal(batch["state"][: len(begun)], states[begun])
        with torch.no_grad():
            _, metrics = stage(batch)
        assert metrics["lost"] == 1
        assert metrics["length"] == 1


def test_a_rollout_is_lost_when_one_cell_of_it_is(tiny, clips, states, monkeypatch):
    stage = rolling(tiny, clips, states)
    stage.batch(generator(0), 0.0)
    errors = torch.zeros(stage.recipe.batch, 9, 9)
    errors[3, 2, 5], errors[4] = 1.01 * stage.changes.lost, 0.99 * stage.changes.lost
    errors[5, 0, 0] = float("nan")
    state = stage.memory["state"]
    assert stage._go_on(state, state, errors, state)["lost"] == pytest.approx(2 / stage.recipe.batch)
    assert stage.memory["over"][[3, 5]].all()


def test_a_rollout_is_lost_when_a_cell_has_another_look(tiny, clips, states):
    assert tiny.world_model.config.looks > 4
    stage = rolling(tiny, clips, states)
    stage.batch(generator(0), 0.0)
    state, errors = stage.memory["state"], torch.zeros(stage.recipe.batch, 9, 9)
    wrong = state.clone()
    away = (tiny.world_model.looks - state[2, :, 0, 0]).square().sum(1).argmax()
    wrong[2, :, 0, 0] = tiny.world_model.looks[away]
    assert stage._go_on(state, wrong, errors, state)["lost"] == pytest.approx(1 / stage.recipe.batch)
    assert stage.memory["over"][2]


def test_rollouts_single_steps_and_inferred_steps_are_all_compared_with_the_truth(tiny, clips, states):
    stage = rolling(tiny, clips, states)
    batch, count = stage.batch(generator(0), 1.0), stage.recipe.batch
    assert len(batch["state"]) == len(batch["before"]) == len(batch["after"]) == 2 * count
    assert torch.equal(batch["state"][count:], batch["before"][count:])
    with torch.no_grad():
        loss, metrics = stage(batch)
        model = tiny.world_model
        made = model.step(batch["state"], model.translate(batch["state"], batch["actions"]))
    errors = (made - batch["after"]).square().flatten(1).mean(1)
    torch.testing.assert_close(metrics["rollout"], errors[:count].mean(), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(metrics["single"], errors[count:].mean(), rtol=1e-3, atol=1e-6)
    whole = metrics["rollout"] + metrics["single"] + metrics["inverse"] + QUIET * metrics["quiet"]
    whole = whole + MATCHING * metrics["matching"] + OUTCOME * metrics["outcome"]
    whole = whole + MISTAKEN * metrics["mistaken"]
    torch.testing.assert_close(loss, whole, rtol=1e-3, atol=1e-6)


def test_from_elsewhere_too_the_inferred_action_is_to_lead_to_the_next_state(tiny, clips, states):
    """A is given another state than the inverse dynamics; the step is compared with the true next state."""
    model = tiny.world_model
    for share in (0.0, 1.0):
        stage = rolling(tiny, clips, states, elsewhere=share)
        batch = stage.batch(generator(0), 0.0)
        assert torch.equal(batch["content"], batch["from"]) == (share == 0.0)
        with torch.no_grad():
            _, metrics = stage(batch)
            reached = model.step(batch["content"], model.infer(batch["from"], batch["to"]))
        torch.testing.assert_close(metrics["inverse"], (reached - batch["to"]).square().mean(), rtol=1e-3, atol=1e-6)


def test_some_inferred_steps_are_shown_backwards(tiny, clips, states):
    stage, backwards, count = rolling(tiny, clips, states, elsewhere=0.0), 0, 0
    for step in range(30):
        batch = stage.batch(generator(step), 0.0)
        start = batch["before"][stage.recipe.batch :]
        there = batch["from"].eq(start).flatten(1).all(1)
        backwards, count = backwards + int((~there).sum()), count + len(there)
        stage.memory = {}
    moving = (states[clips.source] != states[clips.source + 1]).flatten(1).any(1).float().mean()
    assert backwards / count == pytest.approx(REVERSED * float(moving), abs=0.06)


def test_video_is_rolled_out_by_inferred_latent_actions(filmed, digits):
    from nova_gym.data import load_clips

    clips = load_clips(str(digits))
    stage = rolling(filmed, clips, encode_all(filmed.world_model, clips), lost=float("inf"))
    model = filmed.world_model
    for step in range(3):
        batch = stage.batch(generator(step), 0.0)
        count = stage.recipe.batch
        with torch.no_grad():
            _, metrics = stage(batch)
            latent_action = model.infer(batch["before"][:count], batch["after"][:count])
            made = model.step(batch["state"][:count], latent_action)
        error = (made - batch["after"][:count]).square().mean()
        torch.testing.assert_close(metrics["rollout"], error, rtol=1e-3, atol=1e-6)
        assert "outcome" not in metrics


def test_what_counts_as_a_change_follows_from_the_recording(clips):
    """The dead band is a share of the smallest true changes, what is lost a share of what differs within a clip.

    Here things drift by the same amount in each step, so two frames of a clip differ by more than two neighbours do.
    """
    states, still = torch.zeros(len(clips.frames), 4, 3, 3), torch.zeros(len(clips.frames), 4, 3, 3)
    for source in clips.source.tolist():  # in each step one cell changes by 1, another by 3
        states[source + 1] = states[source]
        states[source + 1, :, 0, 0] += 1.0
        states[source + 1, :, 2, 1] += 3.0
        states[source + 1, 0, 1, 1] += ROUNDING**0.5  # rounding is no change
    found = Changes.of(clips, states)
    assert found.dead_band == pytest.approx(0.25)
    assert found.lost > 4.5
    changed = found.changed(states[:1], states[1:2])
    assert changed.nonzero().tolist() == [[0, 0, 0], [0, 2, 1]]
    assert Changes.of(clips, still) == Changes(0.0, float("inf"))


class _Oracle:
    """Predicts the truth, but for what a test spoils."""

    device, looks = torch.device("cpu"), None

    def __init__(self, clips, states):
        self.following = states[clips.source + 1].clone()
        self.rewards, self.ends = clips.rewards.clone(), clips.terminations.float()

    def translate(self, state, actions):
        return None

    def step(self, state, latent_action):
        return self.following

    def settle(self, state, following, band):
        return following

    def outcome(self, state, latent_action, following, actions):
        assert len(actions) == len(following)  # what pays may depend on the action
        return self.rewards, self.ends, 0.0 * self.ends


def test_a_transition_is_wrong_if_one_cell_its_reward_or_its_end_is(clips, states):
    oracle, lost = _Oracle(clips, states), Changes.of(clips, states).lost
    assert len(clips.source) <= 1024  # asked at once
    assert not wrong_transitions(oracle, clips, states).any()
    oracle.following[3, :, 4, 4] += (1.01 * lost) ** 0.5
    oracle.following[4] += (0.9 * lost) ** 0.5  # everywhere, and still near the truth
    oracle.rewards[5] += 0.06
    oracle.rewards[6] += 0.04
    oracle.ends[7] = 1.0 - oracle.ends[7]
    assert wrong_transitions(oracle, clips, states).nonzero()[:, 0].tolist() == [3, 5, 7]


def test_what_is_wrong_is_shown_more_often_up_to_half_of_the_time(clips):
    few = torch.arange(len(clips.source)) < 3
    shown = emphasize(clips, few)
    share = float(few[shown.draw(20_000, generator(0))].float().mean())
    assert share == pytest.approx(min(0.5, 3 * EMPHASIS / (3 * EMPHASIS + len(few) - 3)), rel=0.1)
    many = torch.arange(len(clips.source)) % 4 == 0
    share = float(many[emphasize(clips, many).draw(20_000, generator(0))].float().mean())
    assert share == pytest.approx(0.5, abs=0.02)
    for none in (torch.zeros_like(few), torch.ones_like(few)):
        assert emphasize(clips, none) is clips
