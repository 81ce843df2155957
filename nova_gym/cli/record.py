"""`nova-gym record`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from nova_gym.terminal import SeedOption, console, one_line_errors, progress_bars


@one_line_errors
def record(
    env_id: Annotated[str, typer.Argument(help="Gymnasium id, such as NovaLayouts-MiniGrid-v0.")],
    name: Annotated[str, typer.Option(help="Minari id of the new dataset, such as minigrid/layouts-v0.")],
    transitions: Annotated[int, typer.Option(help="How many transitions (steps) to record.", min=1)] = 250_000,
    size: Annotated[
        int, typer.Option(help="Width of a frame in pixels; on MiniGrid a multiple of its columns.", min=8)
    ] = 72,
    expert: Annotated[
        bool,
        typer.Option("--expert", help="Record only clips in which an expert acts (MiniGrid has one)."),
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Record real episodes of an environment into a Minari dataset.

    It takes any Gymnasium environment that renders to `rgb_array` and has
    Discrete actions or a bounded one-dimensional Box. The dataset holds frames,
    actions, rewards and ends of episodes. Minari keeps it in ~/.minari/datasets,
    or in the folder that MINARI_DATASETS_PATH names. The default length takes
    some minutes on MiniGrid.

    NovaLayouts-MiniGrid-v0 is a MiniGrid of random layouts, a new one in each
    clip: rooms of all sizes with walls, lines and boxes in them, but none like
    MiniGrid's own levels. A dream of it learns rules instead of layouts, and
    those levels test it.

    On any MiniGrid the recording covers layouts, poses and rare events on
    purpose. On MiniGrid's own levels it leaves out one layout in eight, on which
    `nova-gym eval` tests. Elsewhere random actions are recorded, unless you
    register a Reality. With --expert it holds what `nova-gym train --stage
    control` should imitate.

    Examples:

    nova-gym record NovaLayouts-MiniGrid-v0 --name minigrid/layouts-v0

    nova-gym record MiniGrid-SimpleCrossingS9N1-v0 --name minigrid/crossing-v0
    """
    from nova_gym.envs import reality_spec
    from nova_gym.envs import record as record_dataset

    spec = reality_spec(env_id, size)
    with progress_bars() as bars:
        dataset = record_dataset(
            spec, name, transitions, seed, lambda done: bars("recording", min(done, transitions), transitions), expert
        )
    console.print(f"{dataset.total_steps} transitions in {dataset.total_episodes} clips of {env_id} → {name}")
    metadata = json.loads(dataset.storage.metadata["nova_gym"])
    _table_of(metadata, ("clip_shares", "transition_shares"))
    console.print(f"held out: {metadata['held_out']}")
    if metadata["things"]:
        console.print(f"things shown: {', '.join(metadata['things'])}")


def _table_of(metadata: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if metadata.get(key):
            table = Table(key.replace("_", " "), "share")
            for name, share in metadata[key].items():
                table.add_row(name, f"{share:.1%}")
            console.print(table)
