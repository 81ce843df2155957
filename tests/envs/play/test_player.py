"""The player in a window that nobody sees, driven by pygame's own events."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import imageio.v3 as iio
import minari
import numpy as np
import pygame
import pytest
import torch
from typer.testing import CliRunner

from nova_gym.cli import app
from nova_gym.data import load_clips
from nova_gym.dream import Card, Dream
from nova_gym.envs import reality_spec, record
from nova_gym.envs.play.by_hand import codes_by_motion
from nova_gym.envs.play.files import read_picture, save_video
from nova_gym.envs.play.player import Player
from nova_gym.envs.play.recorded import read_recording
from nova_gym.envs.play.view import Shown, View
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run, preset, train


def test_arrows_walk_backspace_goes_back_enter_starts_anew(shipped, sit_down):
    player = sit_down(shipped)
    player.press(pygame.K_UP, pygame.K_LEFT)
    assert [moment.action for moment in player.session.history[1:]] == [2, 0]
    player.press(pygame.K_BACKSPACE)
    assert [moment.action for moment in player.session.history[1:]] == [2]
    player.press(pygame.K_RETURN)
    assert player.session.now.step == 0


def test_nothing_is_drawn_twice(player):
    player.look()
    drawn = player.frames_drawn
    for _ in range(5):
        player.show()
    assert player.frames_drawn == drawn
    player.press(pygame.K_TAB)
    player.show()
    assert player.frames_drawn == drawn + 1


def test_plus_and_minus_change_the_resolution_within_its_bounds(player):
    for _ in range(10):
        player.press(pygame.K_MINUS)
    assert player.viewpoint.resolution == 36
    for _ in range(10):
        player.press(pygame.K_PLUS)
    assert player.viewpoint.resolution == 1024


def test_layers_show_alone_and_together_again(player):
    whole = player.viewpoint.state
    for key in (pygame.K_1, pygame.K_2, pygame.K_3):
        player.press(key)
        assert (player.viewpoint.state != whole).any()
        player.press(key)
    assert (player.viewpoint.state == whole).all()


def test_tiles_that_differ_from_reality_are_framed_in_red(player):
    """The tiny dream looks like nothing, so there is red, however little it doubts."""
    player.session.history[-1] = replace(player.session.now, belief=None)
    player.look()
    red = (pygame.surfarray.array3d(player.screen) == (230, 60, 60)).all(2)
    player.press(pygame.K_TAB)
    player.look()
    assert (pygame.surfarray.array3d(player.screen) == (230, 60, 60)).all(2).sum() > red.sum() + 100


def test_the_agent_drives_pauses_and_steps(player):
    player.press(pygame.K_a)
    player._go_on()
    assert len(player.session.events) == 1  # the start has not been seen yet
    player.look()
    player._go_on()
    events = len(player.session.events)
    assert events == 2
    player.press(pygame.K_PERIOD)
    player.look()
    player._next_step = 0.0
    player._go_on()
    assert len(player.session.events) == events
    player.press(pygame.K_e)
    assert len(player.session.events) == events + 1


def test_pictures_and_recordings_are_saved_and_never_overwritten(player, tmp_path):
    player.press(pygame.K_s, pygame.K_s)
    assert iio.imread(tmp_path / "dream.png").shape == (288, 288, 3)
    assert (tmp_path / "dream-1.png").exists()
    player.press(pygame.K_r)
    player.look()
    player.press(pygame.K_BACKSPACE, pygame.K_UP)
    player.look()
    player.press(pygame.K_r)
    assert len(iio.imread(tmp_path / "play.gif")) == 2


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_videos_of_a_window_that_changes_its_size_and_is_odd(tmp_path, ending):
    """GIF and MP4 hold every frame, at the size that all have, with one row or column less where that is odd."""
    frames = [np.full((height, 151, 3), shade, dtype=np.uint8) for height, shade in ((121, 0), (133, 120), (160, 240))]
    path = save_video(tmp_path / f"play.{ending}", frames, 8.0)
    video = iio.imread(path)
    assert video.shape[:3] == (3, 120, 150)
    assert np.abs(video[..., :3].mean((1, 2, 3)) - (0, 120, 240)).max() < 6
    assert save_video(path, frames, 8.0) == tmp_path / f"play-1.{ending}"


def test_the_key_r_records_mp4_where_that_was_asked_for(tiny, tmp_path, sit_down):
    player = sit_down(tiny, size=(601, 461), video_format="mp4")
    player.press(pygame.K_r)
    player.look()
    player.press(pygame.K_LEFT)
    player.look()
    player.press(pygame.K_r)
    assert iio.imread(tmp_path / "play.mp4").shape[1:] == (230, 300, 3)


def test_a_picture_file_is_a_start_and_a_bad_one_a_message(player, tmp_path):
    iio.imwrite(tmp_path / "start.png", np.full((50, 60, 3), 90, dtype=np.uint8))
    player.handle(pygame.event.Event(pygame.DROPFILE, file=str(tmp_path / "start.png")))
    assert player.session.events[-1][0] == "picture"
    player.press(pygame.K_o)
    for letter in "no.png":
        player.handle(pygame.event.Event(pygame.KEYDOWN, key=ord(letter), unicode=letter))
    player.press(pygame.K_RETURN)
    assert "cannot read the picture" in player.message
    with pytest.raises(BadInputError, match="cannot read"):
        read_picture(tmp_path / "nowhere.png", player.session.dream)


def test_a_click_on_a_bar_sets_that_number_of_the_latent_action(player):
    player.look()
    bar = player.view.bars[1]
    player.mouse(pygame.MOUSEBUTTONDOWN, (bar.centerx, bar.y))
    player.mouse(pygame.MOUSEBUTTONUP, (bar.centerx, bar.y))
    assert len(player.session.events) == 2
    name, values = player.session.events[-1]
    assert (name, values[1]) == ("latent", 1.0)


def test_the_bars_show_where_and_how_most_moved(player):
    player.press(pygame.K_UP)
    model, now = player.session.dream.world_model, player.session.now
    expected = model.summarise(now.latent_action)[0].clamp(-1, 1)
    assert player.bars.values == pytest.approx(expected.tolist())
    assert player.bars.names == ["y", "x", "1", "2", "3", "4"]


def test_a_click_on_the_dream_chooses_the_cell_that_is_framed_and_that_the_bars_are_about(player):
    player.press(pygame.K_UP)
    before = player.look()
    player.click((2, 5))
    framed = (player.look() == (90, 160, 240)).all(2) & (before != (90, 160, 240)).any(2)
    area = player.view.dream_area
    x, y = np.nonzero(framed & (np.arange(framed.shape[1]) >= area.top))
    cell = np.array([area.x + area.width * 5 / 9, area.x + area.width * 6 / 9, area.width / 9])
    assert cell[0] - 2 <= x.min() < x.max() <= cell[1] + 2
    assert area.y + area.height * 2 / 9 - 2 <= y.min() < y.max() <= area.y + area.height * 3 / 9 + 2
    there = player.session.now.latent_action[0, :, 2, 5].clamp(-1, 1)
    assert player.bars.values == pytest.approx([5 / 9 - 1, 11 / 9 - 1, *there.tolist()])
    player.click((2, 5))
    assert player.bars.chosen is None
    assert len(player.session.events) == 2


def test_digits_are_codes_in_a_chosen_cell_and_layers_otherwise(player):
    player.look()
    player.press(pygame.K_1)
    assert player.viewpoint.layer == "background"
    player.click((4, 4))
    player.press(pygame.K_1, pygame.K_0, pygame.K_9)  # there are 8 codes
    strongest = codes_by_motion(player.session.dream.world_model)[1]
    assert player.session.events[1:] == [["code", 4, 4, strongest], ["code", 4, 4, 0]]
    player.click((4, 4))
    player.press(pygame.K_1)
    assert player.viewpoint.layer == ""


def test_a_right_click_puts_the_agent_there(player):
    player.look()
    player.click((3, 6), pygame.BUTTON_RIGHT)
    assert player.session.events[1:] == [["teleport", 3, 6]]
    moved = player.session.now.latent_action.any(1)[0]
    assert moved.nonzero().tolist() == [[3, 6]]


def test_a_bar_that_is_dragged_in_a_chosen_cell_moves_that_cell_or_chooses_another(player):
    player.look()
    player.click((4, 4))
    for number, y in ((3, 0), (0, 0)):  # the second of the latent action up, then y up: to the first row
        bar = player.view.bars[number]
        player.mouse(pygame.MOUSEBUTTONDOWN, bar.center)
        player.mouse(pygame.MOUSEMOTION, (bar.x, bar.bottom if number == 0 else y))
        player.mouse(pygame.MOUSEBUTTONUP, bar.center)
    first, second = (moment.latent_action for moment in player.session.history[1:])
    assert first[0, :, 4, 4].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert first.count_nonzero() == 1
    assert second[0, :, 0, 4].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert player.bars.chosen == (0, 4)


def test_a_dragged_bar_shows_its_value_and_steps_once_when_it_is_let_go(player):
    player.look()
    bar, start = player.view.bars[2], player.session.now
    player.mouse(pygame.MOUSEBUTTONDOWN, bar.center)
    for y in (bar.y + bar.height // 4, bar.bottom + 300, bar.y):
        player.mouse(pygame.MOUSEMOTION, (bar.x - 200, y))  # the mouse may leave the bar, and the window
        drawn = player.frames_drawn
        player.show()
        assert player.frames_drawn == drawn + 1
        assert f"{player.bars.values[2]:+.2f}" in player.message
        assert -1.0 <= player.bars.values[2] <= 1.0
    full = pygame.Rect(bar.x, bar.y, bar.width, bar.height // 2)
    assert (pygame.surfarray.array3d(player.screen.subsurface(full)) == (90, 160, 240)).all()
    assert player.session.now is start
    player.mouse(pygame.MOUSEBUTTONUP, (bar.x - 200, bar.y))
    player.mouse(pygame.MOUSEMOTION, bar.center)
    assert player.session.events[1:] == [["latent", [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]]
    assert player.session.now.latent_action[0, :, 4, 4].tolist() == [1.0, 0.0, 0.0, 0.0]  # in the middle


@pytest.mark.slow
def test_a_dream_with_continuous_actions_is_played_by_its_bars(tmp_path, sit_down):
    record(reality_spec("Pendulum-v1", 24), "test/swing-v0", 60)
    dream = train(load_clips("test/swing-v0"), "test/swing-v0", preset("tiny"), Run(tmp_path / "s.ckpt", device="cpu"))
    player = sit_down(dream)
    assert "drag the bars" in player.message
    player.press(pygame.K_TAB)  # reality is there until the first latent action
    player.look()
    frame = player.session.real_frame
    assert frame.shape == (24, 24, 3)
    bar = player.view.bars[2]
    player.mouse(pygame.MOUSEBUTTONDOWN, bar.center)
    player.mouse(pygame.MOUSEMOTION, (bar.x, bar.y))
    player.mouse(pygame.MOUSEBUTTONUP, (bar.x, bar.y))
    assert (player.session.now.step, player.session.now.latent_action[0, 0, 1, 1]) == (1, 1.0)
    assert "reality" in player.message
    player.look()
    player.press(pygame.K_LEFT, pygame.K_4)  # no actions of this dream
    player.mouse(pygame.MOUSEBUTTONDOWN, player.view.dream_area.center, pygame.BUTTON_RIGHT)
    assert "discrete actions" in player.message
    assert [event[0] for event in player.session.events] == ["reset", "latent"]
    player.press(pygame.K_BACKSPACE)
    assert player.session.now.step == 0
    dream.save(tmp_path / "swing.safetensors")
    result = CliRunner().invoke(app, ["play", str(tmp_path / "swing.safetensors"), "--agent", "minigrid-ppo"])
    assert (result.exit_code, "leave out --agent" in result.output) == (2, True), result.output


def test_a_dream_of_video_is_played_by_bars_and_codes_and_has_no_agent_to_put(filmed, sit_down):
    player = sit_down(filmed)
    player.look()
    player.press(pygame.K_4, pygame.K_TAB)
    assert "reality does not follow" in player.message
    player.click((1, 2))
    player.press(pygame.K_1)
    player.mouse(pygame.MOUSEBUTTONDOWN, player.view.bars[3].center)
    player.mouse(pygame.MOUSEBUTTONUP, (0, 0))
    assert [event[0] for event in player.session.events] == ["reset", "code", "latent"]
    player.click((1, 2), pygame.BUTTON_RIGHT)
    assert "discrete actions" in player.message
    player.press(pygame.K_g)
    player.look()
    player._go_on()
    assert player.session.events[-1] == ["control"]
    assert player.session.now.step == 3


def test_where_one_network_draws_the_whole_frame_the_bars_have_no_place(sit_down):
    """The paper's model: its only cell can be chosen, but the agent cannot be put into another."""
    config = replace(preset("tiny").model, cell=(72, 72), frame_size=(72, 72), latent_action=15)
    model = WorldModel(config).eval().requires_grad_(False)
    player = sit_down(Dream(model, {"official": torch.randn(1, 8, 1, 1)}, Card(horizon=9)))
    player.look()
    assert player.bars.names == [str(i + 1) for i in range(12)]  # the last three vary least
    assert len(player.view.bars) == 12
    player.click((0, 0))
    player.mouse(pygame.MOUSEBUTTONDOWN, player.view.bars[4].midtop)
    player.mouse(pygame.MOUSEBUTTONUP, (0, 0))
    name, values = player.session.events[-1]
    assert (name, values) == ("latent", [0.0] * 4 + [1.0] + [0.0] * 10)
    assert player.session.now.latent_action.flatten().tolist() == values
    player.click((0, 0), pygame.BUTTON_RIGHT)
    assert "more than one cell" in player.message


def test_a_dream_that_moves_faster_than_its_pictures_is_seen_to_move(player, monkeypatch):
    """Pictures take three steps each; those that come late are shown all the same."""
    render, model = player.session.dream.world_model.render, player.session.dream.world_model

    def slowly(*arguments, **options):
        time.sleep(0.03)
        return render(*arguments, **options)

    monkeypatch.setattr(model, "render", slowly, raising=False)
    seen, deadline = set(), time.monotonic() + 20
    while len(seen) < 3 and time.monotonic() < deadline:
        state = torch.zeros(1, model.config.rank, 2, 2)
        player.painter.ask(time.monotonic(), state, (36, 36))
        time.sleep(0.01)
        seen.add(player.painter.latest() and player.painter.latest()[0])
    assert len(seen) >= 3


def test_a_picture_that_cannot_be_rendered_is_an_error_and_no_frozen_window(player, monkeypatch):
    player.look()
    monkeypatch.setattr(player.session.dream.world_model, "render", lambda *_, **__: 1 / 0, raising=False)
    player.press(pygame.K_PLUS)
    with pytest.raises(RuntimeError, match="cannot be rendered"):
        player.look()


def test_another_window_that_was_closed_closes_nothing_here(player):
    """The event of a window that is gone by then names none."""
    player.running = True
    player.handle(pygame.event.Event(pygame.WINDOWCLOSE))
    assert player.running
    player.handle(pygame.event.Event(pygame.WINDOWCLOSE, window=player.window))
    assert not player.running


@pytest.mark.parametrize("size", [(40, 40), (320, 260), (1000, 760), (2000, 1500)])
def test_every_size_of_window_is_drawn_with_help_and_reality(tiny, sit_down, size):
    player = sit_down(tiny, size=size)
    player.press(pygame.K_TAB, pygame.K_h)
    player.look()


def header(player):
    """(4,) edges of the text above the dream, left of the bars: left, right, top, bottom."""
    player.look()
    area = player.screen.subsurface((0, 0, player.view.bars[0].left, player.view.dream_area.top))
    x, y = np.nonzero(pygame.surfarray.array3d(area).min(2) > 100)
    return np.array([x.min(), x.max(), y.min(), y.max()])


def test_the_header_fits_into_every_window_and_grows_with_it(tiny, sit_down):
    """At 200 % all is twice as large as at 100 %; where the window is narrow, text shrinks rather than leave it."""
    at = {}
    for size in ((1000, 760), (2000, 1520), (320, 260), (300, 900)):
        player = sit_down(tiny, size=size)
        player.press(pygame.K_TAB)
        at[size] = header(player)
        assert at[size][1] < player.view.bars[0].left - 2
        assert at[size][3] < player.view.dream_area.top - 2
        assert player.screen.get_rect().contains(player.view.dream_area)
        assert player.view.bars[-1].right <= size[0]
    np.testing.assert_allclose(at[2000, 1520] / at[1000, 760], 2.0, rtol=0.1)


def test_the_command_records_replays_and_exports(tmp_path, monkeypatch):
    monkeypatch.setattr(Player, "run", lambda self, until=None, run=Player.run: _scripted(self, run))
    session, runner = tmp_path / "session.npz", CliRunner()
    done = runner.invoke(app, ["play", "--record", str(session), "--export-minari", "test/played-v0"])
    assert done.exit_code == 0, done.output
    assert minari.load_dataset("test/played-v0").total_steps == 2
    again = runner.invoke(app, ["play", "--replay", str(session), "--record", str(tmp_path / "again.npz")])
    assert again.exit_code == 0, again.output


def test_another_level_is_played_in_a_window_of_its_shape_and_replayed(tmp_path, monkeypatch, sit_down, shipped):
    monkeypatch.setattr(Player, "run", lambda self, until=None, run=Player.run: _scripted(self, run))
    session, runner = tmp_path / "session.npz", CliRunner()
    done = runner.invoke(app, ["play", "--reality", "MiniGrid-Empty-5x5-v0", "--record", str(session)])
    assert done.exit_code == 0, done.output
    assert read_recording(session, shipped).state.shape[2:] == (5, 5)
    again = runner.invoke(app, ["play", "--replay", str(session), "--record", str(tmp_path / "again.npz")])
    assert again.exit_code == 0, again.output
    assert read_recording(tmp_path / "again.npz", shipped).reality == "MiniGrid-Empty-5x5-v0"
    wide = sit_down(dream_at(shipped, "MiniGrid-MultiRoom-N2-S4-v0"))
    wide.look()
    assert wide.view.dream_area.width / wide.view.dream_area.height == pytest.approx(wide.view.aspect, abs=0.02)
    assert wide.viewpoint.picture().shape[:2] == wide.viewpoint.size


def _scripted(player, run):
    keys = iter([pygame.K_LEFT, pygame.K_UP, pygame.K_ESCAPE])

    def until():
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=next(keys), unicode=""))
        return False

    run(player, until)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nobody"], "no dream"),
        (["--replay", "nowhere.npz"], "not a session"),
        (["--picture", "nowhere.png"], "cannot read the picture"),
        (["--reality", "CartPole-v1"], "CartPole-v1"),
        (["--agent", "nobody.zip"], "no agent"),
        (["--video-format", "avi"], "unknown video format 'avi'; there are gif, mp4"),
        (["--export-minari", "bad id"], "cannot create the dataset"),
    ],
)
def test_bad_input_is_one_clear_line(options, message):
    result = CliRunner().invoke(app, ["play", *options])
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_no_display_is_one_clear_line(tmp_path):
    environment = {**os.environ, "SDL_VIDEODRIVER": "x11", "DISPLAY": ":987"}
    command = [sys.executable, "-m", "nova_gym.cli", "play"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 2
    assert "no display" in done.stderr
    assert "nova-gym demo" in done.stderr


@pytest.mark.end_to_end
@pytest.mark.skipif(not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool")
def test_a_person_at_a_real_keyboard(tmp_path):
    """End to end: a real X server, real key events, a session that holds what was pressed."""
    display = ":97"
    server = subprocess.Popen(["Xvfb", display, "-screen", "0", "1000x760x24"], stderr=subprocess.DEVNULL)
    environment = {**os.environ, "DISPLAY": display, "SDL_VIDEODRIVER": "x11"}
    try:
        time.sleep(1)
        command = [sys.executable, "-m", "nova_gym.cli", "play", "--record", str(tmp_path / "session.npz")]
        game = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        assert "the window is open" in game.stdout.readline()
        time.sleep(3)
        drag = "mousemove 844 55 mousedown 1 mousemove 844 300 mouseup 1"  # the first bar, all the way down
        keys = [["key", key] for key in ("Left", "Up", "space", "Prior", "Next", "d", "Tab", "s")]
        for order in (*keys, drag.split(), ["key", "Escape"]):
            subprocess.run(["xdotool", *order], env=environment, timeout=20)
            time.sleep(0.4)
        assert game.wait(timeout=60) == 0
    finally:
        server.terminate()
        server.wait()
    with np.load(tmp_path / "session.npz") as saved:
        events = json.loads(str(saved["session"]))["events"]
    assert [action for _, action in events[1:7]] == [0, 2, 5, 3, 4, 6]
    assert events[7][1][0] == -1.0
    assert [event[0] for event in events] == ["reset", *["act"] * 6, "latent"]
    assert (tmp_path / "dream.png").exists()


@pytest.mark.parametrize("count", [8, 48])
def test_however_many_bars_there_are_they_leave_half_of_the_header_to_the_numbers(count):
    view, surface = View(1.0), pygame.Surface((1000, 760))
    view.draw(surface, Shown(("step 0",), (0.5,) * count), None)
    assert len(view.bars) == count
    assert view.bars[0].left >= 480
    assert view.bars[-1].right <= 1000
    for one, next_one in pairwise(view.bars):
        assert one.width >= 2
        assert one.right < next_one.left
