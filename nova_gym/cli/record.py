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
    name: Annotated[str, typer.Option(help="Minari id of the new dataset, such as minigrid/crossing-v2.")],
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

    On MiniGrid the recording covers layouts, poses and rare events on purpose,
    and leaves out one layout in eight, on which `nova-gym eval` tests. Elsewhere
    random actions are recorded, unless you register a Reality. With --expert it
    holds what `nova-gym train --stage control` should imitate.

    Example:

    nova-gym record MiniGrid-SimpleCrossingS9N1-v0 --name minigrid/crossing-v2
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
