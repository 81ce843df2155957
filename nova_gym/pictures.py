"""Pictures of clips for reports: frames side by side under captions, as one image (`strip`) or a film (`film`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import imageio.v3 as iio
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nova_gym.files import write_atomically

_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_GAP, _LETTERS = 4, 13
#: Milliseconds for which a film shows each frame, and for which it shows the last one.
_PACE, _REST = 250, 1000


def strip(rows: dict[str, np.ndarray], columns: Sequence[str] = (), enlarge: int = 1) -> np.ndarray:
    """One image of several clips: a row of frames for each, with its name on the left.

    Args:
        rows: clips by name, (T, H, W, C) uint8 each, C 1 or 3; T may differ.
        columns: captions above the columns; empty for no captions.
        enlarge: factor; each pixel becomes a square of so many pixels a side.

    Returns:
        (H', W', 3) uint8.
    """
    font = _font()
    frames = {name: _enlarged(row, enlarge) for name, row in rows.items()}
    margin = round(max(font.getlength(name) for name in rows)) + 3 * _GAP
    above = _LETTERS + 2 * _GAP if columns else _GAP
    height = above + sum(row.shape[1] + _GAP for row in frames.values())
    width = margin + max(len(row) * (row.shape[2] + _GAP) for row in frames.values())
    page = Image.new("RGB", (width, height), _PAPER)
    pen, top = ImageDraw.Draw(page), above
    cell = next(iter(frames.values())).shape[2] + _GAP
    for i, column in enumerate(columns):
        pen.text((margin + i * cell + (cell - _GAP) / 2, above / 2), column, _INK, font, anchor="mm")
    for name, row in frames.items():
        pen.text((_GAP, top + row.shape[1] / 2), name, _INK, font, anchor="lm")
        for i, frame in enumerate(row):
            page.paste(Image.fromarray(frame), (margin + i * (row.shape[2] + _GAP), top))
        top += row.shape[1] + _GAP
    return np.asarray(page)


def film(rows: dict[str, np.ndarray], enlarge: int = 1) -> list[np.ndarray]:
    """Clips side by side, each under its name.

    Args:
        rows: clips by name, (T, H, W, C) uint8 each, C 1 or 3, all of the same T.
        enlarge: as in `strip`.

    Returns:
        T pictures (H', W', 3) uint8.
    """
    steps = len(next(iter(rows.values())))
    return [_titled({name: _enlarged(row[t : t + 1], enlarge)[0] for name, row in rows.items()}) for t in range(steps)]


def save_png(path: Path, picture: np.ndarray) -> None:
    """Writes a picture (H, W, 3) uint8, atomically.

    Raises:
        BadInputError: it cannot be written.
    """
    with write_atomically(path) as temporary:
        iio.imwrite(temporary, picture, extension=".png", optimize=True)


def save_gif(path: Path, frames: list[np.ndarray], pace: int = _PACE) -> None:
    """Writes frames (H, W, 3) uint8 as an animated GIF, atomically; it loops, and pauses on the last frame.

    Args:
        path: where.
        frames: what to show.
        pace: milliseconds for which each is shown.

    Raises:
        BadInputError: it cannot be written.
    """
    durations = [pace] * (len(frames) - 1) + [_REST]
    with write_atomically(path) as temporary:
        iio.imwrite(temporary, frames, extension=".gif", duration=durations, loop=0)


def beside(real: np.ndarray, dreamt: np.ndarray) -> np.ndarray:
    """Two frames (H, W, C) uint8 with a white line between them: (H, 2 W + 4, C)."""
    line = np.full((len(real), 4, real.shape[2]), 255, dtype=np.uint8)
    return np.concatenate([real, line, dreamt], axis=1)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with Matplotlib: Pillow's own font lacks ×."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _LETTERS)


def _titled(frames: dict[str, np.ndarray]) -> np.ndarray:
    font = _font()
    widths = {name: max(frame.shape[1], round(font.getlength(name))) + _GAP for name, frame in frames.items()}
    above = _LETTERS + 2 * _GAP
    height = above + max(frame.shape[0] for frame in frames.values()) + _GAP
    page = Image.new("RGB", (sum(widths.values()) + _GAP, height), _PAPER)
    pen, left = ImageDraw.Draw(page), _GAP
    for name, frame in frames.items():
        pen.text((left + widths[name] / 2, above / 2), name, _INK, font, anchor="mm")
        page.paste(Image.fromarray(frame), (left + (widths[name] - frame.shape[1]) // 2, above))
        left += widths[name]
    return np.asarray(page)


def _enlarged(frames: np.ndarray, times: int) -> np.ndarray:
    """(T, H, W, 1 or 3) → (T, times H, times W, 3)."""
    large = frames.repeat(times, axis=1).repeat(times, axis=2)
    return large if large.shape[-1] == 3 else large.repeat(3, axis=-1)
