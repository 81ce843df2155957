"""Draws the player's window: the dream, reality beside it, numbers, latent action, the last frames."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import pygame
import torch
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.play.keymap import HELP

BACK, INK, DIM, RED, BAR = (24, 26, 32), (235, 235, 235), (150, 150, 160), (230, 60, 60), (90, 160, 240)
#: Frames in the strip.
STRIP = 8
#: Share of the window's width that the bars of the latent action take at most.
BARS = 0.5


@dataclass
class Shown:
    """What to show around the dream's picture.

    Attributes:
        lines: of the header.
        latent_action: the numbers of the bars, in [-1, 1].
        names: what they are called.
        cell: (row, column) of the cell that is framed in the dream's picture; None for none.
        cells: (rows, cols) of the dream's picture.
        real: reality's frame (H, W, C) uint8; None if reality is not shown.
        wrong: (rows, columns) bool, the tiles in which dream and reality differ, or where reality is not shown the
            cells that are doubted; None for neither.
        strip: the last frames, each (H, W, C) uint8.
        message: what happened last, shown below the header.
        help: whether to show the keys.
        typed: the part of a path typed so far; None if no path is asked for.
    """

    lines: tuple[str, ...]
    latent_action: tuple[float, ...]
    names: tuple[str, ...] = ()
    cell: tuple[int, int] | None = None
    cells: tuple[int, int] = (1, 1)
    real: np.ndarray | None = None
    wrong: np.ndarray | None = None
    strip: tuple[np.ndarray, ...] = ()
    message: str = ""
    help: bool = False
    typed: str | None = None


class Painter(threading.Thread):
    """Renders the newest picture asked for, in a thread, so that the window goes on answering keys."""

    def __init__(self, dream: Dream) -> None:
        super().__init__(daemon=True)
        self._model = dream.world_model
        self._wish: tuple[Hashable, Tensor, tuple[int, int]] | None = None
        self._done: tuple[Hashable, np.ndarray] | None = None
        self._changed, self._stopping = threading.Condition(), False
        self._error: Exception | None = None
        self.start()

    def ask(self, key: Hashable, state: Tensor, resolution: tuple[int, int]) -> None:
        """Asks for the picture of a state, in place of an earlier request that has not begun.

        Args:
            key: names the picture in `latest`.
            state: (1, K, rows, cols) float32.
            resolution: (H, W) in pixels.

        Raises:
            RuntimeError: an earlier picture could not be rendered.
        """
        with self._changed:
            if self._error is not None:
                raise RuntimeError(f"the picture cannot be rendered: {self._error}") from self._error
            if self._done is not None and self._done[0] == key:
                self._wish = None
                return
            if self._wish is None or self._wish[0] != key:
                self._wish = (key, state, resolution)
                self._changed.notify()

    def latest(self) -> tuple[Hashable, np.ndarray] | None:
        """Key and picture (H, W, C) uint8 that were finished last; None before the first."""
        return self._done

    def stop(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.join()

    def run(self) -> None:
        """The thread's own loop."""
        while True:
            with self._changed:
                while self._wish is None and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                key, state, resolution = self._wish
            try:
                with torch.no_grad():
                    picture = self._model.render(state, resolution, as_bytes=True)[0].numpy()
            except Exception as error:  # raised by the next `ask`, not lost with the thread
                self._error, self._wish = error, None
                continue
            with self._changed:
                if self._wish is not None:  # otherwise the picture is not needed any more
                    self._done = (
                        key,
                        picture,
                    )  # even if late, so that a dream faster than its pictures is seen to move
                    self._wish = None if self._wish[0] == key else self._wish


@dataclass
class View:
    """Draws the window's content on a pygame surface, and keeps where the parts that can be clicked are.

    Attributes:
        aspect: width of a frame divided by its height.
        dream_area: where the dream's picture was drawn last.
        bars: where the bars of the latent action were drawn last.
    """

    aspect: float = 1.0
    dream_area: pygame.Rect = field(default_factory=lambda: pygame.Rect(0, 0, 0, 0))
    bars: list[pygame.Rect] = field(default_factory=list)

    def draw(self, surface: pygame.Surface, shown: Shown, picture: np.ndarray | None) -> None:
        """Draws everything.

        Args:
            surface: of the window.
            shown: what to show around the picture.
            picture: of the dream, (H, W, C) uint8; None while it is not rendered yet.
        """
        surface.fill(BACK)
        width, height = surface.get_size()
        size = max(12, min(width, height) // 34)
        font = pygame.font.Font(None, round(size * 1.35))
        y = size // 2
        self._draw_bars(surface, shown, width, size)
        for line in (*shown.lines, shown.message):
            text = font.render(line, True, INK if line is not shown.message else DIM)
            surface.blit(_fit(text, self.bars[0].left - size, height), (size // 2, y))
            y += round(size * 1.2)
        strip = max(36, height // 10) if shown.strip else 0
        room = pygame.Rect(size // 2, y, width - size, height - y - strip - size)
        columns = 2 if shown.real is not None else 1
        most = (room.width - (columns - 1) * size) / columns
        tall = max(16, int(min(room.height, most / self.aspect)))
        wide = round(tall * self.aspect)
        left = room.x + (room.width - columns * wide - (columns - 1) * size) // 2
        if shown.real is not None:
            area = pygame.Rect(left, room.y, wide, tall)
            _blit(surface, shown.real, area)
            _frame_cells(surface, shown.wrong, area, RED)
            left += wide + size
        self.dream_area = pygame.Rect(left, room.y, wide, tall)
        if picture is not None:
            _blit(surface, picture, self.dream_area)
        _frame_cells(surface, shown.wrong, self.dream_area, RED)
        if shown.cell is not None:
            chosen = np.zeros(shown.cells, dtype=bool)
            chosen[shown.cell] = True
            _frame_cells(surface, chosen, self.dream_area, BAR)
        for i, small in enumerate(shown.strip):
            across = round(strip * self.aspect)
            _blit(surface, small, pygame.Rect(size // 2 + i * (across + 4), height - strip - 4, across, strip))
        if shown.help:
            self._draw_help(surface, font, size)
        if shown.typed is not None:
            self._draw_box(surface, font, size, [("picture file:", shown.typed + "_"), ("Enter", "start from it")])

    def value_at(self, y: int) -> float:
        """The number that a bar has if its end is at this height in the window; beyond [-1, 1] outside the bars."""
        return 1.0 - 2.0 * (y - self.bars[0].y) / self.bars[0].height

    def _draw_bars(self, surface: pygame.Surface, shown: Shown, width: int, size: int) -> None:
        self.bars = []
        values, font = shown.latent_action, pygame.font.Font(None, size)
        pitch = min(size + 4.0, BARS * width / len(values))
        tall, wide = round(size * 3.7), max(2, round(pitch * size / (size + 4)))
        left = width - pitch * len(values) - size // 2
        for i, value in enumerate(values):
            area = pygame.Rect(round(left + i * pitch), size // 2, wide, tall)
            self.bars.append(area)
            pygame.draw.rect(surface, (50, 54, 64), area)
            middle, length = area.y + tall // 2, round(abs(value) * tall / 2)
            pygame.draw.rect(surface, BAR, (area.x, middle - (length if value > 0 else 0), wide, max(1, length)))
        for name, area in zip(shown.names, self.bars, strict=False):
            text = _fit(font.render(name, True, DIM), area.width, size)
            surface.blit(text, text.get_rect(midtop=(area.centerx, area.bottom + 2)))

    def _draw_help(self, surface: pygame.Surface, font: pygame.font.Font, size: int) -> None:
        self._draw_box(surface, font, size, list(HELP))

    def _draw_box(
        self, surface: pygame.Surface, font: pygame.font.Font, size: int, rows: list[tuple[str, str]]
    ) -> None:
        texts = [(font.render(a, True, BAR), font.render(b, True, INK)) for a, b in rows]
        first = max(a.get_width() for a, _ in texts) + size
        wide = first + max(b.get_width() for _, b in texts) + 2 * size
        tall = round(len(texts) * size * 1.3) + 2 * size
        box = pygame.Surface((wide, tall), pygame.SRCALPHA)
        box.fill((10, 10, 14, 235))
        for i, (a, b) in enumerate(texts):
            y = size + round(i * size * 1.3)
            box.blit(a, (size, y))
            box.blit(b, (size + first, y))
        room = surface.get_rect()
        box = _fit(box, room.width, room.height)
        surface.blit(box, box.get_rect(center=room.center))


def _blit(surface: pygame.Surface, frame: np.ndarray, area: pygame.Rect) -> None:
    """Draws a frame (H, W, C) uint8 into `area`, enlarged without smoothing, so that its pixels stay visible."""
    if frame.shape[2] == 1:
        frame = frame.repeat(3, axis=2)
    image = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
    shrinks = image.get_width() > area.width or image.get_height() > area.height
    scale = pygame.transform.smoothscale if shrinks else pygame.transform.scale
    surface.blit(scale(image, area.size), area)


def _fit(image: pygame.Surface, width: int, height: int) -> pygame.Surface:
    """The image, shrunk if it is larger than `width` × `height`."""
    factor = min(1.0, max(1, width) / max(1, image.get_width()), height / image.get_height())
    return image if factor == 1.0 else pygame.transform.smoothscale_by(image, factor)


def _frame_cells(
    surface: pygame.Surface, marked: np.ndarray | None, area: pygame.Rect, colour: tuple[int, int, int]
) -> None:
    """Draws frames around the cells where `marked`, (rows, columns) bool, is True, in a picture drawn at `area`."""
    if marked is None:
        return
    tall, wide = area.height / marked.shape[0], area.width / marked.shape[1]
    for row, column in zip(*np.nonzero(marked), strict=True):
        pygame.draw.rect(surface, colour, (area.x + column * wide, area.y + row * tall, wide, tall), width=3)
