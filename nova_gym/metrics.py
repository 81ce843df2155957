"""How close two pictures are, and how sure a number is."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

#: A tile is right if its mean squared error is below this, for values in [0, 1] (`feasibility.md`, "Exact").
TILE_TOLERANCE = 0.02
#: PSNR of equal pictures, which would be infinite.
PSNR_CAP = 100.0


@dataclass(frozen=True)
class Estimate:
    """A measured number with its 95 % confidence interval and the sample size behind it."""

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, float]:
        """A JSON-ready copy."""
        return asdict(self)


def share(hits: np.ndarray) -> Estimate | None:
    """The share of True in (n,) bool with its Wilson interval; None of nothing."""
    n = len(hits)
    if n == 0:
        return None
    interval = stats.binomtest(int(hits.sum()), n).proportion_ci(method="wilson")
    return Estimate(float(hits.mean()), float(interval.low), float(interval.high), n)


def mean(values: np.ndarray) -> Estimate | None:
    """The mean of (n,) numbers with Student's interval; None of nothing."""
    n = len(values)
    if n == 0:
        return None
    value = float(np.mean(values))
    spread = float(stats.sem(values)) if n > 1 else 0.0
    low, high = stats.t.interval(0.95, n - 1, loc=value, scale=spread) if spread > 0 else (value, value)
    return Estimate(value, float(low), float(high), n)


def difference(first: np.ndarray, second: np.ndarray) -> Estimate:
    """The mean of (n,) numbers minus the mean of (m,) others, with Welch's interval."""
    value = float(np.mean(first) - np.mean(second))
    low = high = value
    if min(len(first), len(second)) > 1 and (np.ptp(first) > 0 or np.ptp(second) > 0):
        low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return Estimate(value, float(low), float(high), len(first) + len(second))


def psnr(truth: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each pair.

    Args:
        truth, frames: (n, H, W, C) floating point in [0, 1].

    Returns:
        (n,) float64 in dB, at most `PSNR_CAP`.
    """
    with np.errstate(divide="ignore"):
        ratios = [peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(truth, frames, strict=True)]
    return np.minimum(np.asarray(ratios, dtype=np.float64), PSNR_CAP)


def ssim(truth: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(n,) float64 structural similarity of each pair of (n, H, W, C) floating-point pictures in [0, 1]."""
    side = min(7, *(n - (n + 1) % 2 for n in truth.shape[1:3]))
    return np.asarray(
        [
            structural_similarity(a, b, data_range=1.0, channel_axis=-1, win_size=side)
            for a, b in zip(truth, frames, strict=True)
        ]
    )


def tile_errors(truth: np.ndarray, frames: np.ndarray, tile: int) -> np.ndarray:
    """Mean squared error of every tile.

    Args:
        truth, frames: (n, H, W, C) floating point in [0, 1].
        tile: pixels a side of a tile; divides H and W.

    Returns:
        (n, H / tile, W / tile) float64.
    """
    n, height, width, channels = truth.shape
    squares = np.square(truth.astype(np.float64) - frames)
    return squares.reshape(n, height // tile, tile, width // tile, tile, channels).mean((2, 4, 5))
