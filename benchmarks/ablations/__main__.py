"""Measures what each choice is worth, with equal time and data for all sides, on moving digits and on MiniGrid.

`python -m nova_gym.benchmarks.ablations [state] [dynamics] [editing] --minutes 4 --dataset ID --seed 0 --json FILE`

state compares three kinds of states: a field of tiny coordinate networks; one such network for the whole frame, the
paper's state; and a plain vector of that size with a transposed-CNN decoder. All have the same data, seeds, stages and
minutes for each stage, and are trained in turns. Each has sizes that suit it.

dynamics compares additive, z' = A(z) + B(u), with joint, z' = z + F([z, u]), with as many parameters. Both use one
encoder and renderer: those of the field after its first stage.

editing compares motion retargeting by latent actions from the inverse dynamics (before distillation) with latent
actions of the control model, which remembers the beginning of the motion clip (after it). It uses the field.

Test digits are by other writers than those trained on. With --dataset, state and dynamics are measured on MiniGrid as
well, on levels of one, two and three walls. --minutes is the training time of one side in all. Work between stages
(encoding, coordinates) and the measurements come on top.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nova_gym.benchmarks.ablations.parts import PARTS, data, seconds_of
from nova_gym.benchmarks.ablations.sides import DYNAMICS_SHARES, MINIGRID_SHARES, SHARES, Workshop
from nova_gym.benchmarks.ablations.tables import columns_and_rows
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import show
from nova_gym.errors import BadInputError
from nova_gym.terminal import progress_bars


def run(parts: list[str], minutes: float, seed: int, dataset: str | None, target: Path | None) -> dict[str, Any]:
    """Runs ablations and shows their tables; writes the figures to `target` after each of them.

    Raises:
        BadInputError: the recording cannot be used, or the file cannot be written.
    """
    report: dict[str, Any] = {
        "minutes of a side": minutes,
        "seed": seed,
        "data": data(seed, dataset),
        "shares of the minutes": {
            "moving digits": SHARES,
            "MiniGrid": MINIGRID_SHARES,
            "dynamics alone": DYNAMICS_SHARES,
        },
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
            if target:  # after each part, so that a later failure loses no figures
                write_results(target, report, None)
    for title, figures in tables:
        show(title, *columns_and_rows(figures))
    return report


def main() -> None:
    """Parses the arguments and runs the ablations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"ablations to run: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=6.0, help="minutes to train each side for (default: 6)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--dataset", help="Minari id of a recording of MiniGrid with frames of 72×72, such as minigrid/layouts-v0"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
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
