"""Whether dreamt digits are still the digits that they were: a classifier names them, wherever two can be told apart.

The classifier is scikit-learn's support vector machine. It learns from the digits that training clips show, and knows
nothing of dreams. A frame counts if it shows two separate shapes of a digit's size; digits that overlap count in
another frame. A dream in which they have melted into one has no frame that counts, and both digits are wrong then.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage
from sklearn.svm import SVC

from nova_gym.data.moving_digits import DIGIT, digit_labels, digits_of, handwritten_digits
from nova_gym.measures import mean

#: Ink above this is part of a shape, for values in [0, 1]; parts that are so many pixels apart are one shape.
INK, APART = 0.3, 2
#: Frames, from a step on, in which the two digits of a clip are looked for.
FRAMES = 10
#: The classifier sees windows averaged over squares of so many pixels.
_COARSE = 2


@lru_cache(maxsize=1)
def classifier() -> SVC:
    """Names windows (n, `DIGIT`² / 4) as `window` makes them; trained on the digits of training clips."""
    digits, labels = handwritten_digits()[digits_of(test=False)], digit_labels()[digits_of(test=False)]
    windows = np.stack([window(digit / 255.0, digit > INK * 255) for digit in digits])
    return SVC(C=10.0).fit(windows, labels)


@lru_cache(maxsize=1)
def smallest_digit() -> int:
    """Half as many pixels of ink as the smallest digit of training clips has; a shape with fewer is no digit."""
    return int((handwritten_digits()[digits_of(test=False)] > INK * 255).sum((1, 2)).min()) // 2


def window(frame: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """What the classifier sees of a shape: a window of a digit's size, with the shape in its middle.

    Args:
        frame: (H, W) floating point in [0, 1].
        shape: (H, W) bool, the pixels that belong to the shape; at least one.

    Returns:
        (`DIGIT`² / 4,) float64.
    """
    ink = np.pad(np.where(shape, frame, 0.0), DIGIT)
    rows, columns = (np.flatnonzero(np.pad(shape, DIGIT).any(axis)) for axis in (1, 0))
    y, x = ((side[0] + side[-1] + 1 - DIGIT) // 2 for side in (rows, columns))
    cut = ink[y : y + DIGIT, x : x + DIGIT]
    return cut.reshape(DIGIT // _COARSE, _COARSE, DIGIT // _COARSE, _COARSE).mean((1, 3)).ravel()


def shapes(frame: np.ndarray) -> list[np.ndarray]:
    """The separate shapes of a frame (H, W) in [0, 1] that are large enough for a digit, each (H, W) bool."""
    ink = frame > INK
    near = ndimage.binary_dilation(ink, np.ones((2 * APART - 1, 2 * APART - 1)))
    numbers, count = ndimage.label(near, np.ones((3, 3)))
    found = [ink & (numbers == number) for number in range(1, count + 1)]
    return [shape for shape in found if shape.sum() >= smallest_digit()]


def two_digits(frame: np.ndarray) -> list[np.ndarray]:
    """The windows of the two digits of a frame (H, W); none where it does not show two separate shapes of that size."""
    found = shapes(frame)
    fits = all(np.ptp(np.nonzero(shape), axis=1).max() < DIGIT for shape in found)
    return [window(frame, shape) for shape in found] if len(found) == 2 and fits else []


def identity(frames: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> dict[str, float] | None:
    """The share of digits that are named rightly.

    Of the two ways to say which shape is which digit, the one with more right names counts.

    Args:
        frames: (clips, `FRAMES`, H, W) floating point in [0, 1], dreamt.
        truth: of the same shape, the true continuations. A clip whose true digits are never separate in these frames is
            left out.
        labels: (clips, 2) int64 of the true digits.

    Returns:
        `mean` over clips as a dict. A clip's value is the mean over its frames that count, 0 without such frames. None
        if all clips are left out.
    """
    shares = []
    for dreamt, real, names in zip(frames, truth, labels, strict=True):
        if not any(map(two_digits, real)):
            continue
        windows = [pair for frame in dreamt if (pair := two_digits(frame))]
        if not windows:
            shares.append(0.0)
            continue
        said = classifier().predict(np.concatenate(windows)).reshape(-1, 2)
        shares.append(float(np.maximum((said == names).mean(1), (said == names[::-1]).mean(1)).mean()))
    found = mean(np.asarray(shares))
    return found and found.to_dict()
