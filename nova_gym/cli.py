"""The command line: `nova-gym record | train | eval | agent …`; `nova-gym --help` names all commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nova_gym.cli_agent import agent_app, improve, train_and_test
from nova_gym.cli_bench import bench
from nova_gym.cli_edit import edit
from nova_gym.cli_play import play
from nova_gym.cli_tools import (
    DeviceOption,
    DreamArgument,
    SeedOption,
    cell,
    console,
    one_line_errors,
    progress_bars,
)
from nova_gym.cli_train import sharpen, train, tune
from nova_gym.version import __version__

if TYPE_CHECKING:
    from nova_gym.dream import Dream

app = typer.Typer(
    help="Learned simulators as Gymnasium environments: record reality, train a dream of it, test how true it is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(agent_app, name="agent")
app.command()(train)
app.command()(tune)
app.command()(sharpen)
app.command()(improve)
app.command()(play)
app.command()(edit)
app.command()(bench)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        console.print(__version__, highlight=False)
        raise typer.Exit()


@app.command()
@one_line_errors
def record(
    env_id: Annotated[str, typer.Argument(help="Gymnasium id, such as MiniGrid-SimpleCrossingS9N1-v0.")],
    name: Annotated[str, typer.Option(help="Minari id of the dataset, such as minigrid/crossing-v0.")],
    transitions: Annotated[int, typer.Option(help="How many transitions to record.", min=1)] = 250_000,
    size: Annotated[int, typer.Option(help="Width of a frame in pixels.", min=8)] = 72,
    expert: Annotated[bool, typer.Option("--expert", help="MiniGrid: only walks straight to the goal.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Record real episodes of an environment into a Minari dataset.

    Any Gymnasium environment that renders to `rgb_array` and has Discrete or one-dimensional Box actions. On MiniGrid
    the recording covers layouts, poses and rare events on purpose, and leaves one layout in eight out for `eval`.
    With --expert it holds what `nova-gym train --stage control` should imitate.
    """
    from nova_gym.envs import reality_spec
    from nova_gym.envs import record as record_dataset

    spec = reality_spec(env_id, size)
    with progress_bars() as bars:
        dataset = record_dataset(
            spec, name, transitions, seed, lambda done: bars("recording", min(done, transitions), transitions), expert
        )
    console.print(f"{dataset.total_steps} transitions in {dataset.total_episodes} clips of {env_id} → {name}")
    _table_of(json.loads(dataset.storage.metadata["nova_gym"]), ("clip_shares", "transition_shares"))


@app.command("eval")
@one_line_errors
def evaluate(
    dream: DreamArgument,
    episodes: Annotated[int, typer.Option(help="Episodes, and transitions of each class.", min=1)] = 256,
    steps: Annotated[int, typer.Option(help="Steps of the open loop.", min=1)] = 100,
    device: DeviceOption = "auto",
    starts: Annotated[str, typer.Option(help="random (agent and goal anywhere) or official.")] = "random",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the worst cases there (PNG).")] = None,
    write_card: Annotated[bool, typer.Option("--write-card", help="Keep the scores in the dream's card.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Test a dream in lockstep with reality: same start, same actions, layouts that no recording holds.

    Intervals are 95 % confidence intervals. A frame is exact if every tile is within 0.02 mean squared error.
    """
    import imageio.v3 as iio

    from nova_gym.dream import Dream, find_dream
    from nova_gym.envs import evaluate as evaluate_dream
    from nova_gym.files import write_atomically

    loaded = Dream.load(dream)
    with progress_bars() as bars:
        report = evaluate_dream(loaded.to(device), episodes, steps, seed, starts, bars)
    _print_report(report)
    if json_file:
        with write_atomically(json_file) as temporary:
            temporary.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    if picture:
        with write_atomically(picture) as temporary:
            iio.imwrite(temporary, report.picture(), extension=".png")
    if write_card:
        loaded.card.scores = {**loaded.card.scores, starts: report.to_dict()}
        loaded.save(find_dream(dream))


@app.command()
@one_line_errors
def info(dream: DreamArgument = "minigrid") -> None:
    """Print the card of a dream: what it dreams of, sizes, data, training and measured scores."""
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


@app.command()
@one_line_errors
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the pictures and the agent.")] = Path(
        "demo"
    ),
    dream: Annotated[str, typer.Option(help="Name or path of a dream of MiniGrid.")] = "minigrid",
    steps: Annotated[int, typer.Option(help="Steps of the agent in the dream, 0 for no agent.", min=0)] = 1_500_000,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Walk the dream beside the real MiniGrid, measure how true and how fast it is, train an agent in it, test that.

    `--steps 0` leaves out the agent, which takes most of the time.
    """
    from nova_gym.envs.demo import run_demo

    with progress_bars() as bars:
        made = run_demo(output, dream, seed, device, bars)
    _print_report(made.report)
    table = Table("steps per second", "median", "÷ reality")
    for speed in made.speeds:
        spread = f"{speed.ratio:.2f} ({speed.ratios.min():.2f}–{speed.ratios.max():.2f})"
        table.add_row(speed.name, f"{speed.median:,.0f}", spread)
    console.print(table)
    count, reached = made.dreams
    console.print(f"{count} dreams stepped as one batch; at random, {reached} episodes came upon the goal")
    console.print(f"reality (left) and dream (right): {made.gif}\none dreamt frame at 8×: {made.picture}")
    if steps:
        train_and_test(output, dream, steps, device, seed)


def _print_report(report: Any) -> None:
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


def _table_of(metadata: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if metadata.get(key):
            table = Table(key.replace("_", " "), "share")
            for name, share in metadata[key].items():
                table.add_row(name, f"{share:.1%}")
            console.print(table)


def main() -> None:
    """Entry point of the `nova-gym` command."""
    app()


if __name__ == "__main__":
    main()
