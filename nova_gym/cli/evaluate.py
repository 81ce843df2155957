"""`nova-gym eval` and `nova-gym info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nova_gym.errors import BadInputError
from nova_gym.terminal import (
    COUNT,
    DeviceOption,
    DreamArgument,
    SeedOption,
    cell,
    console,
    one_line_errors,
    progress_bars,
)

if TYPE_CHECKING:
    from nova_gym.dream import Dream


@one_line_errors
def evaluate(
    dream: DreamArgument,
    reality: Annotated[
        list[str] | None,
        typer.Option(help="Real environment to compare with, as often as wanted. Default: the dream's own."),
    ] = None,
    episodes: Annotated[int, typer.Option(help="Number of episodes, and of transitions of each class.", **COUNT)] = 256,
    steps: Annotated[int, typer.Option(help="Steps of the open-loop rollouts.", **COUNT)] = 100,
    device: DeviceOption = "auto",
    starts: Annotated[
        str | None,
        typer.Option(
            help="random (agent and goal anywhere) or official (as the environment resets). Default: official where "
            "the dream was recorded from another environment, else random."
        ),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers to this file.")] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Draw the worst frames to this file (PNG): reality, dream, difference. With several realities, to one "
            "file each, with the reality's name."
        ),
    ] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Store the scores in the dream's card; changes the dream's file.")
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Test a dream in lockstep with reality: same start, same actions, layouts that no recording holds.

    It needs a dream of a real environment, not of video. Prints how true frames
    are in open-loop rollouts (PSNR, SSIM), after one step of each class of
    transitions, and how well rewards and ends are predicted, with 95 %
    confidence intervals in brackets. If frames have tiles, as MiniGrid's, a
    frame is exact if every tile is within 0.02 mean squared error. The default
    takes about a minute, and longer where frames are large.

    Examples:

    nova-gym eval mine.safetensors --json scores.json --picture worst.png

    nova-gym eval minigrid --reality MiniGrid-FourRooms-v0 --reality MiniGrid-Empty-16x16-v0 --episodes 128
    """
    import imageio.v3 as iio

    from nova_gym.benchmarks.provenance import write_results
    from nova_gym.dream import Dream, find_dream
    from nova_gym.envs import evaluate as evaluate_dream
    from nova_gym.files import write_atomically
    from nova_gym.hub import on_hub

    if write_card and on_hub(dream):
        raise BadInputError(f"--write-card needs a file: {dream} is on the hub")
    loaded = Dream.load(dream)
    moved, reports, several = loaded.to(device), {}, len(reality or ()) > 1
    for level in dict.fromkeys(reality or [loaded.card.env_id]):
        with progress_bars() as bars:
            named = partial(_named, bars, f"{level} " if several else "")
            reports[level] = evaluate_dream(moved, episodes, steps, seed, starts, named, level or None)
        print_report(reports[level])
        if picture:
            path = picture.with_stem(f"{picture.stem}-{level.rpartition(':')[2]}") if several else picture
            with write_atomically(path) as temporary:
                iio.imwrite(temporary, reports[level].picture(), extension=".png")
    figures = {level: report.to_dict() for level, report in reports.items()}
    if several:
        console.print(_overview(reports))
    if json_file:
        write_results(json_file, {"levels": figures}, dream)
    if write_card:
        loaded.card.scores = {**loaded.card.scores, "levels": {**loaded.card.scores.get("levels", {}), **figures}}
        loaded.save(find_dream(dream))


def _named(progress: Callable[..., None], name: str, part: str, done: int, total: int) -> None:
    progress(name + part, done, total)


def _overview(reports: dict[str, Any]) -> Table:
    """A row for each level: how true frames are in the open loop, the worst class of transitions, and outcomes."""
    steps = list(dict.fromkeys(step for report in reports.values() for step in report.open_loop))
    rows = [row for report in reports.values() for row in report.open_loop.values()]
    measure = "exact" if all("exact" in row for row in rows) else "psnr"
    title = f"{measure} after so many steps; in the worst class; endings and rewards right"
    table = Table(title=title, box=None, padding=(0, 1, 0, 0))
    table.add_column("level", overflow="fold")
    for header in (*map(str, steps), "worst", "ends", "pays"):
        table.add_column(header, no_wrap=True, min_width=5)
    for level, report in reports.items():
        values = [report.open_loop.get(step, {}).get(measure) for step in steps]
        classes = [value.value for value in report.transitions.values() if value is not None]
        right = [_least(report, name) for name in ("endings right", "rewards right")]
        figures = (*(value and value.value for value in values), min(classes, default=None), *right)
        table.add_row(level, *("–" if figure is None else f"{figure:.3f}" for figure in figures))
    return table


def _least(report: Any, name: str) -> float | None:
    """The least of the figures of this name."""
    values = [part[name].value for part in report.outcomes.values() if part.get(name) is not None]
    return min(values, default=None)


@one_line_errors
def info(dream: DreamArgument = "minigrid") -> None:
    """Print the card of a dream: environment, sizes, data, training and measured scores.

    First a table, then all of the card as JSON. It takes seconds and writes
    no file.

    Example:

    nova-gym info mine.safetensors
    """
    from nova_gym.dream import Dream, find_dream

    file = find_dream(dream)
    loaded = Dream.load(file)
    config = loaded.world_model.config
    table = Table(title=f"{file}", show_header=False)
    rows = {
        "dreams of": f"{loaded.card.env_id} {loaded.card.env_kwargs}" if loaded.card.env_id else "video",
        "frames": f"{loaded.frame_size[0]}×{loaded.frame_size[1]}×{config.inr.channels}" + _largest(loaded),
        "cells": f"{loaded.cells[0]}×{loaded.cells[1]} of {config.cell[0]}×{config.cell[1]} pixels",
        "actions": ", ".join(loaded.card.action_names) or str(config.actions or "none but latent ones"),
        "memory, outcomes": f"{config.memory or 'none'}, {config.outcomes or 'none'} a cell",
        "codes, control": f"{config.codes or 'none'}, {'yes' if config.control else 'none'}",
        "doubt": _doubt(loaded),
        "parameters": f"{sum(p.numel() for p in loaded.world_model.parameters()):,}",
        "state, latent action": f"{config.rank}, {config.latent_action} numbers a cell",
        "horizon": str(loaded.card.horizon),
        "starts": ", ".join(f"{len(bank)} {name}" for name, bank in loaded.starts.items()),
        "file": f"{file.stat().st_size / 1e6:.1f} MB, made with {loaded.card.versions}",
    }
    for key, value in rows.items():
        table.add_row(key, value)
    console.print(table)
    console.print_json(
        json.dumps({name: getattr(loaded.card, name) for name in ("reality", "data", "training", "doubt")})
    )
    console.print_json(json.dumps({"scores": loaded.card.scores}))


def _doubt(dream: Dream) -> str:
    told = dream.card.doubt.get("held out", {})
    if not told:
        return "none" if not dream.world_model.has_doubt else "yes"
    return f"calibration error {told['calibration error']:.3f} on {told['steps']:,} {dream.card.doubt['calibrated on']}"


def _largest(dream: Dream) -> str:
    parts = dream.card.training.get("parts", {})
    detail = parts.get("detail") if isinstance(parts, dict) else None
    if not isinstance(detail, dict) or not isinstance(detail.get("factor"), int):
        return ""
    height, width = (detail["factor"] * side for side in dream.world_model.config.frame_size)
    return f", learned up to {height}×{width}"


def print_report(report: Any) -> None:
    """Prints the tables of a `Report`."""
    measures = list(dict.fromkeys(key for row in report.open_loop.values() for key in row))
    table = Table("open loop, step", "episodes", *measures, title=_title(report.settings))
    for step, row in report.open_loop.items():
        count = next((value.n for value in row.values() if value is not None), 0)
        table.add_row(str(step), str(count), *(cell(row.get(key), key == "psnr") for key in measures))
    console.print(table)
    if report.doubt:
        table = Table("doubt of these frames", "value")
        for name, value in report.doubt.items():
            table.add_row(name, f"{value:,}" if name == "steps" else f"{value:.4f}")
        console.print(table)
    _print_heard(report.heard)
    _print_chance(report.chance)
    parts = {"one step, exact frames": report.transitions}
    parts |= {f"outcomes, {part}": values for part, values in report.outcomes.items()}
    for title, values in parts.items():
        if values:
            table = Table(title, "n", "value [95 % interval]")
            for key, value in values.items():
                table.add_row(key, str(value.n if value else 0), cell(value))
            console.print(table)


def _print_heard(heard: Any) -> None:
    if heard is None:
        return
    names = list(dict.fromkeys(name for row in heard.frames.values() for name in row))
    title = f"PSNR over the pixels that move, after {heard.settings['context']} true steps"
    table = Table("step", "episodes", *names, title=title)
    for step, row in heard.frames.items():
        count = max(value.n for value in row.values() if value is not None) if any(row.values()) else 0
        table.add_row(str(step), str(count), *(cell(row.get(name), True) for name in names))
    console.print(table)
    table = Table("whole episodes", "n", "value [95 % interval]")
    for part in ("endings", "returns"):
        for name, value in getattr(heard, part).items():
            if value is not None:
                table.add_row(f"{part}: {name}", str(value.n), cell(value))
    console.print(table)


def _print_chance(chance: Any) -> None:
    if chance is None:
        return
    table = Table("chance, one step", "dream", "reality again", title=_title(chance.settings))
    for name, row in chance.measures.items():
        table.add_row(name, cell(row["dream"]), cell(row["reality again"]))
    console.print(table)
    if chance.calibration:
        table = Table(
            "predicted probability", "seen", "outcomes", title=f"calibration error {chance.calibration_error:.3f}"
        )
        for row in chance.calibration:
            table.add_row(f"{row['predicted']:.2f}", f"{row['seen']:.2f}", str(row["n"]))
        console.print(table)


def _title(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())
