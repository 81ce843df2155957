"""Files of the player: pictures to start from, pictures and videos that it saves."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, UnidentifiedImageError

from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.files import write_atomically
from nova_gym.tensor_file import DAMAGED, first_line

VIDEO_FORMATS = ("gif", "mp4")


def read_picture(path: Path, dream: Dream) -> np.ndarray:
    """Reads a picture file as a frame (H, W, C) uint8, resized to the dream's frame size.

    Raises:
        BadInputError: the file cannot be read as a picture.
    """
    height, width = dream.frame_size
    try:
        with Image.open(path) as image:
            mode = "RGB" if dream.world_model.config.inr.channels == 3 else "L"
            resized = image.convert(mode).resize((width, height), Image.Resampling.BOX)
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError, *DAMAGED) as error:
        raise BadInputError(f"cannot read the picture {str(path)!r}: {first_line(error)}") from error
    return np.asarray(resized).reshape(height, width, -1)


def save_picture(path: Path, picture: np.ndarray) -> Path:
    """Writes a picture (H, W, C) uint8 as PNG.

    Returns:
        The path written to: `path`, with a number added if that file exists.

    Raises:
        BadInputError: the folder cannot be written to.
    """
    path = _free(path)
    with write_atomically(path) as temporary:
        iio.imwrite(temporary, picture.squeeze(), extension=".png")
    return path


def save_video(path: Path, frames: list[np.ndarray], rate: float) -> Path:
    """Writes frames (H, W, 3) uint8 as a video.

    Args:
        path: its ending, one of `VIDEO_FORMATS`, is the format.
        frames: may differ in size if the window was resized. They are cut to the smallest, and to even sizes, which
            H.264 needs.
        rate: frames a second.

    Returns:
        The path written to: `path`, with a number added if that file exists.

    Raises:
        BadInputError: the folder cannot be written to.
    """
    path = _free(path)
    height, width = (min(frame.shape[axis] for frame in frames) // 2 * 2 for axis in (0, 1))
    frames = [frame[:height, :width] for frame in frames]
    with write_atomically(path) as temporary:
        if path.suffix == ".mp4":  # ffmpeg cannot tell the format from the temporary file's name
            options = {"macro_block_size": 2, "output_params": ["-f", "mp4"]}
            iio.imwrite(temporary, frames, extension=".mp4", plugin="FFMPEG", fps=rate, **options)
        else:
            iio.imwrite(temporary, frames, extension=".gif", duration=round(1000 / rate), loop=0)
    return path


def _free(path: Path) -> Path:
    """`path`, with a number added if that file exists."""
    number, chosen = 1, path
    while chosen.exists():
        chosen = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return chosen
