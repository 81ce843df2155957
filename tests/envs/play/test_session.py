"""A played session without any window."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from nova_gym.envs import make_reality
from nova_gym.envs.play.recorded import picture_event, read_recording
from nova_gym.envs.play.session import PlaySession
from nova_gym.errors import BadInputError

LEFT, FORWARD = 0, 2


def test_reality_takes_the_same_actions_from_the_same_start(shipped):
    session = PlaySession(shipped, seed=3)
    reality = make_reality(shipped, "pixels")
    frame, _ = reality.reset(seed=session.episode.seed)
    np.testing.assert_array_equal(frame, session.real_frame)
    for action in (FORWARD, LEFT, FORWARD):
        session.do(["act", action])
        np.testing.assert_array_equal(reality.step(action)[0], session.real_frame)
    assert session.now.step == 3


def test_rewinding_gives_back_dream_and_reality_exactly(shipped):
    session = PlaySession(shipped)
    session.do(["act", FORWARD])
    before, frame = session.now, session.real_frame
    session.do(["act", LEFT])
    session.do(["rewind"])
    assert session.now is before
    np.testing.assert_array_equal(session.real_frame, frame)
    for _ in range(5):
        session.do(["rewind"])  # the start stays
    assert session.now.step == 0
    session.do(["act", FORWARD])
    torch.testing.assert_close(session.now.state, before.state, rtol=0, atol=0)


def test_large_pictures_of_reality_are_drawn_large_also_after_rewinding(shipped):
    """Beside a dream that is drawn at 288 pixels, reality is no enlarged frame of 72."""
    session = PlaySession(shipped, seed=3)
    for action in (FORWARD, LEFT):
        before = session.real_picture(290)
        assert before.shape == (288, 288, 3)
        session.do(["act", action])
    assert (session.real_picture(288) != before).any()
    session.do(["rewind"])
    np.testing.assert_array_equal(session.real_picture(288), before)
    np.testing.assert_array_equal(session.real_picture(72), session.real_frame)
    np.testing.assert_array_equal(session.real_picture(20), session.real_frame)


def test_a_recorded_session_replays_exactly(shipped, tmp_path):
    session = PlaySession(shipped, seed=1)
    latent = ["latent", [0.1] * shipped.world_model.config.latent_action]
    for event in (["act", FORWARD], ["act", LEFT], ["rewind"], latent, ["reset"], ["act", FORWARD]):
        session.do(event)
    session.do(["teleport", 0.5, 0.5])
    session.save(tmp_path / "session.npz")
    again = PlaySession.replay(tmp_path / "session.npz", shipped)
    assert torch.equal(again.now.state, session.now.state)
    assert again.events == session.events
    np.testing.assert_array_equal(read_recording(tmp_path / "session.npz", shipped)[2], session.now.state.numpy())


def test_a_recording_of_another_dream_and_a_foreign_file_are_refused(shipped, tiny, tmp_path):
    PlaySession(tiny).save(tmp_path / "session.npz")
    with pytest.raises(BadInputError, match="another dream"):
        PlaySession.replay(tmp_path / "session.npz", shipped)
    (tmp_path / "text.npz").write_text("no session")
    with pytest.raises(BadInputError, match="not a session"):
        PlaySession.replay(tmp_path / "text.npz", shipped)
    with pytest.raises(BadInputError, match="not a session"):
        PlaySession.replay(tmp_path / "nowhere.npz", shipped)
    with pytest.raises(BadInputError, match="unknown event"):
        PlaySession(tiny).do(["fly"])


def test_a_click_puts_the_agent_there(shipped):
    """The middle of what a turn then changes is where the click was."""
    session = PlaySession(shipped, seed=0)
    model = shipped.world_model
    hits = 0
    cells = [(r, c) for r in (1, 2, 6, 7) for c in (1, 2, 6, 7)]
    for row, column in cells:
        session.do(["reset"])
        session.do(["teleport", (row + 0.5) / 9, (column + 0.5) / 9])
        before = model.render(session.now.state)
        session.do(["act", LEFT])
        change = (model.render(session.now.state) - before).square().sum((0, 1)).reshape(9, 8, 9, 8).sum((1, 3))
        hits += divmod(int(change.argmax()), 9) == (row, column)
    assert hits >= 0.7 * len(cells)


def test_a_picture_is_a_start_that_reality_does_not_know(shipped):
    session = PlaySession(shipped)
    frame = session.real_frame
    session.do(picture_event(frame))
    assert session.real_frame is None
    shown = shipped.world_model.render(session.now.state)[0].permute(1, 2, 0).numpy()
    assert np.abs(shown - frame / 255.0).mean() < 0.02


def test_only_what_reality_did_is_exported(shipped):
    """… and of that, no held-out layout."""
    session = PlaySession(shipped)
    latent = ["latent", [0.0] * shipped.world_model.config.latent_action]
    for event in (["act", FORWARD], ["act", LEFT], latent, ["reset"], ["act", LEFT]):
        session.do(event)
    assert not any(episode.held_out for episode in (*session.played, session.episode))
    episodes = session.real_episodes()
    assert [list(episode.actions) for episode in episodes] == [[FORWARD, LEFT], [LEFT]]
    session.episode.held_out = True
    assert len(session.real_episodes()) == 1
    assert all(len(episode.observations) == len(episode.actions) + 1 for episode in episodes)


def test_the_control_model_acts_on_what_happened_and_reality_follows(tiny):
    """Its memory grows with the history, or is made anew after a rewind: the same choices either way."""
    straight, winding = PlaySession(tiny, seed=3), PlaySession(tiny, seed=3)
    for event in (["act", 2], ["control"], ["control"], ["control"]):
        straight.do(event)
    for event in (["act", 2], ["control"], ["act", 0], ["rewind"], ["control"], ["control"]):
        winding.do(event)
    assert [moment.action for moment in straight.history] == [moment.action for moment in winding.history]
    assert straight.episode.actions == [moment.action for moment in straight.history[1:]]
    model, now = tiny.world_model, straight.history[-2]
    answer = model.control.decode(straight_memory(straight), now.state).clamp(-1, 1)
    actions = torch.arange(model.config.actions)
    possible = model.translate(now.state.expand(len(actions), -1), actions)
    assert straight.now.action == int((possible - answer).square().sum(1).argmin())


def straight_memory(session):
    """The control model's memory before the last step."""
    control, history = session.dream.world_model.control, session.history[:-1]
    memory = control.reset(1)
    for before, after in pairwise(history):
        memory = control.encode(memory, before.state, after.latent_action)
    return memory
