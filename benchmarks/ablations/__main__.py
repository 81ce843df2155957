"""What each of the paper's choices is worth, on moving digits, with equal time for both sides.

`python -m nova_gym.benchmarks.ablations [inr] [dynamics] [editing] --minutes 6 --seed 0 --json FILE`

inr: a state that is the weights of a coordinate network against a plain vector of equal size with a transposed-CNN
decoder. Same encoder, data, seeds and stages, and the same minutes for each stage, which the two take in turns.

dynamics: additive, z' = A(z) + B(u), against joint, z' = z + F([z, u]) with as many parameters, on one encoder and
renderer: those of the `inr` side after its first stage. With --dataset on MiniGrid as well, on those of the
shipped dream.

editing: motion retargeting with latent actions from the inverse dynamics (before distillation) against latent actions
of the control model, which remembers the beginning of the motion clip (after it). The model is that of the `inr` side.

Test digits are by other hands than those that were trained on. --minutes is what one side is trained for in all; what
lies between stages (encoding, coordinates) and the measuring take their own time.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nova_gym.benchmarks.ablations.parts import PARTS, data, seconds_of
from nova_gym.benchmarks.ablations.sides import DYNAMICS_SHARES, SHARES, Workshop
from nova_gym.benchmarks.ablations.tables import columns_and_rows
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import show
from nova_gym.errors import BadInputError
from nova_gym.terminal import progress_bars


def run(parts: list[str], minutes: float, seed: int, dataset: str | None, target: Path | None) -> dict[str, Any]:
    """Runs ablations, shows their tables, and writes what is measured after each of them.

    Raises:
        BadInputError: the recording cannot be used, or the file cannot be written.
    """
    report: dict[str, Any] = {
        "minutes of a side": minutes,
        "seed": seed,
        "data": data(seed, dataset),
        "shares of the minutes": {"from the start": SHARES, "dynamics alone": DYNAMICS_SHARES},
    }
    tables = []
    with TemporaryDirectory() as folder, progress_bars() as bars:

        def progress(done: int, total: int, text: str) -> None:
            bars("seconds of training", done, total, text)

        total = seconds_of(parts, minutes, dataset)
        workshop = Workshop(minutes, seed, total, Path(folder), progress)
        for part in (part for part in PARTS if part in parts):
            report[part] = PARTS[part](workshop, dataset)
            tables += [(f"{part}: {title}", figures) for title, figures in report[part]["figures"].items()]
            if target:  # after each part: what is measured is not lost if a later one fails
                write_results(target, report, "minigrid" if dataset else None)
    for title, figures in tables:
        show(title, *columns_and_rows(figures))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--minutes", type=float, default=6.0, help="that a side is trained for (default: 6)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--dataset", help="recording of MiniGrid for `dynamics`, such as minigrid/crossing-v0")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown ablation {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if not 0.0 < arguments.minutes < float("inf") or arguments.seed < 0:
        parser.error("--minutes must be more than 0 and --seed at least 0")
    try:
        run(arguments.parts or list(PARTS), arguments.minutes, arguments.seed, arguments.dataset, arguments.json)
    except BadInputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
