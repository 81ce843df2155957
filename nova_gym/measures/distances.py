"""How far apart the pixel values of two sets of frames are."""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

from nova_gym.errors import BadInputError

#: Bins of a histogram of pixel values, one for each value of a byte.
_BINS = 256


def histogram(frames: np.ndarray) -> np.ndarray:
    """How often each pixel value occurs in frames, all colours together.

    Args:
        frames: of any shape, uint8 or floating point in [0, 1].

    Returns:
        (256,) float64 shares, whose sum is 1.

    Raises:
        BadInputError: the array is empty, or holds values outside that range.
    """
    values = frames / 255.0 if frames.dtype == np.uint8 else frames
    if not (values.size and np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= 1.0):
        raise BadInputError("a histogram needs at least one value, and all must be uint8 or within [0, 1]")
    counts, _ = np.histogram(values, _BINS, (0.0, 1.0))
    return counts / counts.sum()


def wasserstein(truth: np.ndarray, frames: np.ndarray) -> float:
    """Wasserstein-1 distance between the histograms of two sets of frames, in [0, 1].

    It is how far, on average, pixel values would have to move for the two to be distributed alike: 0.01 is 1 % of the
    range from black to white. Where and when a value occurs does not matter. Frames and errors as in `histogram`.
    """
    centres = (np.arange(_BINS) + 0.5) / _BINS
    return float(stats.wasserstein_distance(centres, centres, histogram(truth), histogram(frames)))


def jensen_shannon(truth: np.ndarray, frames: np.ndarray) -> float:
    """Jensen–Shannon distance between the histograms of two sets of frames, in [0, 1].

    It is the square root of the Jensen–Shannon divergence to base 2, as `scipy.spatial.distance.jensenshannon` gives
    it; the divergence itself is smaller. Frames and errors as in `histogram`.
    """
    return float(jensenshannon(histogram(truth), histogram(frames), base=2))
