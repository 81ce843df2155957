"""The paper's table: five models on four data sets, each trained for as long on the same clips, and measured.

`python -m nova_gym.benchmarks.paper [--data NAME …] [--models NAME …] [--minutes 2] [--seeds 0 …] [--work FOLDER]
[--pictures FOLDER] [--weather PATH] [--minigrid ID] [--json FILE]`

Each model is given 10 frames of clips that training did not see, and goes on by itself for 10 frames, which are
compared with the true ones, and for 1,000, whose pixels are. Models with latent actions also follow those that their
inverse dynamics infer from the true frames. Balls of PhyWorld are tracked by their colours. For NOVA there is a picture
of edits and layers on each data set.

A model on a data set with a seed is a cell. A cell leaves a file in the working folder; the command makes those that
are missing, so it can be stopped and called again, also for more models or seeds.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from nova_gym.benchmarks.baselines import MODELS
from nova_gym.benchmarks.paper.data import DATA
from nova_gym.benchmarks.paper.enlarging import FACTOR
from nova_gym.benchmarks.paper.measuring import FOLLOWED, JS, PSNR, SSIM, VELOCITY, W1
from nova_gym.benchmarks.paper.runner import ENLARGED, STILL, Settings, collect_cells, run_cell, run_enlarging
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.sources import RECORDING
from nova_gym.benchmarks.tables import interval, show
from nova_gym.errors import BadInputError
from nova_gym.tensor_file import first_line
from nova_gym.terminal import progress_bars

_SHOWN = {PSNR: ".2f", SSIM: ".3f", FOLLOWED: ".2f", W1: ".4f", JS: ".3f", VELOCITY: ".2f"}


def run(
    data: list[str], models: list[str], seeds: list[int], settings: Settings, target: Path | None = None
) -> dict[str, Any]:
    """Makes the cells that are missing, and writes the table of all after each of them.

    A cell whose training fails is left out; calling this again tries it again.

    Raises:
        BadInputError: a data set cannot be read, a cell was made with other settings, or a file cannot be written.
    """
    wanted = [(name, model, seed) for seed in seeds for name in data for model in models]
    cells: dict[tuple[str, str, int], dict[str, Any]] = {}
    with progress_bars() as bars:
        for number, (name, model, seed) in enumerate(wanted):

            def say(what: str, done: float, number: int = number, name: str = name, model: str = model) -> None:
                bars("cells", round(100 * number + 100 * done), 100 * len(wanted), f"{name}, {model}: {what}")

            say("begins", 0.0)
            try:
                cells[name, model, seed] = run_cell(name, model, seed, settings, say)
            except RuntimeError as error:  # such as training that explodes at any learning rate
                print(f"{name}, {model}, seed {seed} is left out: {first_line(error)}", flush=True)
                continue
            if target is not None:  # after each cell, so that a later failure loses no figures
                write_results(target, collect_cells(cells, settings), None)
        for seed in seeds if "weather" in data else []:
            bars("cells", 100 * len(wanted), 100 * len(wanted), "weather: enlarged")
            cells["weather", ENLARGED, seed] = run_enlarging(seed, settings)
        if target is not None:
            write_results(target, collect_cells(cells, settings), None)
    return collect_cells(cells, settings)


def print_table(report: dict[str, Any]) -> None:
    """Prints a table a column of the report."""
    for name, column in report["columns"].items():
        rows = [
            (
                model,
                f"{row['parameters']:,}",
                *(interval(row["figures"].get(key), form) for key, form in _SHOWN.items()),
            )
            for model, row in column["rows"].items()
        ]
        rows.append((STILL, "–", *(interval(column[STILL].get(key), form) for key, form in _SHOWN.items())))
        show(f"{name}, {column['clips']} clips", ("model", "parameters", *_SHOWN), rows)
    if report[ENLARGED]:
        rows = [(name, interval(figure, ".2f", "dB")) for name, figure in report[ENLARGED].items()]
        show(f"weather, coarsened and enlarged {FACTOR} times", ("by", "PSNR"), rows)


def main() -> None:
    """Parses the arguments, makes the table and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), help="data sets (default: all)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="models (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds of data and training (default: 0)")
    parser.add_argument("--minutes", type=float, default=2.0, help="training of a model on a data set (default: 2)")
    parser.add_argument(
        "--work", type=Path, default=Settings.work, help=f"folder of the cells (default: {Settings.work})"
    )
    parser.add_argument(
        "--pictures", type=Path, default=Settings.pictures, help=f"folder of the figures (default: {Settings.pictures})"
    )
    parser.add_argument("--weather", help="fields, as `nova-gym train` takes them; default those of a climate model")
    parser.add_argument("--minigrid", default=RECORDING, help=f"recording of MiniGrid (default: {RECORDING})")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if not 0.0 < arguments.minutes < math.inf or min(arguments.seeds) < 0:
        parser.error("--minutes must be more than 0 and seeds at least 0")
    settings = Settings(arguments.minutes, arguments.work, arguments.pictures, arguments.weather, arguments.minigrid)
    try:
        print_table(run(arguments.data, arguments.models, arguments.seeds, settings, arguments.json))
    except BadInputError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "stopped; the same command goes on with the cells that are missing\n")


if __name__ == "__main__":
    main()
