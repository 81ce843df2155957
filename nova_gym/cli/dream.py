"""`nova-gym dream`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from nova_gym.cli.record import KeywordsOption, SizeOption, WrapperOption, json_object
from nova_gym.cli.train import MemoryOption, OutcomesOption, OutputOption
from nova_gym.terminal import COUNT, DeviceOption, SeedOption, console, one_line_errors, progress_bars


@one_line_errors
def dream(
    env_id: Annotated[str, typer.Argument(help="Gymnasium id, module:Id-v0, or module:callable that makes it.")],
    output: OutputOption,
    minutes: Annotated[float, typer.Option(help="How long all of it takes, about.")] = 30.0,
    size: SizeOption = None,
    env_kwargs: KeywordsOption = "{}",
    wrapper: WrapperOption = None,
    transitions: Annotated[
        int | None,
        typer.Option(help="Steps of the first recording. Default: what a tenth of the time allows.", **COUNT),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Size of the model, as in `nova-gym train`. Default: what suits the recording.")
    ] = None,
    memory: MemoryOption = None,
    outcomes: OutcomesOption = None,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run of the same output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run of the same output.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Dream an environment: record it, train a dream and an agent in it, test both.

    It records random play, trains the dream that suits the recording, and lets an
    agent learn in it alone. Then the agent acts in reality for up to 8,000 steps
    among random actions; the dream learns from these too, and an agent again.
    The dream whose agent does better in reality is kept.

    Writes OUTPUT, beside it the agent (.policy.safetensors), a report with pictures (.md), and a
    folder (.dream) from which --resume goes on after Ctrl-C. The recordings are
    Minari datasets, dream/NAME-….

    Each step also stands alone: `nova-gym record`, `train`, `eval`, `agent train`,
    `agent eval`.

    Examples:

    nova-gym dream FrozenLake-v1 -o lake.safetensors --minutes 10

    nova-gym dream my_module:MyEnv -o mine.safetensors
    """
    from nova_gym.agents.dreaming import dream_of
    from nova_gym.pixels import parse_size

    began = time.monotonic()
    with progress_bars() as bars:
        try:
            made = dream_of(
                env_id,
                minutes,
                output,
                seed,
                env_kwargs=json_object(env_kwargs),
                wrappers=wrapper or (),
                size=parse_size(size) if size else None,
                transitions=transitions,
                preset=preset,
                memory=memory,
                outcomes=outcomes,
                device=device,
                resume=resume,
                overwrite=overwrite,
                progress=bars,
                say=lambda text: console.print(text, highlight=False, soft_wrap=True),
            )
        except KeyboardInterrupt:
            print(f"stopped; continue with the same command and --resume ({output.with_suffix('.dream')})")
            raise
    tested, chance = made.card.scores["agent"]["modes"], made.card.scores["random play"]["return"]["value"]
    real = max((mode["reality"]["return"] for mode in tested.values()), key=lambda figure: figure["value"])
    console.print(
        f"{output}: its agent returns {real['value']:.4g} [{real['low']:.4g}, {real['high']:.4g}] in reality, random "
        f"play {chance:.4g}. {(time.monotonic() - began) / 60:.1f} minutes. Report: {output.with_suffix('.md')}",
        highlight=False,
        soft_wrap=True,
    )
