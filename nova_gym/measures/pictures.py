"""How close two pictures are."""

from __future__ import annotations

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

#: A tile is right if its mean squared error is below this, for values in [0, 1].
TILE_TOLERANCE = 0.02
#: Pictures without tiles show the same if their PSNR is above this, in dB.
SAME_PSNR = 25.0
#: PSNR of equal pictures, which would be infinite.
PSNR_CAP = 100.0
#: A pixel that differs from the background by more than this, for values in [0, 1], is foreground.
FOREGROUND = 0.1


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


def alike(truth: np.ndarray, frames: np.ndarray, tile: int) -> np.ndarray:
    """Whether the pictures of each pair show the same.

    Args:
        truth, frames: (n, H, W, C) floating point in [0, 1].
        tile: pixels a side of a tile, all of which must be right (`TILE_TOLERANCE`); 0 where pictures have no tiles:
            their PSNR must be above `SAME_PSNR`.

    Returns:
        (n,) bool.
    """
    if not tile:
        return psnr(truth, frames) > SAME_PSNR
    return (tile_errors(truth, frames, tile) < TILE_TOLERANCE).all((1, 2))


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
