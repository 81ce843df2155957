"""`nova-gym record`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from nova_gym.terminal import SeedOption, console, one_line_errors, progress_bars


@one_line_errors
def record(
    env_id: Annotated[str, typer.Argument(help="Gymnasium id, such as MiniGrid-SimpleCrossingS9N1-v0.")],
    name: Annotated[str, typer.Option(help="Minari id of the dataset, such as minigrid/crossing-v0.")],
    transitions: Annotated[int, typer.Option(help="How many transitions to record.", min=1)] = 250_000,
    size: Annotated[int, typer.Option(help="Width of a frame in pixels.", min=8)] = 72,
    expert: Annotated[
        bool,
        typer.Option("--expert", help="Only what an expert does, where one is known."),
    ] = False,
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


def _table_of(metadata: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if metadata.get(key):
            table = Table(key.replace("_", " "), "share")
            for name, share in metadata[key].items():
                table.add_row(name, f"{share:.1%}")
            console.print(table)
