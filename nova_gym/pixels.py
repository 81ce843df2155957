"""Pictures of any kind as pixels (H, W, 3) uint8, and what size of frame suits them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from nova_gym.errors import BadInputError

#: Sides of frames are multiples of this, the side of a cell in pixels.
CELL = 8
#: Pixels of a frame where nothing else decides, and the most of a frame whose tiles have 8 pixels a side.
_AREA, _LARGEST = 72 * 72, 160 * 160
#: What a frame of another size costs, beside one of another shape.
_SIZE_COUNTS = 0.25
_ACCEPTED = "accepted are arrays (H, W, 3), (H, W, 4), (H, W, 1) or (H, W), of 0 to 255, of floats in [0, 1] or of bool"


def picture(array: Any, source: str = "render()") -> np.ndarray:
    """A picture as an environment gives it, as pixels of 8 bits in three colours.

    Whole numbers are taken as they are, floats in [0, 1] are scaled to 255, False and True are black and white. Grey
    is repeated for each colour. What is transparent is laid on black.

    Args:
        array: (H, W, 3), (H, W, 4) with opacity last, (H, W, 1) or (H, W).
        source: where it comes from, for messages.

    Returns:
        (H, W, 3) uint8, contiguous, an array of its own: an environment may draw into the same one again.

    Raises:
        BadInputError: it is no picture; the message says what was wrong, and what is accepted.
    """
    if isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3:
        return _with_pixels(array.copy(order="C"), source)
    if array is None or isinstance(array, (list, tuple, str, dict)):
        what = f"a list of {len(array)} things" if isinstance(array, (list, tuple)) else f"{type(array).__name__}"
        raise BadInputError(f"{source} gave {'nothing (None)' if array is None else what}, not a picture; {_ACCEPTED}")
    array = np.asarray(array)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise BadInputError(f"{source} gave an array of shape {array.shape}, not a picture; {_ACCEPTED}")
    array = _bytes(_with_pixels(array if array.ndim == 3 else array[..., None], source), source)
    if array.shape[2] == 4:
        opacity = array[..., 3:]
        array = array[..., :3]
        if (opacity < 255).any():
            array = np.rint(array * (opacity / 255.0)).astype(np.uint8)
    return (array if array.shape[2] == 3 else array.repeat(3, axis=2)).copy(order="C")


def suitable_size(height: int, width: int, tile: int = 0) -> tuple[int, int]:
    """The size of frames that suits pictures of a size.

    Args:
        height, width: of the pictures in pixels.
        tile: side of the tiles that they consist of, 0 for none.

    Returns:
        (H, W), multiples of 8. A tile has 8 pixels a side, unless frames become so large that they take long. Without
        tiles, the picture keeps its proportions as closely as it can, at about 72 × 72 pixels or its own, if fewer.
    """
    rows, cols = (height // tile, width // tile) if tile else (0, 0)
    if 0 < rows * cols * CELL**2 <= _LARGEST:
        return rows * CELL, cols * CELL
    return min(_sizes(CELL, CELL), key=partial(_cost, height=height, width=width))


def grid_size(height: int, width: int, fields: tuple[int, int]) -> tuple[int, int] | None:
    """The size of frames that suits pictures in which things move from field to field.

    Args:
        height, width: of the pictures in pixels; they consist of whole fields.
        fields: of a picture, down and across; 0 where things do not move from field to field.

    Returns:
        (H, W) in which a field has one or more multiples of 8 pixels along each side. It keeps the proportions of the
        picture as closely as it then can. None if there are no fields, or if frames would become so large that they
        take long.
    """
    sizes = [size for size in _sizes(*(max(1, count) * CELL for count in fields)) if size[0] * size[1] <= _LARGEST]
    return min(sizes, key=partial(_cost, height=height, width=width), default=None) if any(fields) else None


def sized(size: int | tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """The size of frames that was asked for.

    Args:
        size: the width, with which a picture keeps its proportions as closely as it can; or (H, W).
        height, width: of the pictures in pixels.

    Raises:
        BadInputError: sides are no multiples of 8; the message names sizes near it that are.
    """
    if isinstance(size, int):
        if size < CELL or size % CELL:
            near = " or ".join(f"{side}" for side in _near(size))
            raise BadInputError(f"frames have sides that are multiples of {CELL}: a width of {near}, not {size}")
        return max(1, round(size * height / width / CELL)) * CELL, size
    if min(size) < CELL or size[0] % CELL or size[1] % CELL:
        near = " or ".join(f"{rows}x{cols}" for rows, cols in zip(_near(size[0]), _near(size[1]), strict=False))
        raise BadInputError(f"frames have sides that are multiples of {CELL}: {near}, not {size[0]}x{size[1]}")
    return int(size[0]), int(size[1])


def parse_size(text: str) -> int | tuple[int, int]:
    """A size as written on the command line: `72`, a width, or `64x96`, height and width.

    Raises:
        BadInputError: it is neither.
    """
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise BadInputError(f"a size is a width in pixels, such as 72, or HEIGHTxWIDTH, such as 64x96, not {text!r}")
    numbers = tuple(int(part) for part in parts)
    return numbers[0] if len(numbers) == 1 else numbers


def _sizes(*units: int) -> Iterator[tuple[int, int]]:
    """(H, W) in multiples of these units, of all sizes that may suit."""
    return product(*(range(unit, 4 * math.isqrt(_AREA) + 1, unit) for unit in units))


def _cost(size: tuple[int, int], height: int, width: int) -> float:
    """How far a size is from the shape of pictures, and from what suits."""
    shape = abs(math.log(size[0] * width / (size[1] * height)))
    return shape + _SIZE_COUNTS * abs(math.log(size[0] * size[1] / min(_AREA, height * width)))


def _near(side: int) -> tuple[int, int]:
    """Multiples of 8 that are at most, and at least, this many pixels."""
    below = max(1, side // CELL) * CELL
    above = max(1, -(-side // CELL)) * CELL
    return (below, above) if below != above or side == below else (below, below + CELL)


def _with_pixels(array: np.ndarray, source: str) -> np.ndarray:
    if not array.size:
        raise BadInputError(f"{source} gave a picture without pixels, of shape {array.shape}; {_ACCEPTED}")
    return array


def _bytes(array: np.ndarray, source: str) -> np.ndarray:
    """Numbers of any kind as uint8."""
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind not in "iuf":
        raise BadInputError(f"{source} gave a picture of {array.dtype}; {_ACCEPTED}")
    low, high = array.min(), array.max()
    most = 1 if kind == "f" else 255
    if not (low >= 0 and high <= most):  # NaN is neither
        said = f"of {array.dtype} from {low:g} to {high:g}"
        raise BadInputError(f"{source} gave a picture {said}, which is not within 0 to {most}; {_ACCEPTED}")
    return np.rint(array * 255.0).astype(np.uint8) if kind == "f" else array.astype(np.uint8)
