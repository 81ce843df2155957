"""The page of faults: `docs/reliability.md`, from the files in `benchmarks/results/reliability`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nova_gym.benchmarks.provenance import MEASURED_ON
from nova_gym.benchmarks.sources import RELIABILITY
from nova_gym.benchmarks.tables import table
from nova_gym.errors import BadInputError

_HEAD = """# Reliability

What was done to break the package, and what came of it. Each table is written from a file of figures, by

```sh
python -m nova_gym.benchmarks.results_page
```

Counts are what was really tried. A fault is counted each time it occurs. One that was mended since stays in the table
until its part is measured anew.
"""
_SAFE = """## What loading runs

Nothing. A [dream](limits.md#safety-of-files) and an agent are tensors and JSON in a `.safetensors` file. Their header
is checked before anything is made of it, and a model takes no more memory than the file has numbers. Only
Stable-Baselines3's zip is a pickle, and reading one warns."""
_INTRODUCTIONS = {
    "fuzz": """## Bad inputs

Files are cut, have bits flipped and bytes exchanged. Or they are sealed anew with a right checksum, over a header or
tensors that lie. Arguments are drawn by Hypothesis. Each option of each command gets values that are none of its kind.
Accepted is what does no harm, such as a file's unread byte. Faults are a traceback, a message of more than one line,
a refusal after more than 10 s of the processor, work of more than a minute of it or three of the clock, more than 1 GB
of memory, and a file that is not as it was.""",
    "kills": """## Killed, and full disks

A command gets SIGKILL at a random time. What was there must be whole, old or new. Resumed, or where it cannot be
resumed done again, it must end with the same weights to the bit. Checkpoints are written every other step, so that
kills hit them. The full disk is a tmpfs of 8 MB with little or no room left.""",
    "soak": """## A long run

256 dreams of MiniGrid, stepped as one batch with random actions, in two fresh processes. Then the same dreams as scalar
environments, as one vector environment and as SB3's.""",
    "processes": """## Processes, threads, copies

Each in a process whose threads of PyTorch have worked before. All must see the same numbers as one environment by
itself. Copies are of scalar environments, vector environments, SB3's and simulators.""",
}


def reliability_page(folder: str | Path) -> str:
    """The page as Markdown.

    Args:
        folder: of the JSON files; where one is missing, the page names its command.

    Raises:
        BadInputError: a file is not one of that command's.
    """
    blocks = [_HEAD, _SAFE]
    for name, show in _TABLES.items():
        path, command = Path(folder) / f"{name}.json", f"`python -m nova_gym.benchmarks.reliability {name}`"
        blocks.append(_INTRODUCTIONS[name])
        if not path.exists():
            blocks.append(f"Not measured yet: {command}.")
            continue
        try:
            figures = json.loads(path.read_text(encoding="utf-8"))
            parts = figures["parts"]
            machine = figures[MEASURED_ON]["machine"]["processor"]
            blocks += [
                f"By {command} with `--count {figures['count']}`: [{path.name}](../{RELIABILITY}/{path.name}), on "
                f"{machine}, {figures[MEASURED_ON]['date']}.",
                show(parts),
                *_faults(parts),
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"{path} holds no figures: {command} makes it anew ({error!r})") from error
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _fuzz(parts: dict[str, Any]) -> str:
    rows = [_fuzzed(name, part) for name, part in parts.items()]
    whole = {key: sum(part[key] for part in parts.values()) for key in ("tried", "refused", "accepted")}
    whole |= {key: max(part[key] for part in parts.values()) for key in ("slowest", "largest")}
    whole["kinds"] = {name: sum(part["kinds"].values()) for name, part in parts.items()}
    columns = ("input", "tried", "refused in one line", "accepted", "faults", "slowest", "most memory")
    return table(columns, [*rows, _fuzzed("**all**", whole)])


def _fuzzed(name: str, part: dict[str, Any]) -> tuple[str, ...]:
    counts = (part["tried"], part["refused"], part["accepted"], sum(part["kinds"].values()))
    return name, *(f"{count:,}" for count in counts), f"{part['slowest']:.1f} s", f"{part['largest'] / 1e6:,.0f} MB"


def _kills(parts: dict[str, Any]) -> str:
    rows = [
        (
            name,
            f"{part['tried']:,}",
            f"{part['killed before the end']:,} killed" if "refused" not in part else f"{part['refused']:,} refused",
            f"{sum(part['kinds'].values()):,}",
        )
        for name, part in parts.items()
    ]
    return table(("command", "tries", "of these", "faults"), rows)


def _soak(parts: dict[str, Any]) -> str:
    rows = []
    for name, part in parts.items():
        said = {key: value for key, value in part.items() if key not in ("kinds", "results", "seconds")}
        if "growth of memory" in said:
            said["growth of memory"] = f"{said['growth of memory']:.2%}"
        words = ", ".join(f"{key} {value:,}" if type(value) is int else f"{key} {value}" for key, value in said.items())
        rows.append((name, words, f"{part['seconds']:,.0f} s", f"{sum(part['kinds'].values()):,}"))
    return table(("", "found", "time", "faults"), rows)


def _processes(parts: dict[str, Any]) -> str:
    rows = [(name, f"{part['tried']:,}", f"{sum(part['kinds'].values()):,}") for name, part in parts.items()]
    return table(("way", "tries", "faults"), rows)


def _faults(parts: dict[str, Any]) -> list[str]:
    """A table of the faults that were counted; nothing where there are none."""
    rows = [(name, f"`{kind}`", f"{count:,}") for name, part in parts.items() for kind, count in part["kinds"].items()]
    return ["Faults that were counted:", table(("", "fault", "times"), rows)] if rows else []


_TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "fuzz": _fuzz,
    "kills": _kills,
    "soak": _soak,
    "processes": _processes,
}
