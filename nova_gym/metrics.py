"""How close two pictures, or two sets of them, are, and how sure a number is."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nova_gym.errors import BadInputError

#: A tile is right if its mean squared error is below this, for values in [0, 1] (`feasibility.md`, "Exact").
TILE_TOLERANCE = 0.02
#: PSNR of equal pictures, which would be infinite.
PSNR_CAP = 100.0
#: A pixel that differs from the background by more than this, for values in [0, 1], is foreground.
FOREGROUND = 0.1
#: Of a histogram of pixel values: one for each value of a byte.
_BINS = 256


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


def histogram(frames: np.ndarray) -> np.ndarray:
    """(256,) float64 shares of the values of frames of any shape, uint8 or floating point in [0, 1]; colours together.

    Raises:
        BadInputError: there are no values, or some lie outside that range.
    """
    values = frames / 255.0 if frames.dtype == np.uint8 else frames
    if not (values.size and np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= 1.0):
        raise BadInputError("a histogram is of at least one value, uint8 or within [0, 1]")
    counts, _ = np.histogram(values, _BINS, (0.0, 1.0))
    return counts / counts.sum()


def wasserstein(truth: np.ndarray, frames: np.ndarray) -> float:
    """Wasserstein-1 distance between the histograms of two sets of frames, in [0, 1].

    How far, on average, values would have to be moved for the two to be distributed alike: 0.01 is 1 % of the range
    from black to white. Where in the picture or when they occur does not matter. Frames as in `histogram`.
    """
    centres = (np.arange(_BINS) + 0.5) / _BINS
    return float(stats.wasserstein_distance(centres, centres, histogram(truth), histogram(frames)))


def jensen_shannon(truth: np.ndarray, frames: np.ndarray) -> float:
    """Jensen–Shannon distance between the histograms of two sets of frames, in [0, 1].

    The distance, as `scipy.spatial.distance.jensenshannon` gives it, to base 2: the square root of the divergence, so
    the larger of the two. Frames as in `histogram`.
    """
    return float(jensenshannon(histogram(truth), histogram(frames), base=2))


def find_tiles(frames: np.ndarray, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tracks something that fills one tile, such as MiniGrid's agent: where it is, and which of its looks it has.

    Args:
        frames: (n, H, W, C) floating point in [0, 1].
        tiles: (m, s, s, C) floating point, all looks of it; s divides H and W.

    Returns:
        (n, 3) int64 row, column and number of the look, where a tile of the frame is closest to one of the looks;
        (n,) float64 mean squared error there, below `TILE_TOLERANCE` if it is to be seen at all.
    """
    n, height, width, channels = frames.shape
    side = tiles.shape[1]
    rows, columns = height // side, width // side
    cut = frames.astype(np.float64).reshape(n, rows, side, columns, side, channels).transpose(0, 1, 3, 2, 4, 5)
    errors = np.stack([np.square(cut - tile).mean((3, 4, 5)) for tile in tiles], axis=-1).reshape(n, -1)
    nearest = errors.argmin(1)
    places = np.stack(np.unravel_index(nearest, (rows, columns, len(tiles))), axis=1)
    return places, errors[np.arange(n), nearest]


def overlap(truth: np.ndarray, frames: np.ndarray, background: np.ndarray) -> np.ndarray:
    """How much of the foreground of two pictures is the same pixels: intersection over union.

    Args:
        truth, frames: (n, H, W, C) floating point in [0, 1].
        background: (H, W, C); a pixel is foreground if any channel differs from it by more than `FOREGROUND`.

    Returns:
        (n,) float64 in [0, 1]; 1 where neither picture has any foreground.
    """
    first, second = (np.any(np.abs(pictures - background) > FOREGROUND, axis=-1) for pictures in (truth, frames))
    union = (first | second).sum((1, 2))
    return np.where(union > 0, (first & second).sum((1, 2)) / np.maximum(union, 1), 1.0)
