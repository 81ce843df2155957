"""Files of played sessions: a header and all events in an `.npz` without pickles."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.files import write_atomically
from nova_gym.tensor_file import DAMAGED, first_line

#: Version of the layout of a recorded session.
FORMAT = 2


class Recording(NamedTuple):
    """A recorded session.

    Attributes:
        seed: of all starts.
        reality: Gymnasium id of the real environment that the dream dreamt of; None if there is none.
        events: all events, the first of which is a reset.
        state: (1, K, rows, cols) float32, the last state, which a replay can be checked against.
    """

    seed: int
    reality: str | None
    events: list[list[Any]]
    state: np.ndarray


def write_recording(path: Path, dream: Dream, recording: Recording) -> None:
    """Writes a session atomically.

    Raises:
        BadInputError: the file cannot be written.
    """
    header = {"format": FORMAT, "dream": _identity(dream), **recording._asdict()}
    state = header.pop("state")
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, session=np.array(json.dumps(header)), state=state)


def read_recording(path: Path, dream: Dream) -> Recording:
    """Reads a recorded session.

    Raises:
        BadInputError: the file is not a recorded session, or it was recorded in another dream.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            header, state = json.loads(str(saved["session"])), saved["state"]
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']}, this nova-gym reads {FORMAT}")
        identity, recording = header["dream"], Recording(header["seed"], header["reality"], header["events"], state)
    except (OSError, EOFError, RecursionError, zipfile.BadZipFile, zlib.error, *DAMAGED) as error:
        raise BadInputError(f"{path} is not a session recorded by nova-gym play: {first_line(error)}") from error
    if identity != _identity(dream):
        raise BadInputError(f"{path} was recorded in another dream")
    return recording


def picture_event(frame: np.ndarray) -> list[Any]:
    """The event that starts an episode from a picture (H, W, C) uint8."""
    return ["picture", np.ascontiguousarray(frame).tobytes().hex(), list(frame.shape)]


def _identity(dream: Dream) -> str:
    """Tells dreams apart, by a sum over the weights.

    The weights for large frames are left out: sessions replay alike with and without them.
    """
    parameters = dream.world_model.named_parameters()
    weights = sum(float(p.double().abs().sum()) for name, p in parameters if not name.startswith("detail."))
    return f"{weights:.6e}"
