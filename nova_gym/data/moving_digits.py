"""Moving digits: two handwritten digits that bounce in a square, the rules of Moving MNIST (arXiv 1502.04681)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from nova_gym.errors import BadInputError

#: Pixels a side of a digit, as in MNIST.
DIGIT = 28
#: Distance that a digit moves in a step, as a share of the room it has.
STEP = 0.1
#: Shape of the canonical `mnist_test_seq.npy`, (frames, clips, H, W), and how many of its clips are for training.
CANONICAL, CANONICAL_TRAINING = (20, 10_000, 64, 64), 8_000
#: How many of scikit-learn's digits only test clips show: the last ones, which other people wrote.
HELD_OUT = 360
#: Ink below the first value is drawn as 0, above the second as 255; in between lies the soft edge of a stroke.
EDGE = (0.2, 0.8)

_CLIPS_AT_ONCE = 256


class LabelledClips(NamedTuple):
    """Clips of moving digits, and what they show.

    Attributes:
        frames: (clips, length, size, size) uint8.
        labels: (clips, 2) int64, from 0 to 9, of the two digits.
        corners: (clips, length, 2, 2) int64, row and column of their upper left corners, as `paths` gives them.
    """

    frames: np.ndarray
    labels: np.ndarray
    corners: np.ndarray


def moving_digits(
    clips: int, seed: int, test: bool = False, source: str | Path | None = None, length: int = 20, size: int = 64
) -> np.ndarray:
    """Clips of two digits, each with its own direction; where they meet the brighter pixel shows.

    A digit starts anywhere, moves at constant speed, a tenth of its room a step, and bounces off the walls.

    Args:
        clips: how many.
        seed: of digits, places and directions, or of the choice among the clips of `source`.
        test: whether to show digits that are held out from training clips (of `source`: its last 2,000 clips, which are
            held out likewise).
        source: path of the canonical `mnist_test_seq.npy`; None makes clips of the digits that scikit-learn bundles.
        length: frames in a clip.
        size: pixels a side of a frame.

    Returns:
        (clips, length, size, size) uint8.

    Raises:
        BadInputError: a number is out of range, or `source` is not the canonical file.
    """
    if source is None:
        return labelled_clips(clips, seed, test, length, size).frames
    _check_size(clips, length, size)
    return _canonical(Path(source), clips, np.random.default_rng([seed, int(test)]), test, length, size)


def labelled_clips(clips: int, seed: int, test: bool = False, length: int = 20, size: int = 64) -> LabelledClips:
    """The clips of `moving_digits` without a source, with the labels and places of their digits.

    Raises:
        BadInputError: a number is out of range.
    """
    _check_size(clips, length, size)
    rng, part = np.random.default_rng([seed, int(test)]), digits_of(test)
    digits, labels = handwritten_digits()[part], digit_labels()[part]
    chosen = rng.integers(len(digits), size=(clips, 2))
    corners = paths(clips, rng, length, size - DIGIT)
    return LabelledClips(draw_digits(digits, chosen, corners, size), labels[chosen], corners)


def digits_of(test: bool) -> slice:
    """Which of `handwritten_digits` test clips show, or training clips."""
    return slice(-HELD_OUT, None) if test else slice(None, -HELD_OUT)


def _check_size(clips: int, length: int, size: int) -> None:
    if clips < 1 or length < 2 or size < DIGIT:
        raise BadInputError(
            f"moving digits are at least 1 clip of 2 frames of {DIGIT}×{DIGIT}, "
            f"not {clips} of {length} of {size}×{size}"
        )


def draw_digits(digits: np.ndarray, chosen: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """Clips of digits at given places.

    Args:
        digits: (m, 28, 28) uint8, as `handwritten_digits` gives them.
        chosen: (clips, 2) int64, which two of them a clip shows.
        corners: (clips, length, 2, 2) int64, where each of the two is, as `paths` gives it.
        size: pixels a side of a frame.

    Returns:
        (clips, length, size, size) uint8.
    """
    clips, length = corners.shape[:2]
    frames = np.zeros((clips, length, size, size), dtype=np.uint8)
    for first in range(0, clips, _CLIPS_AT_ONCE):
        part = slice(first, first + _CLIPS_AT_ONCE)
        windows = sliding_window_view(frames[part], (DIGIT, DIGIT), axis=(2, 3), writeable=True)
        clip, time = np.ogrid[: len(windows), :length]
        for digit in range(2):
            row, column = np.moveaxis(corners[part, :, digit], -1, 0)
            ink = digits[chosen[part, digit]][:, None]
            windows[clip, time, row, column] = np.maximum(windows[clip, time, row, column], ink)
    return frames


def paths(clips: int, rng: np.random.Generator, length: int, room: int) -> np.ndarray:
    """(clips, length, 2, 2) int64: upper left corners (row, column) of two digits, each coordinate in [0, room]."""
    place = rng.random((clips, 2, 2))
    angle = rng.random((clips, 2)) * 2 * np.pi
    direction = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    corners = np.empty((clips, length, 2, 2), dtype=np.int64)
    for time in range(length):
        corners[:, time] = place * room
        place = place + STEP * direction
        outside = (place < 0) | (place > 1)
        direction = np.where(outside, -direction, direction)
        place = place.clip(0, 1)
    return corners


def _load_digits() -> Any:
    from sklearn.datasets import load_digits  # takes half a second, and little else needs it

    return load_digits()


@lru_cache(maxsize=1)
def handwritten_digits() -> np.ndarray:
    """(1797, 28, 28) uint8, scikit-learn's 8×8 digits with smooth strokes, in a margin like MNIST's."""
    ink = np.pad(_load_digits().images / 16.0, ((0, 0), (1, 1), (1, 1)))
    zoom = DIGIT / ink.shape[1]
    smooth = ndimage.zoom(ink, (1, zoom, zoom), order=3, mode="grid-constant", grid_mode=True)
    low, high = EDGE
    return (((smooth - low) / (high - low)).clip(0, 1) * 255).round().astype(np.uint8)


@lru_cache(maxsize=1)
def digit_labels() -> np.ndarray:
    """(1797,) int64, from 0 to 9: what `handwritten_digits` are."""
    return _load_digits().target.astype(np.int64)


def _canonical(source: Path, clips: int, rng: np.random.Generator, test: bool, length: int, size: int) -> np.ndarray:
    try:
        frames = np.load(source, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read {source} as Moving MNIST: {error}") from error
    if frames.shape != CANONICAL or frames.dtype != np.uint8:
        raise BadInputError(
            f"{source} holds {frames.dtype} of shape {frames.shape}; the canonical file is uint8 of shape {CANONICAL}"
        )
    part = np.arange(frames.shape[1])
    part = part[CANONICAL_TRAINING:] if test else part[:CANONICAL_TRAINING]
    if length > len(frames) or size != frames.shape[2] or clips > len(part):
        raise BadInputError(
            f"{source} has {len(part)} such clips of {len(frames)} frames of {frames.shape[2]}×{frames.shape[2]}, "
            f"not {clips} of {length} of {size}×{size}"
        )
    chosen = np.sort(rng.permutation(part)[:clips])
    return np.ascontiguousarray(frames[:length, chosen].swapaxes(0, 1))
