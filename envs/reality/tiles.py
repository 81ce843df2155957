"""Finds out whether an environment's pictures are made of tiles, from the pictures alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import numpy as np

#: Least side of a tile in pixels, and the most tiles along a side of a picture.
_LEAST, _MOST = 4, 48
#: Different pictures that are looked at, and pixels of a tile that are compared, a side.
_PICTURES, _PIXELS = 48, 16
#: A grid shows at most this share of the different tiles that it shows when it is laid half a tile beside. Where things
#: move by pixels, both are equal but for chance.
_FEWER = 0.8


def find_tiles(pictures: Iterable[np.ndarray]) -> int:
    """The side of the square tiles that pictures are made of.

    Where things stand in tiles, few different tiles make up all pictures: fewer than there are places, and fewer than
    the same grid shows half a tile beside. Of several such grids that with the fewest different tiles is taken.

    Args:
        pictures: (H, W, 3) uint8 each, all of one size, of one environment at different times.

    Returns:
        Pixels, a divisor of H and W; 0 if the pictures are not made of tiles.
    """
    different = {picture.tobytes(): picture for picture in pictures}
    if len(different) < 2:
        return 0
    chosen = np.linspace(0, len(different) - 1, min(len(different), _PICTURES)).astype(int)
    codes = [_codes(list(different.values())[i]) for i in dict.fromkeys(chosen.tolist())]
    height, width = codes[0].shape
    shared = math.gcd(height, width)
    sides = [side for side in range(_LEAST, min(height, width) // 2 + 1) if shared % side == 0]
    fitting = {side: count for side in sides if max(height, width) <= _MOST * side and (count := _fits(codes, side))}
    return min(fitting, key=lambda side: (fitting[side], -side)) if fitting else 0


def _fits(codes: list[np.ndarray], side: int) -> int:
    """How many different tiles of this side there are; 0 if the pictures are not made of them."""
    most = codes[0].size // side**2
    here = _differing(codes, side, (0, 0), most)
    if here >= most:
        return 0
    enough = math.ceil(here / _FEWER)
    fewer = all(_differing(codes, side, beside, enough) >= enough for beside in ((0, 1), (1, 0), (1, 1)))
    return here if fewer else 0


def _differing(codes: list[np.ndarray], side: int, beside: tuple[int, int], enough: int) -> int:
    """How many different tiles there are, counted up to `enough`; half a tile down and right where `beside` is 1."""
    within = np.unique(np.linspace(0, side - 1, min(side, _PIXELS)).astype(int))
    ys, xs = (
        (np.arange(length // side)[:, None] * side + within + half * (side // 2)).ravel() % length
        for length, half in zip(codes[0].shape, beside, strict=True)
    )
    seen: set[int] = set()
    for code in codes:
        tiles = code[np.ix_(ys, xs)].reshape(-1, len(within), len(xs) // len(within), len(within))
        rows = (tiles * _weights(len(within))).sum(3)
        seen.update((rows * _weights(len(within))[:, None]).sum(1).ravel().tolist())
        if len(seen) >= enough:
            break
    return len(seen)


def _codes(picture: np.ndarray) -> np.ndarray:
    """(H, W) uint64, a number for the colour of each pixel."""
    colour = picture.astype(np.uint64) @ np.array([1, 1 << 8, 1 << 16], np.uint64)
    return (colour + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)


@cache
def _weights(count: int) -> np.ndarray:
    """(count,) odd uint64, by which the pixels of a tile are summed up to a number that tells tiles apart."""
    return np.random.default_rng(0x711E).integers(0, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
