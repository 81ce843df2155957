"""The command `nova-gym bench`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from nova_gym.benchmarks.sources import BENCH_PARTS as PARTS
from nova_gym.errors import BadInputError
from nova_gym.terminal import COUNT, console, one_line_errors, progress_bars


@one_line_errors
def bench(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"What to measure: {', '.join(PARTS)}. Default: all.")
    ] = None,
    dream: Annotated[
        str, typer.Option(help="Shipped dream (minigrid), path of a dream file, or hf://user/name.")
    ] = "minigrid",
    rounds: Annotated[int, typer.Option(help="Turns that each contestant of a table gets.", **COUNT)] = 5,
    seconds: Annotated[float, typer.Option(help="Length of a turn in seconds.", min=0.01)] = 1.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw what the part growth measures to this file (PNG).")] = None,
) -> None:
    """Measure speed and memory on this machine.

    stepping and rendering compare the dream with reality and with plain PyTorch;
    growth shows how cost grows with batch, resolution and network; playing is
    the player, learning PPO, loading the start of a process, training the stages
    of `nova-gym train`. All parts together take about 10 minutes.

    Each table shows the median over the rounds, and its ratio to the first row.
    The rows of a table are measured in turns, so the ratios hold on a busy
    machine too, while the figures themselves suffer. Brackets show the least and
    the largest ratio of a round.

    Example:

    nova-gym bench stepping rendering --json bench.json
    """
    from nova_gym.benchmarks.growth import draw_growth, measure_growth
    from nova_gym.benchmarks.learning import measure_learning
    from nova_gym.benchmarks.loading import measure_loading
    from nova_gym.benchmarks.playing import measure_playing
    from nova_gym.benchmarks.provenance import write_results
    from nova_gym.benchmarks.rendering import measure_rendering
    from nova_gym.benchmarks.stepping import measure_stepping
    from nova_gym.benchmarks.training import measure_training
    from nova_gym.dream import Dream

    for part in parts or []:
        if part not in PARTS:
            raise BadInputError(f"unknown part {part!r}; there are {', '.join(PARTS)}")
    if plot and "growth" not in (parts or PARTS):
        raise BadInputError("--plot draws the part growth, which is not among the parts to measure")
    loaded, tables = Dream.load(dream), {}
    with progress_bars() as bars:
        measures = {
            "stepping": lambda said: measure_stepping(loaded, rounds, seconds, said),
            "rendering": lambda said: measure_rendering(loaded, rounds, seconds, said),
            "growth": lambda said: measure_growth(loaded, rounds, seconds, said),
            "playing": lambda said: measure_playing(loaded, rounds, seconds, said),
            "learning": lambda said: measure_learning(loaded, rounds, said),
            "loading": lambda said: measure_loading(dream, rounds, said),
            "training": lambda said: measure_training(rounds, said),
        }
        for part in parts or PARTS:
            tables |= measures[part](lambda done, total, part=part: bars(part, done, total))
            if json_file:  # after each part, so that a later failure loses no figures
                plain = {title: [asdict(figure) for figure in figures] for title, figures in tables.items()}
                write_results(json_file, plain, dream)
    if plot:
        draw_growth(tables, plot)
    for title, figures in tables.items():
        table = Table(title, figures[0].unit, "÷ first [spread]")
        for figure in figures:
            table.add_row(
                figure.name, f"{figure.value:,.4g}", f"{figure.ratio:.3g} [{figure.low:.3g}, {figure.high:.3g}]"
            )
        console.print(table)
