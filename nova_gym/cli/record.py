"""`nova-gym record`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from nova_gym.errors import BadInputError
from nova_gym.terminal import COUNT, SeedOption, console, one_line_errors, progress_bars

SizeOption = Annotated[
    str | None,
    typer.Option(help="Width of a frame in pixels, or HEIGHTxWIDTH, in multiples of 8; else what suits."),
]
KeywordsOption = Annotated[
    str, typer.Option(help='Keyword arguments of the environment, a JSON object such as \'{"map_name": "8x8"}\'.')
]
WrapperOption = Annotated[
    list[str] | None,
    typer.Option(help="Put around the environment: module:callable, or 'module:callable {JSON}'. Repeatable."),
]


@one_line_errors
def record(
    env_id: Annotated[
        str, typer.Argument(help="Gymnasium id, such as NovaLayouts-MiniGrid-v0, module:Id-v0, or module:callable.")
    ],
    name: Annotated[str, typer.Option(help="Minari id of the new dataset, such as minigrid/layouts-v0.")],
    transitions: Annotated[int, typer.Option(help="How many transitions (steps) to record.", **COUNT)] = 250_000,
    size: SizeOption = None,
    env_kwargs: KeywordsOption = "{}",
    wrapper: WrapperOption = None,
    expert: Annotated[
        bool,
        typer.Option("--expert", help="Record only clips in which an expert acts (MiniGrid has one)."),
    ] = False,
    policy: Annotated[
        str | None, typer.Option(help="Who acts: an agent's file, or module:callable, called with (observation, env).")
    ] = None,
    dream: Annotated[
        str | None, typer.Option(help="The dream that the agent of --policy was trained in, if it was in one.")
    ] = None,
    random: Annotated[float, typer.Option(help="Share of random actions among the policy's.", min=0, max=1)] = 0.0,
    seed: SeedOption = 0,
) -> None:
    """Record real episodes of an environment into a Minari dataset.

    It takes any Gymnasium environment that renders to `rgb_array` and has
    Discrete, MultiDiscrete or MultiBinary actions, or a bounded Box. The dataset
    holds frames, actions, rewards and ends of episodes. Minari keeps it in
    ~/.minari/datasets, or in the folder that MINARI_DATASETS_PATH names. The
    default length takes some minutes on MiniGrid.

    NovaLayouts-MiniGrid-v0 is a MiniGrid of random layouts, a new one in each
    clip: rooms of all sizes with walls, lines and boxes in them, but none like
    MiniGrid's own levels. A dream of it learns rules instead of layouts, and
    those levels test it.

    On any MiniGrid the recording covers layouts, poses and rare events on
    purpose. On MiniGrid's own levels it leaves out one layout in eight, on which
    `nova-gym eval` tests. Elsewhere whole episodes of random actions are
    recorded, unless you register a Reality or name a --policy. With --expert it
    holds what `nova-gym train --stage control` should imitate.

    Examples:

    nova-gym record NovaLayouts-MiniGrid-v0 --name minigrid/layouts-v0

    nova-gym record MiniGrid-SimpleCrossingS9N1-v0 --name minigrid/crossing-v0

    nova-gym record my_module:MyEnv --name mine/first-v0 --transitions 20000
    """
    from nova_gym.cli.policies import policy_of
    from nova_gym.dream import Dream
    from nova_gym.envs import RealityEnv, dream_at, reality_spec
    from nova_gym.envs import record as record_dataset
    from nova_gym.envs.reality.counterpart import reality_of
    from nova_gym.envs.reality.recording import check_dataset_id
    from nova_gym.envs.reality.views import about_grid
    from nova_gym.pixels import parse_size

    check_dataset_id(name)
    if dream is not None and (policy is None or size or wrapper or env_kwargs != "{}"):
        raise BadInputError("--dream goes with --policy; size, wrappers and arguments are then those of the dream")
    acting, make = None, None
    if dream is not None:
        known = dream_at(Dream.load(dream), env_id)
        acting, observation = policy_of(policy, known, seed)
        spec, make = reality_of(known).spec, lambda: RealityEnv(known, observation)
    else:
        spec = reality_spec(env_id, parse_size(size) if size else None, json_object(env_kwargs), wrapper or ())
        acting = policy_of(policy, None, seed)[0] if policy else None
        if about := about_grid(spec):
            console.print(f"{about}; --size sets another size", highlight=False, soft_wrap=True)
    with progress_bars() as bars:
        dataset = record_dataset(
            spec,
            name,
            transitions,
            seed,
            lambda done: bars("recording", min(done, transitions), transitions),
            expert,
            acting,
            random,
            make,
        )
    height, width = spec.frame_size
    console.print(
        f"{dataset.total_steps} transitions in {dataset.total_episodes} clips of {env_id} → {name}, "
        f"frames of {height}×{width}"
    )
    _print(json.loads(dataset.storage.metadata["nova_gym"]))


def json_object(text: str) -> dict[str, Any]:
    """What `--env-kwargs` says.

    Raises:
        BadInputError: it is no JSON object.
    """
    try:
        read = json.loads(text)
    except ValueError as error:
        raise BadInputError(f"--env-kwargs is no JSON: {text!r}: {error}") from error
    if not isinstance(read, dict):
        raise BadInputError(f'--env-kwargs is a JSON object, such as {{"map_name": "8x8"}}, not {text}')
    return read


def _print(metadata: dict[str, Any]) -> None:
    """What was seen, in tables, and what is missing, a line each."""
    summary = metadata["summary"]
    for key in ("clip_shares", "transition_shares"):
        _shares(key.replace("_", " "), metadata[key])
    rewards, endings, coverage = summary["rewards"], summary["endings"], summary["coverage"]
    table = Table("seen", "")
    table.add_row("rewards", f"{rewards['least']:.4g} to {rewards['most']:.4g}, mean {rewards['mean']:.4g}")
    table.add_row("steps with a reward other than 0", f"{rewards['share of others than 0']:.1%}")
    if 1 < len(rewards["values"]) <= 5:
        table.add_row("reward values", ", ".join(f"{v} ({share:.1%})" for v, share in rewards["values"].items()))
    for kind, words in (("terminated", "terminated"), ("truncated", "truncated"), ("cut", "cut by the recording")):
        table.add_row(f"clips {words}", f"{endings[kind]}")
    steps = endings["steps"]
    table.add_row("steps in a clip", f"{steps['least']} to {steps['most']}, median {steps['median']:g}")
    table.add_row("different frames", f"{coverage['different frames']} in {coverage['transitions']} transitions")
    console.print(table)
    if metadata["action_space"]["kind"] != "Box" and all(isinstance(s, float) for s in summary["actions"].values()):
        _shares("action", dict(list(summary["actions"].items())[:20]))
    console.print(f"held out: {metadata['held_out']}")
    if metadata["things"]:
        console.print(f"things shown: {', '.join(metadata['things'])}")
    for line in summary["memory and chance"]:
        console.print(line, highlight=False, soft_wrap=True)
    for line in summary["warnings"]:
        console.print(f"warning: {line}", style="yellow", highlight=False, soft_wrap=True)


def _shares(title: str, shares: dict[str, float]) -> None:
    if shares:
        table = Table(title, "share")
        for name, share in shares.items():
            table.add_row(name, f"{share:.1%}")
        console.print(table)
