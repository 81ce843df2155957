"""`nova-gym eval` and `nova-gym info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nova_gym.terminal import DeviceOption, DreamArgument, SeedOption, cell, console, one_line_errors, progress_bars

if TYPE_CHECKING:
    from nova_gym.dream import Dream


@one_line_errors
def evaluate(
    dream: DreamArgument,
    episodes: Annotated[int, typer.Option(help="Number of episodes, and of transitions of each class.", min=1)] = 256,
    steps: Annotated[int, typer.Option(help="Steps of the open-loop rollouts.", min=1)] = 100,
    device: DeviceOption = "auto",
    starts: Annotated[
        str, typer.Option(help="random (agent and goal anywhere) or official (as the environment resets).")
    ] = "random",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers to this file.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the worst frames to this file (PNG): reality, dream, difference.")
    ] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Store the scores in the dream's card; changes the dream's file.")
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Test a dream in lockstep with reality: same start, same actions, held-out layouts.

    It needs a dream of a real environment, not of video. Prints how true frames
    are in open-loop rollouts (PSNR, SSIM), after one step of each class of
    transitions, and how well rewards and ends are predicted, with 95 %
    confidence intervals in brackets. If frames have tiles, as MiniGrid's, a
    frame is exact if every tile is within 0.02 mean squared error. The default
    takes about a minute.

    Example:

    nova-gym eval mine.safetensors --json scores.json --picture worst.png
    """
    import imageio.v3 as iio

    from nova_gym.benchmarks.provenance import write_results
    from nova_gym.dream import Dream, find_dream
    from nova_gym.envs import evaluate as evaluate_dream
    from nova_gym.files import write_atomically

    loaded = Dream.load(dream)
    with progress_bars() as bars:
        report = evaluate_dream(loaded.to(device), episodes, steps, seed, starts, bars)
    print_report(report)
    if json_file:
        write_results(json_file, report.to_dict(), dream)
    if picture:
        with write_atomically(picture) as temporary:
            iio.imwrite(temporary, report.picture(), extension=".png")
    if write_card:
        loaded.card.scores = {**loaded.card.scores, report.settings["starts"]: report.to_dict()}
        loaded.save(find_dream(dream))


@one_line_errors
def info(dream: DreamArgument = "minigrid") -> None:
    """Print the card of a dream: environment, sizes, data, training and measured scores.

    First a table, then all of the card as JSON. It takes seconds and writes
    no file.

    Example:

    nova-gym info mine.safetensors
    """
    from nova_gym.dream import Dream, find_dream

    loaded = Dream.load(dream)
    config = loaded.world_model.config
    table = Table(title=f"{find_dream(dream)}", show_header=False)
    rows = {
        "dreams of": f"{loaded.card.env_id} {loaded.card.env_kwargs}" if loaded.card.env_id else "video",
        "frames": f"{config.frame_size[0]}×{config.frame_size[1]}×{config.inr.channels}" + _largest(loaded),
        "actions": ", ".join(loaded.card.action_names) or str(config.actions or "none but latent ones"),
        "codes, control": f"{config.codes or 'none'}, {config.control.kind if config.control else 'none'}",
        "parameters": f"{sum(p.numel() for p in loaded.world_model.parameters()):,}",
        "state, latent action": f"{config.rank}, {config.latent_action}",
        "horizon": str(loaded.card.horizon),
        "starts": ", ".join(f"{len(bank)} {name}" for name, bank in loaded.starts.items()),
        "file": f"{find_dream(dream).stat().st_size / 1e6:.1f} MB, made with {loaded.card.versions}",
    }
    for key, value in rows.items():
        table.add_row(key, value)
    console.print(table)
    console.print_json(json.dumps({"data": loaded.card.data, "training": loaded.card.training}))
    console.print_json(json.dumps({"scores": loaded.card.scores}))


def _largest(dream: Dream) -> str:
    detail = dream.card.training.get("parts", {}).get("detail")
    if not detail:
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
    parts = {"one step, exact frames": report.transitions}
    parts |= {f"outcomes, {part}": values for part, values in report.outcomes.items()}
    for title, values in parts.items():
        if values:
            table = Table(title, "n", "value [95 % interval]")
            for key, value in values.items():
                table.add_row(key, str(value.n if value else 0), cell(value))
            console.print(table)


def _title(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())
