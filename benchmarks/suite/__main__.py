"""Dreams of other environments, and agents that learn in them: open loop, and scores in reality.

python -m nova_gym.benchmarks.suite [ROW ...] [--minutes 30] [--jobs 1] [--references] [--improve]

Each row is recorded, dreamt, compared in open loop; an agent learns in the dream alone and is tested in reality. A part
that is done is not done again: the same command continues. Each part is a process of its own, so that its time and its
largest memory are known. --references measures what scores are compared with: random play, the best policy, and the
same algorithm trained in reality.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.suite.rows import ROWS, Row
from nova_gym.benchmarks.suite.runner import PARTS, Settings, datasets_in, run_part, score_anew, write_row
from nova_gym.errors import BadInputError

_REFERENCES = "references"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs rows; returns 1 if a part of one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"default: all of {', '.join(ROWS)}")
    parser.add_argument("--minutes", type=float, default=30.0, help="for a row, up to its agent (default: 30)")
    parser.add_argument("--jobs", type=int, default=1, help="rows at the same time (default: 1)")
    parser.add_argument("--references", action="store_true", help="measure the references of the rows, and no dream")
    parser.add_argument("--improve", action="store_true", help="also improve the dream by 20,000 real steps at most")
    parser.add_argument("--restart", action="store_true", help="begin anew instead of continuing")
    parser.add_argument(
        "--episodes", type=int, default=100, help="real episodes of each test, more where they are short (default: 100)"
    )
    parser.add_argument("--preset", help="of all rows, instead of what suits")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--work", type=Path, default=Settings.work, help="working folder (default: runs/suite)")
    parser.add_argument("--results", type=Path, default=Settings.results, help=f"default: {Settings.results}")
    parser.add_argument("--pictures", type=Path, default=Settings.pictures, help=f"default: {Settings.pictures}")
    parser.add_argument("--part", choices=(*PARTS, _REFERENCES), help="do this part alone, in this process")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"unknown row {unknown[0]!r}; there are {', '.join(ROWS)}")
    if not given.minutes > 0 or given.jobs < 1 or given.episodes < 1:
        parser.error("minutes must be more than 0, jobs and episodes at least 1")
    rows = [ROWS[name] for name in given.rows or ROWS]
    settings = Settings(
        given.minutes,
        given.work,
        given.results,
        given.pictures,
        given.episodes,
        given.seed,
        given.improve,
        given.preset,
    )
    if given.part:
        for row in rows:
            _alone(row, given.part, settings)
        return 0
    with ThreadPoolExecutor(given.jobs) as pool:
        work = _measure_references if given.references else _run
        return int(not all(list(pool.map(lambda row: work(row, settings, given.restart), rows))))


def _alone(row: Row, part: str, settings: Settings) -> None:
    if part == _REFERENCES:
        from nova_gym.benchmarks.suite.references import references

        write_results(settings.references(row), references(row, settings.episodes, settings.seed), None)
    else:
        run_part(row, part, settings)


def _measure_references(row: Row, settings: Settings, restart: bool) -> bool:
    if restart or not settings.references(row).exists():
        if not _in_its_own_process(row, _REFERENCES, settings):
            return False
    else:
        print(f"{row.name}: references are known", flush=True)
    score_anew(row, settings)
    return True


def _run(row: Row, settings: Settings, restart: bool) -> bool:
    if restart:
        for file in settings.folder(row).iterdir():
            file.unlink()
    for part in settings.parts:
        if settings.done(row, part) is None and not _in_its_own_process(row, part, settings):
            return False
    print(f"{row.name}: {write_row(row, settings)}", flush=True)
    return True


def _in_its_own_process(row: Row, part: str, settings: Settings) -> bool:
    """Does a part; says how it went in one line, and returns whether it went well."""
    log, began = settings.folder(row) / f"{part}.log", time.monotonic()
    options = {
        "--part": part,
        "--minutes": settings.minutes,
        "--episodes": settings.episodes,
        "--seed": settings.seed,
        "--work": settings.work,
        "--results": settings.results,
        "--pictures": settings.pictures,
        **({"--preset": settings.preset} if settings.preset else {}),
    }
    command = [sys.executable, "-m", "nova_gym.benchmarks.suite", row.name]
    command += [str(each) for pair in options.items() for each in pair]
    with log.open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=output, env=datasets_in(settings.work)).returncode
    last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
    said = "done" if code == 0 else f"failed ({last}); {log}"
    print(f"{row.name}: {part} {said}, {time.monotonic() - began:.0f} s", flush=True)
    return code == 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInputError as error:
        sys.exit(str(error))
