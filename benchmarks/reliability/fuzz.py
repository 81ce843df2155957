"""Bad inputs by the thousand: each is refused in one clear line, within seconds, and harms nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nova_gym.benchmarks.reliability.calls import TOGETHER, call_parts
from nova_gym.benchmarks.reliability.commands import command_parts
from nova_gym.benchmarks.reliability.files import file_parts
from nova_gym.benchmarks.reliability.inputs import inputs
from nova_gym.benchmarks.reliability.watching import Found, in_its_own_process

#: Share of all inputs that each part tries.
SHARES = {
    "dream files": 0.24,
    "agents' files": 0.12,
    "agents' zips": 0.04,
    "recordings": 0.06,
    "videos of arrays": 0.02,
    "video files": 0.02,
    "pictures": 0.02,
    "sessions": 0.02,
    "checkpoints": 0.02,
    "journals": 0.02,
    "frames and states": 0.12,
    "options": 0.06,
    "actions": 0.10,
    "seeds": 0.04,
    "arguments of environments": 0.04,
    "options of commands": 0.06,
}
#: Indices that one process tries.
CHUNK = 200


def fuzz(count: int, work: Path, known: dict[str, Any], only: str | None = None) -> Iterator[dict[str, Any]]:
    """Tries bad inputs, and gives what was found so far after each part.

    Args:
        count: how many, all parts together.
        work: folder for files.
        known: what an earlier call with the same count gave, to continue.
        only: the name of one part; None for all.
    """
    torch.set_num_threads(1)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    parts = dict(known.get("parts", {})) if known.get("count") == count else {}
    files = inputs(work / "fuzz")
    for name, cases in _cases(files).items():
        if name in parts or (only and only != name):
            continue
        began, found = time.monotonic(), Found()
        number = max(1, round(count * SHARES[name]))
        indices = -(-number // TOGETHER) if getattr(cases, "__name__", "") == "cases" else number
        for first in range(0, indices, CHUNK):
            found.add(in_its_own_process(cases, range(first, min(first + CHUNK, indices)), files.folder))
        parts[name] = {**asdict(found), "seconds": round(time.monotonic() - began, 1)}
        yield {"count": count, "parts": parts}


def _cases(files: Any) -> dict[str, Callable[[int, Found], None]]:
    return {**file_parts(files), **call_parts(files), **command_parts(files)}
