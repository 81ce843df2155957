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
import torch

from nova_gym.editing import LAYERS, layer
from nova_gym.envs.adapter import observe
from nova_gym.envs.play.files import VIDEO_FORMATS, read_picture, save_picture, save_video
from nova_gym.envs.play.keymap import COMMAND_KEYS, action_of
from nova_gym.envs.play.recorded import picture_event
from nova_gym.envs.play.session import Moment, PlaySession
from nova_gym.envs.play.view import STRIP, Painter, Shown, View
from nova_gym.errors import BadInputError
from nova_gym.measures import TILE_TOLERANCE, tile_errors

#: Heights of the dream's picture in pixels that + and - go through.
RESOLUTIONS = (36, 72, 144, 288, 512, 768, 1024)
#: Steps a second while an agent drives or a session is replayed.
PACE = 8.0

Policy = Callable[[np.ndarray], int]


class Player:
    """The game loop: answers keys and mouse, steps a `PlaySession`, and draws it with a `View`.

    Args:
        session: the session to play on.
        policy: latents (K,) float32 → action, an agent for the key `a`; None without an agent.
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
        height, width = session.dream.world_model.config.frame_size
        self.view, self.painter = View(width / height), Painter(session.dream)
        self.resolution, self.layer = 288, ""
        self.message = "h shows the keys" if session.discrete else "drag the bars to act; h shows the keys"
        self.paused = self.beside = self.help = False
        self.driving = ""  # "agent", "control", or empty while the person does
        self.typed: str | None = None
        self.dragged: tuple[int, list[float]] | None = None  # the bar, and the latent action if let go
        self.running, self.recording = True, None
        self.script = deque(script or [])
        self.drawn: Any = None
        self.on_screen: Any = None  # key, as in `wanted`, of the picture that is shown
        self.frames_drawn, self._ticks = 0, deque(maxlen=30)
        self._next_step = 0.0
        self._small: dict[int, np.ndarray] = {}

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
        if event.type == pygame.QUIT or (event.type == pygame.WINDOWCLOSE and event.window is self.window):
            self.running = False
        elif event.type == pygame.DROPFILE:
            self._open(event.file)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            self._click(event.pos)
        elif event.type == pygame.MOUSEMOTION and self.dragged:
            self._drag(event.pos)
        elif event.type == pygame.MOUSEBUTTONUP and event.button == 1 and self.dragged:
            self._let_go()
        elif event.type == pygame.KEYDOWN and self.typed is not None:
            self._type(event)
        elif event.type == pygame.KEYDOWN:
            card = self.session.dream.card
            action = action_of(event.key, card.action_names, self.session.dream.world_model.config.actions)
            if action is not None and self.session.discrete:
                self._do(["act", action])
            elif event.key in COMMAND_KEYS:
                self._command(COMMAND_KEYS[event.key])

    @property
    def wanted(self) -> tuple[int, str, int]:
        """Key of the picture to show: number of the moment, layer and resolution."""
        return self.session.now.number, self.layer, self.resolution

    def show(self) -> None:
        """Draws the window if anything changed."""
        now, key = self.session.now, self.wanted
        self.painter.ask(key, self._layer_state(), self._size())
        finished, picture = self.painter.latest() or (None, None)
        latent_action = self.dragged[1] if self.dragged else now.latent_action[0].tolist()
        state = (key, finished, tuple(latent_action), self.message, self.beside, self.help, self.typed)
        state += (self.paused, self.driving, self.screen.get_size(), self.recording is not None)
        if state == self.drawn:
            return
        self.drawn = state
        self._ticks.append(time.monotonic())
        wrong = self._wrong_tiles()
        strip = tuple(self._picture_of(moment) for moment in self.session.history[-STRIP:])
        shown = Shown(
            lines=self._lines(wrong),
            latent_action=tuple(latent_action),
            real=self.session.real_picture(self._size()[1]) if self.beside else None,
            wrong=wrong,
            strip=strip,
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
        waits = time.monotonic() < self._next_step or self.on_screen != self.wanted or self.dragged is not None
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
            self.layer = "" if self.layer == name else name
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
            at = RESOLUTIONS.index(self.resolution) + (1 if name == "finer" else -1)
            self.resolution = RESOLUTIONS[max(0, min(at, len(RESOLUTIONS) - 1))]
        elif name == "reality":
            self.beside = not self.beside
            if self.beside and self.session.real_frame is None:
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
        for i, bar in enumerate(self.view.bars):
            if bar.collidepoint(position):
                self.dragged = i, self.session.now.latent_action[0].tolist()
                self._drag(position)
                return
        area = self.view.dream_area
        if area.collidepoint(position):
            y, x = (position[1] - area.y) / area.height, (position[0] - area.x) / area.width
            message = "the agent was put there (motion retargeting); reality no longer follows"
            self._do(["teleport", y, x], message)

    def _drag(self, position: tuple[int, int]) -> None:
        i, values = self.dragged
        bar = self.view.bars[i]
        values[i] = float(np.clip(1.0 - 2.0 * (position[1] - bar.y) / bar.height, -1.0, 1.0))
        self.message = f"latent action {i + 1} of {len(values)}: {values[i]:+.2f}; letting go makes a step"

    def _let_go(self) -> None:
        (_, values), self.dragged = self.dragged, None
        self._do(
            ["latent", values], "reality has no latent actions: it no longer follows" if self.session.episode else ""
        )

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
        self.session.do(picture_event(read_picture(Path(path), self.session.dream)))
        self.message = f"dreaming on from {path}"

    def _save_picture(self) -> None:
        with torch.no_grad():
            picture = self.session.dream.world_model.render(self._layer_state(), self._size(), as_bytes=True)[0].numpy()
        self.message = f"saved {save_picture(self.folder / 'dream.png', picture)}"

    def _toggle_recording(self) -> None:
        if self.recording is None:
            self.recording, self.message = [], "recording; r stops"
            return
        frames, self.recording = self.recording, None
        if frames:
            path = save_video(self.folder / f"play.{self.video_format}", frames, PACE)
            self.message = f"saved {path}, {len(frames)} frames"

    def _size(self) -> tuple[int, int]:
        """(H, W) of the dream's picture in pixels; its height is `resolution`."""
        height, width = self.session.dream.world_model.config.frame_size
        return self.resolution, round(self.resolution * width / height)

    def _layer_state(self) -> torch.Tensor:
        """(1, K) float32, what is drawn: the state, or one of its layers."""
        model, now = self.session.dream.world_model, self.session.now
        if not self.layer:
            return now.state
        # layers of the step that led here: content + motion is the state shown
        before = self.session.history[-2].state if len(self.session.history) > 1 else now.state
        return layer(model, self.layer, before, now.latent_action)

    def _picture_of(self, moment: Moment) -> np.ndarray:
        """(H, W, C) uint8 at the dream's frame size; drawn once for each moment and kept."""
        if moment.number not in self._small:
            kept = {known.number for known in self.session.history[-2 * STRIP :]}
            self._small = {number: frame for number, frame in self._small.items() if number in kept}
            with torch.no_grad():
                self._small[moment.number] = observe(self.session.dream, moment.state, "pixels")[0]
        return self._small[moment.number]

    def _wrong_tiles(self) -> np.ndarray | None:
        """(rows, columns) bool, the tiles that differ from reality; None if reality is not shown or has no tiles."""
        real, tile = self.session.real_frame, self.session.tile
        if not self.beside or real is None or not tile:
            return None
        frames = (real, self._picture_of(self.session.now))
        truth, drawn = (frame[None].astype(np.float32) / 255.0 for frame in frames)
        return tile_errors(truth, drawn, tile)[0] >= TILE_TOLERANCE

    def _lines(self, wrong: np.ndarray | None) -> tuple[str, ...]:
        now, card = self.session.now, self.session.dream.card
        names = card.action_names
        action = "–" if now.action is None else names[now.action] if names else str(now.action)
        first = f"step {now.step}   reward {now.reward:+.2f}   return {now.total:.2f}   end {now.end:.0%}"
        height, width = self._size()
        second = f"action {action}   {width}×{height}   {self._rate():.0f} frames/s"
        if wrong is not None:
            second += f"   agreement {1.0 - wrong.mean():.0%} of tiles"
        flags = [
            name
            for name, on in (("PAUSED", self.paused), (self.driving.upper(), self.driving), (self.layer, self.layer))
            if on
        ]
        if self.recording is not None:
            flags.append("RECORDING")
        if now.ended:
            flags.append("EPISODE ENDED")
        if self.beside and self.session.real_frame is not None:
            flags.insert(0, "reality | dream")
        return first, second, "   ".join(flags)

    def _rate(self) -> float:
        """Frames drawn in the last second."""
        recent = [tick for tick in self._ticks if tick > time.monotonic() - 1.0]
        return float(len(recent))
