"""Recordings of played sessions: a header and all events in an `.npz` without pickles."""

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
    """Writes all events, atomically, with the last state (1, K) to check a replay by."""
    header = {"format": FORMAT, "seed": seed, "dream": _identity(dream), "events": events}
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, session=np.array(json.dumps(header)), state=state)


def read_recording(path: Path, dream: Dream) -> tuple[int, list[list[Any]], np.ndarray]:
    """(seed, events, last state) of a recorded session.

    Raises:
        BadInputError: the file is no recording, or of another dream.
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
    """The event that starts from a picture (H, W, C) uint8."""
    return ["picture", np.ascontiguousarray(frame).tobytes().hex(), list(frame.shape)]


def _identity(dream: Dream) -> str:
    """Tells dreams apart: what they are of, and a sum over their weights; those for large frames change no session."""
    parameters = dream.world_model.named_parameters()
    weights = sum(float(p.double().abs().sum()) for name, p in parameters if not name.startswith("detail."))
    return f"{dream.card.env_id} {weights:.6e}"
