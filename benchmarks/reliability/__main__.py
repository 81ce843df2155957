"""Faults that are survived: bad inputs, killed processes, long runs, and processes and threads of every kind.

python -m nova_gym.benchmarks.reliability fuzz|kills|soak|processes [--count N] [--restart]

What is done is not done again: the same command continues. `python -m nova_gym.benchmarks.results_page` writes the page
from the files in benchmarks/results/reliability.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.sources import RELIABILITY

#: By name, how many a measurement takes by default, and of what.
COUNTS = {
    "fuzz": (10_000, "bad inputs"),
    "kills": (100, "kills of each command"),
    "soak": (10_000_000, "steps"),
    "processes": (1, "rounds"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; returns 1 if there were faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    said = "; ".join(f"{name}: {count:,} {what}" for name, (count, what) in COUNTS.items())
    parser.add_argument("what", choices=COUNTS)
    parser.add_argument("--count", type=int, help=f"how many (default: {said})")
    parser.add_argument("--only", metavar="PART", help="one part of it")
    parser.add_argument("--restart", action="store_true", help="begin anew, with --only that part")
    parser.add_argument("--work", type=Path, default=Path("runs/reliability"), help="default: %(default)s")
    parser.add_argument("--results", type=Path, default=Path(RELIABILITY), help="default: %(default)s")
    given = parser.parse_args(arguments)
    count = COUNTS[given.what][0] if given.count is None else given.count
    if count < 1:
        parser.error("--count must be at least 1")
    file = given.results.resolve() / f"{given.what}.json"
    known = json.loads(file.read_text()) if file.exists() and not (given.restart and not given.only) else {}
    if given.restart and given.only:
        known.get("parts", {}).pop(given.only, None)
    measure = getattr(importlib.import_module(f"nova_gym.benchmarks.reliability.{given.what}"), given.what)
    figures, work, told = known, given.work.resolve(), set(known.get("parts", {}))
    for figures in measure(count, work, known, given.only):
        write_results(file, figures, None)
        for name in figures["parts"].keys() - told:
            print(f"{name}: {_told(figures['parts'][name])}", flush=True)
            told.add(name)
    return int(any(part.get("kinds") for part in figures.get("parts", {}).values()))


def _told(part: dict) -> str:
    plain = {key: value for key, value in part.items() if isinstance(value, int | float | str)}
    lines = [f"  {number} × {kind}" for kind, number in part.get("kinds", {}).items()]
    return "\n".join([", ".join(f"{key} {value}" for key, value in plain.items()), *lines])


if __name__ == "__main__":
    sys.exit(main())
