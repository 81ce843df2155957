"""Notes beside figures what they were measured on, so that they can be repeated and compared: dream, machine, date.

Every command that writes into `benchmarks/results` uses `write_results`.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import safetensors
import torch

from nova_gym.dream import Card, find_dream
from nova_gym.files import write_json
from nova_gym.model import doubt

#: The key of this note, in every file of figures.
MEASURED_ON = "measured on"
#: Where the note of figures of doubt tells the dream's doubt, and the version of how this nova-gym doubts.
WITH_DOUBT, DOUBT_VERSION = "sha256 with its doubt", "version of doubt"


def write_results(path: str | Path, figures: dict[str, Any], dream: str | Path | None, doubts: bool = False) -> None:
    """Writes figures as JSON, with a note of what they were measured on.

    Args:
        path: of the JSON file.
        figures: JSON-ready.
        dream: name or path of the dream that was measured; None if it was not a dream.
        doubts: whether the figures depend on the dream's doubt.

    Raises:
        BadInputError: the file cannot be written, or there is no such dream.
    """
    write_json(path, {**figures, MEASURED_ON: measured_on(dream, doubts)})


def rewrite_results(path: str | Path, figures: dict[str, Any]) -> None:
    """Writes figures that were read from a file of results, with the note they have, after something was added.

    Raises:
        BadInputError: the file cannot be written.
        KeyError: they have no note.
    """
    write_json(path, {**figures, MEASURED_ON: figures[MEASURED_ON]})


def measured_on(dream: str | Path | None, doubts: bool = False) -> dict[str, Any]:
    """The note: dream, machine, versions and date, JSON-ready.

    Args:
        dream: name or path; None if it was not a dream.
        doubts: as in `write_results`.

    Raises:
        BadInputError: there is no such dream.
    """
    named = None if dream is None else {"name": Path(dream).stem, "sha256 of its tensors": fingerprint(dream)}
    if named and doubts:
        named |= {WITH_DOUBT: fingerprint(dream, doubts=True), DOUBT_VERSION: doubt.VERSION}
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "dream": named,
        "machine": {
            "processor": processor(),
            "cores": cores(),
            "vectors": torch.backends.cpu.get_cpu_capability(),  # such as AVX2 or AVX512
            "accelerator": accelerator,
        },
        "versions": Card().versions,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def fingerprint(dream: str | Path, doubts: bool = False) -> str:
    """SHA-256 of the tensors in a dream's file that its steps and frames depend on.

    The card is left out, so adding scores does not change it.

    Args:
        dream: name or path.
        doubts: whether its doubt counts. It judges steps and changes none, so no figures but its own depend on it.

    Raises:
        BadInputError: there is no such dream.
    """
    digest = hashlib.sha256()
    with safetensors.safe_open(find_dream(dream), framework="pt") as file:
        for name in sorted(name for name in file.keys() if doubts or not name.startswith("doubt.")):  # noqa: SIM118
            tensor = file.get_tensor(name)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def processor() -> str:
    """The processor's model name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
