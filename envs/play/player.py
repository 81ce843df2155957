"""The player: a person walks through a dream with the keyboard."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pygame

from nova_gym.editing import LAYERS
from nova_gym.envs.frames import observe
from nova_gym.envs.play.bars import Bars
from nova_gym.envs.play.by_hand import cell_at, codes_by_motion
from nova_gym.envs.play.files import VIDEO_FORMATS, read_picture, save_picture, save_video
from nova_gym.envs.play.keymap import COMMAND_KEYS, action_of, digit_of
from nova_gym.envs.play.recorded import picture_event
from nova_gym.envs.play.session import PlaySession
from nova_gym.envs.play.view import Painter, Shown, View
from nova_gym.envs.play.viewpoint import Viewpoint
from nova_gym.errors import BadInputError

#: Steps a second while an agent drives or a session is replayed.
PACE = 8.0

Policy = Callable[[np.ndarray], int]


class Player:
    """The game loop: answers keys and mouse, steps a `PlaySession`, and draws it with a `View`.

    Args:
        session: the session to play on.
        policy: latents (K, rows, cols) float32 → action, an agent for the key `a`; None without an agent.
        folder: where pictures and videos are saved.
        size: (width, height) of the window in pixels.
        script: events to replay first, at `PACE` steps a second.
        video_format: of videos, one of `VIDEO_FORMATS`.

    Raises:
        BadInputError: there is no display, or the video format is unknown.
    """

    def __init__(
        self,
        session: PlaySession,
        policy: Policy | None = None,
        folder: Path = Path("."),
        size: tuple[int, int] = (1000, 760),
        script: list[list[Any]] | None = None,
        video_format: str = "gif",
    ) -> None:
        if video_format not in VIDEO_FORMATS:
            raise BadInputError(f"unknown video format {video_format!r}; there are {', '.join(VIDEO_FORMATS)}")
        self.session, self.policy, self.folder, self.video_format = session, policy, folder, video_format
        try:
            pygame.display.init()
            if pygame.display.get_driver() == "offscreen" and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error("SDL found no screen")  # it would draw where nobody looks
            pygame.font.init()
            self.window = pygame.Window("nova-gym", size, resizable=True)
            self.screen = self.window.get_surface()
        except pygame.error as error:
            raise BadInputError(
                f"no display to play on ({error}); `nova-gym demo` writes a GIF of the dream instead"
            ) from error
        pygame.key.set_repeat(250, 90)
        height, width = session.dream.frame_size
        self.view, self.painter = View(width / height), Painter(session.dream)
        self.viewpoint, self.bars = Viewpoint(session), Bars(session)
        self.codes = codes_by_motion(session.dream.world_model)
        self.message = "h shows the keys" if session.discrete else "drag the bars to act; h shows the keys"
        self.paused = self.help = False
        self.driving = ""  # "agent", "control", or empty while the person does
        self.typed: str | None = None
        self.running, self.recording = True, None
        self.script = deque(script or [])
        self.drawn: Any = None
        self.on_screen: Any = None  # key, as in `Viewpoint`, of the picture that is shown
        self.frames_drawn, self._ticks = 0, deque(maxlen=30)
        self._next_step = 0.0

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Plays until the window is closed or `until()`, called once a frame, returns True. Then closes the window."""
        clock = pygame.time.Clock()
        try:
            while self.running and not until():
                for event in pygame.event.get():
                    self.handle(event)
                self._go_on()
                self.show()
                clock.tick(60)
        finally:
            self.close()
            if self.recording:
                self._toggle_recording()

    def close(self) -> None:
        """Stops drawing and closes this window. Windows of environments stay open."""
        self.painter.stop()
        self.window.destroy()

    def handle(self, event: pygame.event.Event) -> None:
        """Answers one pygame event. If it cannot be carried out, the window shows why."""
        try:
            self._answer(event)
        except BadInputError as error:
            self.message = str(error)

    def _answer(self, event: pygame.event.Event) -> None:
        closed = event.type == pygame.WINDOWCLOSE and getattr(event, "window", None)  # one that is gone has none
        if event.type == pygame.QUIT or (closed and closed is self.window):
            self.running = False
        elif event.type == pygame.DROPFILE:
            self._open(event.file)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
            self._click(event.pos)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_RIGHT:
            self._put(event.pos)
        elif event.type == pygame.MOUSEMOTION and self.bars.dragging:
            self._drag(event.pos)
        elif event.type == pygame.MOUSEBUTTONUP and event.button == pygame.BUTTON_LEFT and self.bars.dragging:
            self._let_go()
        elif event.type == pygame.KEYDOWN and self.typed is not None:
            self._type(event)
        elif event.type == pygame.KEYDOWN:
            self._press(event.key)

    def _press(self, key: int) -> None:
        card, digit = self.session.dream.card, digit_of(key)
        action = action_of(key, card.action_names, self.session.dream.world_model.config.actions)
        if self.bars.chosen and self.codes and digit is not None:
            if digit < len(self.codes):
                code = self.codes[digit]
                self._do(["code", *self.bars.chosen, code], f"code {code} of {len(self.codes)}, from 0 on")
        elif action is not None and self.session.discrete:
            self._do(["act", action])
        elif key in COMMAND_KEYS:
            self._command(COMMAND_KEYS[key])

    def show(self) -> None:
        """Draws the window if anything changed."""
        key = self.viewpoint.key
        self.painter.ask(key, self.viewpoint.state, self.viewpoint.size)
        finished, picture = self.painter.latest() or (None, None)
        bars = tuple(self.bars.values), self.bars.cell
        state = (key, finished, bars, self.message, self.viewpoint.beside, self.help, self.typed)
        state += (self.paused, self.driving, self.screen.get_size(), self.recording is not None)
        if state == self.drawn:
            return
        self.drawn = state
        self._ticks.append(time.monotonic())
        wrong = self.viewpoint.wrong_tiles()
        shown = Shown(
            lines=self.viewpoint.header(self._rate(), self._flags(), wrong),
            latent_action=bars[0],
            names=tuple(self.bars.names),
            cell=bars[1],
            cells=self.session.dream.cells,
            real=self.viewpoint.real(),
            wrong=wrong,
            strip=self.viewpoint.strip(),
            message=self.message,
            help=self.help,
            typed=self.typed,
        )
        self.view.draw(self.screen, shown, picture)
        self.window.flip()
        self.frames_drawn, self.on_screen = self.frames_drawn + 1, finished
        if self.recording is not None and finished == key:
            self.recording.append(pygame.surfarray.array3d(self.screen).swapaxes(0, 1)[::2, ::2].copy())

    def _go_on(self) -> None:
        """Makes the next step of a replay or of an agent that drives, but waits until the last one was shown."""
        waits = time.monotonic() < self._next_step or self.on_screen != self.viewpoint.key or self.bars.dragging
        if self.paused or waits or not (self.script or self.driving):
            return
        self._next_step = time.monotonic() + 1.0 / PACE
        self._one_step()

    def _one_step(self) -> None:
        if self.script:
            self.session.do(self.script.popleft())
            self.message = f"replaying, {len(self.script)} events left"
        elif self.driving or self.policy:
            self._drive()

    def _drive(self) -> None:
        if self.session.now.ended:
            self.session.do(["reset"])
        elif self.driving == "control":
            self.session.do(["control"])
        else:
            seen = observe(self.session.dream, self.session.now.state, "latent")[0]
            self.session.do(["act", int(self.policy(seen))])

    def _do(self, event: list[Any], message: str = "") -> None:
        """Carries out a person's step, unless the episode has ended."""
        if self.session.now.ended:
            self.message = "the episode has ended: Enter starts another, Backspace goes back"
            return
        self.session.do(event)
        self.message = message

    def _command(self, name: str) -> None:
        self.message = ""
        if name in LAYERS:
            self.viewpoint.layer = "" if self.viewpoint.layer == name else name
        elif name == "reset":
            self.session.do(["reset"])
        elif name == "rewind":
            self.session.do(["rewind"])
        elif name == "pause":
            self.paused = not self.paused
        elif name == "step":
            if self.paused:
                self._one_step()
        elif name in ("finer", "coarser"):
            self.viewpoint.refine(1 if name == "finer" else -1)
        elif name == "reality":
            self.viewpoint.beside = not self.viewpoint.beside
            if self.viewpoint.beside and self.session.real_frame is None:
                self.message = "reality does not follow this episode; Enter starts one with reality"
        elif name == "agent":
            self._let_drive(name, "" if self.policy else "start the player with --agent to let an agent drive")
        elif name == "control":
            there = self.session.dream.world_model.has_control
            self._let_drive(name, "" if there else "this dream has no control model")
        elif name == "help":
            self.help = not self.help
        elif name == "record":
            self._toggle_recording()
        elif name == "picture":
            self._save_picture()
        elif name == "open":
            self.typed = ""
        elif name == "quit":
            self.running = False

    def _let_drive(self, name: str, hindrance: str) -> None:
        """Lets the agent or the control model drive, or takes over from it; a `hindrance` is shown instead."""
        self.driving = "" if hindrance or self.driving == name else name
        self.message = hindrance

    def _click(self, position: tuple[int, int]) -> None:
        """Takes hold of a bar, or chooses a cell."""
        for i, bar in enumerate(self.view.bars):
            if bar.collidepoint(position):
                self.bars.hold(i)
                self._drag(position)
                return
        if (cell := self._cell_at(position)) is not None:
            self.bars.choose(cell)
            self.message = f"row {cell[0]}, column {cell[1]}, from 0 on" if self.bars.chosen else ""
            if self.bars.chosen and self.codes:
                self.message += "; a digit makes a step by a code there"

    def _put(self, position: tuple[int, int]) -> None:
        """Puts the agent into the cell at this position."""
        if (cell := self._cell_at(position)) is not None:
            self._do(["teleport", *cell], "the agent was put there (motion retargeting); reality no longer follows")

    def _cell_at(self, position: tuple[int, int]) -> tuple[int, int] | None:
        """(row, column) of the cell at a position in the window; None outside the dream's picture."""
        area = self.view.dream_area
        if not area.collidepoint(position):
            return None
        y, x = (position[1] - area.y) / area.height, (position[0] - area.x) / area.width
        return cell_at(2.0 * y - 1.0, 2.0 * x - 1.0, self.session.dream.cells)

    def _drag(self, position: tuple[int, int]) -> None:
        self.message = self.bars.drag(self.view.value_at(position[1]))

    def _let_go(self) -> None:
        followed = self.session.episode is not None
        message = "reality has no latent actions: it no longer follows" if followed else ""
        self._do(["latent", self.bars.let_go()], message)

    def _type(self, event: pygame.event.Event) -> None:
        if event.key == pygame.K_ESCAPE:
            self.typed = None
        elif event.key == pygame.K_RETURN:
            path, self.typed = self.typed, None
            self._open(path)
        elif event.key == pygame.K_BACKSPACE:
            self.typed = self.typed[:-1]
        else:
            self.typed += event.unicode

    def _open(self, path: str) -> None:
        frame = read_picture(Path(path), self.session.dream)
        self.session.do(picture_event(frame))
        self.message = f"dreaming on from {path}"

    def _save_picture(self) -> None:
        self.message = f"saved {save_picture(self.folder / 'dream.png', self.viewpoint.picture())}"

    def _toggle_recording(self) -> None:
        if self.recording is None:
            self.recording, self.message = [], "recording; r stops"
            return
        frames, self.recording = self.recording, None
        if frames:
            path = save_video(self.folder / f"play.{self.video_format}", frames, PACE)
            self.message = f"saved {path}, {len(frames)} frames"

    def _flags(self) -> list[str]:
        """What is on."""
        flags = {"PAUSED": self.paused, self.driving.upper(): self.driving, "RECORDING": self.recording is not None}
        return [name for name, on in flags.items() if on]

    def _rate(self) -> int:
        """Frames drawn in the last second."""
        return sum(tick > time.monotonic() - 1.0 for tick in self._ticks)
