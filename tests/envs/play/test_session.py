"""A played session without any window."""

from itertools import pairwise

import numpy as np
import pygame
import pytest
import torch

from nova_gym.envs import make_reality
from nova_gym.envs.play.by_hand import codes_by_motion
from nova_gym.envs.play.recorded import picture_event, read_recording
from nova_gym.envs.play.session import PlaySession
from nova_gym.envs.play.view import RED, Shown, View
from nova_gym.envs.play.viewpoint import Viewpoint
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.errors import BadInputError
from nova_gym.measures import TILE_TOLERANCE, tile_errors

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
    latent = ["latent", [0.1] * 6]
    events = ["act", FORWARD], ["act", LEFT], ["rewind"], latent, ["reset"], ["act", FORWARD], ["code", 3, 3, 1]
    for event in (*events, ["teleport", 4, 4]):
        session.do(event)
    session.save(tmp_path / "session.npz")
    again = PlaySession.replay(tmp_path / "session.npz", shipped)
    assert torch.equal(again.now.state, session.now.state)
    assert again.events == session.events
    np.testing.assert_array_equal(read_recording(tmp_path / "session.npz", shipped).state, session.now.state.numpy())


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


def test_the_agent_is_put_into_any_cell_of_floor(shipped):
    """What a turn then changes is that cell alone, and no other agent is left behind."""
    session = PlaySession(shipped, seed=0)
    hits, cells = 0, [(row, column) for row in (1, 2, 6, 7) for column in (1, 2, 6, 7)]
    for row, column in cells:
        session.do(["reset"])
        session.do(["teleport", row, column])
        before = session.now.state
        session.do(["act", LEFT])
        changed = (session.now.state != before).any(1)[0]
        hits += changed.nonzero().tolist() == [[row, column]]
    assert hits >= 0.7 * len(cells)


def test_a_code_moves_one_cell_and_leaves_the_others_as_they_are(shipped):
    session, model = PlaySession(shipped), shipped.world_model
    before = session.now.state
    strongest = codes_by_motion(model)[1]
    session.do(["code", 6, 2, strongest])
    torch.testing.assert_close(session.now.latent_action[0, :, 6, 2], model.part("codebook").codes[strongest])
    changed = (session.now.state != before).any(1)[0]
    assert changed[6, 2]
    assert changed.sum() <= 2


def test_what_a_person_sets_pays_nothing_and_ends_nothing(shipped):
    session = PlaySession(shipped)
    goal = ["latent", [-1.0, -1.0, 1.0, 1.0, 1.0, 1.0]]
    for event in (goal, ["code", 1, 1, 1], ["teleport", 7, 7]):
        session.do(event)
        assert (session.now.reward, session.now.end, session.now.ended) == (0.0, 0.0, False)
    assert session.now.step == 3


def test_the_codes_are_ordered_by_the_motion_that_they_stand_for(tiny):
    model, codes = tiny.world_model, codes_by_motion(tiny.world_model)
    book = model.part("codebook")
    motion = (book.usage * book.codes.square().sum(1)).tolist()
    assert sorted(codes) == list(range(model.config.codes))
    assert codes[0] == 0
    assert all(motion[one] >= motion[next_one] for one, next_one in pairwise(codes[1:]))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (["latent", [0.0] * 4], "takes 6 numbers, not 4"),
        (["code", 0, 0, 8], "no code 8: it has 8"),
        (["code", 9, 0, 1], r"no cell \(9, 0\)"),
        (["teleport", 0, -1], r"no cell \(0, -1\)"),
        (["act", 7], "no action 7"),
    ],
)
def test_an_event_that_does_not_fit_the_dream_is_refused_and_not_noted(tiny, event, message):
    session = PlaySession(tiny)
    with pytest.raises(BadInputError, match=message):
        session.do(event)
    assert session.events == [["reset"]]
    assert session.now.step == 0


def test_another_level_is_dreamt_beside_its_own_reality(shipped, tmp_path):
    """In frames and cells of its size; a replay finds the level by itself."""
    session = PlaySession(dream_at(shipped, "MiniGrid-FourRooms-v0"), seed=3)
    assert session.real_frame.shape == (152, 152, 3)
    for action in (LEFT, FORWARD, FORWARD):
        session.do(["act", action])
    assert session.now.state.shape[2:] == (19, 19)
    shown = shipped.world_model.render(session.now.state)[0].permute(1, 2, 0).numpy()
    wrong = tile_errors(session.real_frame[None] / 255.0, shown[None], 8) >= TILE_TOLERANCE
    assert wrong.mean() < 0.02
    session.save(tmp_path / "session.npz")
    again = PlaySession.replay(tmp_path / "session.npz", shipped)
    assert torch.equal(again.now.state, session.now.state)
    assert again.episode.actions == session.episode.actions


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
    latent = ["latent", [0.0] * 6]
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
    possible = model.translate(now.state.expand(len(actions), -1, -1, -1), actions)
    assert straight.now.action == int((possible - answer).square().flatten(1).sum(1).argmin())


def straight_memory(session):
    """The control model's memory before the last step."""
    control, history = session.dream.world_model.control, session.history[:-1]
    memory = control.reset(1, session.dream.cells)
    for before, after in pairwise(history):
        memory = control.encode(memory, before.state, after.latent_action)
    return memory


def test_doubted_cells_are_framed_in_red_where_reality_is_not_shown(shipped):
    session = PlaySession(shipped, seed=3)
    look = Viewpoint(session)
    assert not look.wrong_tiles().any()
    strange = session.real_frame.copy()
    strange[40:48, 8:16] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    session.do(picture_event(strange))
    doubted = look.wrong_tiles()
    assert np.argwhere(doubted).tolist() == [[5, 1]]
    assert "doubt 100%" in " ".join(look.header(30, [], doubted))
    pygame.init()
    surface, view = pygame.Surface((400, 440)), View()
    view.draw(surface, Shown((), (0.0,), cells=(9, 9), wrong=doubted), look.picture())
    drawn = pygame.surfarray.array3d(surface).swapaxes(0, 1)
    red = np.argwhere((drawn == RED).all(2)) - (view.dream_area.y, view.dream_area.x)
    cells = (red + 0.99) * 9 // view.dream_area.height  # a frame begins at the pixel that its cell begins in
    assert set(map(tuple, cells)) == {(5, 1)}
    session.do(["act", FORWARD])
    session.do(["rewind"])
    np.testing.assert_array_equal(look.wrong_tiles(), doubted)
