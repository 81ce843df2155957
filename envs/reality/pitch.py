"""Finds out whether things move on a grid, and how far its lines lie apart, from what changes between pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.special import gammaln

#: Least pixels and most fields between the lines that are looked for.
_LEAST, _MOST = 4, 48
#: Shifts by parts of a pixel that are tried where lines do not lie whole pixels apart.
_SHIFTS = 16
#: Neighbours of a pixel, to tell where one change ends and another begins.
_AROUND = np.ones((3, 3), bool)


class Fields(NamedTuple):
    """How a side of a picture is laid out in fields of a grid.

    Attributes:
        count: fields along the side; 0 if nothing moves along it from field to field.
        before, after: pixels to add to the picture at either end, so that it consists of whole fields.
    """

    count: int = 0
    before: int = 0
    after: int = 0

    @property
    def added(self) -> int:
        """Pixels to add at both ends together."""
        return self.before + self.after


def find_fields(pictures: Iterable[np.ndarray]) -> tuple[Fields, Fields]:
    """The grid on which things move, down and across.

    Where things move from field to field, their edges lie at few places within a field. What changes between pictures
    has edges; a grid is one by which the places of these edges are described in fewest bits, and in fewer than without
    it. Along one side alone there is a grid only if it explains more than the other side leaves unexplained.

    Args:
        pictures: (H, W, 3) uint8 each, in the order in which they were seen.

    Returns:
        For the height and for the width. No counts if things move gradually, too little was seen to tell, or the
        pictures are not all of one size.
    """
    changes, before = [], None
    for shown in pictures:
        if before is not None:
            if shown.shape != before.shape:
                return Fields(), Fields()
            differs = reduce(np.logical_or, np.moveaxis(shown != before, 2, 0))  # `any` of so few is ten times slower
            changes += ndimage.find_objects(ndimage.label(differs, _AROUND)[0])
        before = shown
    if not changes:
        return Fields(), Fields()
    spans = [np.array([(part[axis].start, part[axis].stop) for part in changes]) for axis in (0, 1)]
    found = [_pitch(ends, length) for ends, length in zip(spans, before.shape[:2], strict=True)]
    sides = []
    for axis, (pitch, saved, _) in enumerate(found):
        _, other_saved, other_bits = found[1 - axis]
        grid = saved > 0 and (other_saved > 0 or saved > other_bits)
        sides.append(_laid_out(spans[axis], pitch, before.shape[axis]) if grid else Fields())
    return sides[0], sides[1]


def _pitch(spans: np.ndarray, length: int) -> tuple[float, float, float]:
    """The pitch that describes best where changes begin and end; the nats that it saves, and those without it.

    Args:
        spans: (n, 2), where changes begin and end.
        length: of the side in pixels.
    """
    edges = [np.unique(ends) for ends in spans.T]
    without = sum(_choices(length + 1, len(places)) for places in edges)
    whole = [float(pitch) for pitch in range(max(_LEAST, -(-length // _MOST)), length // 2 + 1)]
    parts = [length / count for count in range(2, min(_MOST, length // _LEAST) + 1) if length % count]
    pitches = whole + parts
    if not pitches:
        return 0.0, 0.0, without
    nats = [sum(_described(places, pitch, length) for places in edges) for pitch in pitches]
    best = int(np.argmin(nats))
    return pitches[best], without - nats[best] - math.log(len(pitches)), without


def _described(places: np.ndarray, pitch: float, length: int) -> float:
    """Nats that say where edges lie: at how many places of a field, at which, and in which of all fields.

    Infinite if they lie at most places of a field: then things move gradually, whatever the numbers say.
    """
    shifts = np.zeros(1) if pitch.is_integer() else np.arange(_SHIFTS) / _SHIFTS
    within = np.sort(np.floor((places + shifts[:, None]) % pitch), axis=1)
    count = int((1 + (np.diff(within, axis=1) > 0).sum(1)).min())
    pixels, fields = math.ceil(pitch), math.ceil(length / pitch)
    if 2 * count > pixels:
        return math.inf
    return math.log(pixels) + _choices(pixels, count) + _choices(count * fields, len(places))


def _choices(among: int, count: int) -> float:
    """The logarithm of the number of ways to choose so many."""
    return float(gammaln(among + 1) - gammaln(count + 1) - gammaln(max(0, among - count) + 1))


def _laid_out(spans: np.ndarray, pitch: float, length: int) -> Fields:
    """As few fields as hold the side, with lines where they cut through the fewest changes, amid all such places."""
    if not pitch.is_integer():  # parts of the whole side
        return Fields(round(length / pitch))
    side = int(pitch)
    count = -(-length // side)
    spare = count * side - length
    before = np.arange(spare + 1)[:, None]
    cuts = ((spans[:, 1] - 1 + before) // side - (spans[:, 0] + before) // side).sum(1)
    free = ndimage.find_objects(ndimage.label(cuts == cuts.min())[0])
    widest = max((part[0] for part in free), key=lambda part: part.stop - part.start)
    added = (widest.start + widest.stop - 1) // 2
    return Fields(count, added, spare - added)
