"""`nova-gym demo`: shows in some minutes what the package does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from nova_gym.cli.evaluate import print_report
from nova_gym.terminal import NUMBER, DeviceOption, SeedOption, cell, console, one_line_errors, progress_bars


@one_line_errors
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write pictures and agent to.")] = Path(
        "demo"
    ),
    dream: Annotated[
        str, typer.Option(help="Name, path or hf://user/name of a dream of MiniGrid (minigrid ships).")
    ] = "minigrid",
    steps: Annotated[
        int, typer.Option(help="Steps of training in the dream; 0 leaves out the agent.", **NUMBER)
    ] = 300_000,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """See in some minutes what a dream can do, beside the real MiniGrid.

    Walks dream and reality side by side, measures how true and how fast the dream
    is, trains a PPO agent in it and tests the agent in reality. It takes a few
    minutes; `--steps 0` leaves out the agent, which takes most of the time.

    Prints tables, and writes into the folder: dream.gif, frame-8x.png,
    agent.safetensors and agent.gif. Existing files are replaced.

    Example:

    nova-gym demo --steps 0
    """
    from nova_gym.cli.walk import run_demo

    with progress_bars() as bars:
        made = run_demo(output, dream, seed, device, bars)
    print_report(made.report)
    table = Table("steps per second", "median", "÷ reality")
    for speed in made.speeds:
        spread = f"{speed.ratio:.2f} ({speed.ratios.min():.2f}–{speed.ratios.max():.2f})"
        table.add_row(speed.name, f"{speed.median:,.0f}", spread)
    console.print(table)
    count, ended = made.dreams
    console.print(f"{count} dreams stepped as one batch with random actions; {ended} episodes ended")
    console.print(f"reality (left) and dream (right): {made.gif}\none dreamt frame at 8×: {made.picture}")
    if steps:
        _train_and_test(output, dream, steps, device, seed)


def _train_and_test(folder: Path, dream: str, steps: int, device: str, seed: int) -> None:
    """The demo's agent: PPO in the dream, then 100 real episodes, a table and a GIF."""
    import imageio.v3 as iio

    from nova_gym.agents import evaluate_agent, film, train_agent
    from nova_gym.dream import Dream
    from nova_gym.files import write_atomically

    loaded, kept, gif = Dream.load(dream).to(device), folder / "agent.safetensors", folder / "agent.gif"
    with progress_bars() as bars:
        agent, curve = train_agent(
            loaded, steps=steps, seed=seed, device=device, output=kept, evaluations=1, progress=bars
        )
        report = evaluate_agent(agent, loaded, 100, seed, ("stochastic",), bars)
        with write_atomically(gif) as temporary:
            iio.imwrite(temporary, film(agent, loaded, seed), extension=".gif", duration=150, loop=0)
    table = Table(title="PPO, trained in the dream alone", show_header=False)
    dreamt, real = (report.modes["stochastic"][place] for place in ("dream", "reality"))
    table.add_row("return in the dream", cell(dreamt["return"]))
    table.add_row("return in reality", cell(real["return"]))
    table.add_row("gap: dream minus reality", cell(report.gap["stochastic"]))
    table.add_row("success in reality", cell(real.get("success")))
    table.add_row("seconds of training, with one test at the end", f"{curve.points[-1].seconds:.0f}")
    table.add_row("steps in the dream", f"{curve.points[-1].steps:,}")
    table.add_row("real frames that it learned from", "0")
    console.print(table)
    console.print(f"the agent: {kept}\nin reality (left) and in the dream (right): {gif}")
