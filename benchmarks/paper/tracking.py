"""Where balls are in a picture, by their colours, and how fast they are: how PhyWorld measures (arXiv 2411.02385)."""

from __future__ import annotations

import numpy as np

from nova_gym.data.phyworld import SECONDS, WORLD

#: A pixel belongs to a ball if its colour is this strong, and the others are weaker; fewer pixels are no ball.
HALF, LEAST = 0.5, 4


def track(frames: np.ndarray) -> np.ndarray:
    """Centres of the red and of the blue ball.

    Args:
        frames: (…, H, W, 3) floating point in [0, 1].

    Returns:
        (…, 2, 2) x and y in parts of the frame's width and height, from its upper left corner; NaN where there is no
        ball of that colour.
    """
    strong = frames > HALF
    red, green, blue = (strong[..., colour] for colour in range(3))
    height, width = frames.shape[-3:-1]
    down, across = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    centres = []
    for mask in (red & ~green & ~blue, blue & ~green & ~red):
        count = mask.sum((-2, -1)).astype(np.float64)
        known = np.where(count >= LEAST, count, np.nan)
        x, y = (mask.sum(-2) * across).sum(-1) / known, (mask.sum(-1) * down).sum(-1) / known
        centres.append(np.stack([x, y], axis=-1))
    return np.stack(centres, axis=-2)


def velocity_errors(
    places: np.ndarray, radii: np.ndarray, seen: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far the velocities of drawn balls are from the true ones.

    A step counts for a ball that is wholly in view before and after it. A ball that is not found stays where it was
    seen last, so that its error is its speed.

    Args:
        places: (N, T + 1, 2, 2) true places from the last frame of the context on, as `track` gives them.
        radii: (N, 2) in parts of a frame.
        seen: (N, H, W, 3) the last frame of the context.
        drawn: (N, T, H, W, 3) what a model draws after it.

    Returns:
        (N,) mean error of a clip in units of the scene a second, and (N,) the share of balls that are not found; NaN
        for clips in which no step counts.
    """
    found = track(np.concatenate([seen[:, None], drawn], axis=1))
    missing = np.isnan(found).any(-1)
    for time in range(1, found.shape[1]):
        found[:, time] = np.where(missing[:, time, :, None], found[:, time - 1], found[:, time])
    inside = ((places > radii[:, None, :, None]) & (places < 1.0 - radii[:, None, :, None])).all(-1)
    counts = inside[:, 1:] & inside[:, :-1] & ~np.isnan(found).any(-1)[:, 1:]
    off = np.linalg.norm(np.diff(found, axis=1) - np.diff(places, axis=1), axis=-1) * WORLD / SECONDS
    number = counts.sum((1, 2)).astype(np.float64)
    number[number == 0] = np.nan
    return np.where(counts, off, 0.0).sum((1, 2)) / number, (missing[:, 1:] & counts).sum((1, 2)) / number
