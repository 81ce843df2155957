"""Files of played sessions: a header and all events in an `.npz` without pickles."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.files import write_atomically

#: Version of the layout of a recorded session.
FORMAT = 1


def write_recording(path: Path, dream: Dream, seed: int, events: list[list[Any]], state: np.ndarray) -> None:
    """Writes all events atomically, and the last state (1, K) float32, which a replay can be checked against.

    Raises:
        BadInputError: the file cannot be written.
    """
    header = {"format": FORMAT, "seed": seed, "dream": _identity(dream), "events": events}
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, session=np.array(json.dumps(header)), state=state)


def read_recording(path: Path, dream: Dream) -> tuple[int, list[list[Any]], np.ndarray]:
    """Reads a recorded session.

    Returns:
        The seed, the events, and the last state (1, K) float32.

    Raises:
        BadInputError: the file is not a recorded session, or it was recorded in another dream.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            header, state = json.loads(str(saved["session"])), saved["state"]
        seed, events, identity = header["seed"], header["events"], header["dream"]
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']}, this nova-gym reads {FORMAT}")
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInputError(f"{path} is not a session recorded by nova-gym play: {error}") from error
    if identity != _identity(dream):
        raise BadInputError(f"{path} was recorded in another dream")
    return seed, events, state


def picture_event(frame: np.ndarray) -> list[Any]:
    """The event that starts an episode from a picture (H, W, C) uint8."""
    return ["picture", np.ascontiguousarray(frame).tobytes().hex(), list(frame.shape)]


def _identity(dream: Dream) -> str:
    """Tells dreams apart, by environment and a sum over the weights.

    The weights for large frames are left out: sessions replay alike with and without them.
    """
    parameters = dream.world_model.named_parameters()
    weights = sum(float(p.double().abs().sum()) for name, p in parameters if not name.startswith("detail."))
    return f"{dream.card.env_id} {weights:.6e}"
