"""The commands about agents: `nova-gym agent train | eval | diagnose` and `nova-gym improve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from nova_gym.errors import BadInputError
from nova_gym.terminal import COUNT, LARGEST, DeviceOption, SeedOption, cell, console, one_line_errors, progress_bars

agent_app = typer.Typer(
    help="Stable-Baselines3 agents that learn in the dream and act in reality.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

DreamOption = Annotated[str, typer.Option(help="Shipped dream (minigrid), path of a dream file, or hf://user/name.")]
AgentArgument = Annotated[
    str,
    typer.Argument(
        help="Shipped agent (minigrid-ppo), planner (plans in the dream), control (the dream's control model), or "
        "path of an agent's file. A zip must be one that you trust: it is a pickle."
    ),
]
EpisodesOption = Annotated[int, typer.Option(help="Episodes to play, in each place and mode.", **COUNT)]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write all numbers to this file.")]
RealityOption = Annotated[
    str | None, typer.Option(help="Real environment to test in, of any size that the dream knows the rules of.")
]
AlgorithmOption = Annotated[
    str | None,
    typer.Option("--algorithm", "-a", help="ppo, a2c, dqn or sac; without it sac for continuous actions, else ppo."),
]


@agent_app.command("train")
@one_line_errors
def train(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File to write the agent to: .safetensors, or .zip for SB3's own pickle."),
    ],
    dream: DreamOption = "minigrid",
    algorithm: AlgorithmOption = None,
    reality: Annotated[
        list[str] | None,
        typer.Option(help="Real environment to learn for; may be repeated, for several of one size."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps in the dream, all dreams together. Default: after the length of episodes.", **COUNT),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes, evaluations included.")] = None,
    dreams: Annotated[
        int | None,
        typer.Option(help="Dreams stepped as one batch. Default: after the dream and the algorithm.", **COUNT),
    ] = None,
    observation: Annotated[
        str, typer.Option(help="What the agent sees: latent (the state) or pixels (rendered frames).")
    ] = "latent",
    evaluations: Annotated[
        int, typer.Option(help="Evaluations in reality, evenly spread, the last at the end.", **COUNT)
    ] = 2,
    episodes: Annotated[
        int | None,
        typer.Option(help="Real episodes of each evaluation. Default: 64, fewer if they are long.", **COUNT),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Steps at which training episodes are cut. Default: after the recording.", **COUNT),
    ] = None,
    gamma: Annotated[
        float | None,
        typer.Option(help="Discount of a reward for each step that it comes later. Default: after the cut."),
    ] = None,
    doubt: Annotated[
        str | None,
        typer.Option(
            help="What becomes of steps that the dream doubts: truncate (the episode ends before them), penalise (they "
            "pay as much less) or ignore. Default: penalise where the dream has a memory and leaves nothing to chance, "
            "but for sac; else ignore."
        ),
    ] = None,
    log_dir: Annotated[
        Path | None, typer.Option(help="TensorBoard folder; default runs/NAME, after the output.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the returns over training to this file (PNG).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Train an agent in the dream, and keep the version that is best in reality.

    The agent learns from the dream alone. A few evaluations in reality choose
    which of its versions is kept. On the dream of MiniGrid this takes about
    3 minutes; observations in pixels take much longer.

    Writes OUTPUT, the curve of returns beside it (.json), and TensorBoard logs in
    runs/. An output that ends in .zip is Stable-Baselines3's own file instead:
    whoever loads it runs what it holds. The hyperparameters are those of
    nova_gym.agents.HYPERPARAMETERS.

    Example:

    nova-gym agent train -o agent.safetensors --reality MiniGrid-SimpleCrossingS9N1-v0
    --reality MiniGrid-SimpleCrossingS9N3-v0
    """
    from nova_gym.agents import train_agent
    from nova_gym.agents.saving import check_agent_file

    check_agent_file(output)
    if output.exists() and not overwrite:
        raise BadInputError(f"{output} exists; --overwrite replaces it")
    with progress_bars() as bars:
        trained, curve = train_agent(
            dream,
            algorithm,
            steps,
            dreams,
            observation,
            seed,
            device,
            output,
            log_dir or Path("runs") / output.stem,
            evaluations,
            episodes,
            patience,
            realities=reality or (),
            progress=bars,
            gamma=gamma,
            minutes=minutes,
            doubt=doubt,
        )
    curve.save(output.with_suffix(".json"))
    table = Table("steps", "seconds", "return in the dream", "in reality", "gap [95 % interval]", "success in reality")
    for point in curve.points:
        success = ", ".join(f"{share:.1%}" for share in point.successes.values()) or "–"
        kept = " (kept)" if point is curve.best else ""
        gap = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*point.gap)
        returns = (f"{point.dream:.3f}", f"{point.reality:.3f}")
        row = (f"{point.steps:,}", f"{point.seconds:.0f}", *returns, gap, success + kept)
        table.add_row(*row)
    console.print(table)
    if plot:
        from nova_gym.agents.plotting import plot_curve

        plot_curve(curve, plot, f"{type(trained).__name__} in {dream}, {observation}")
    of = "" if dream == "minigrid" else f" --dream {dream}"
    console.print(f"{output}. How good is it? nova-gym agent eval {output}{of}")


@agent_app.command("eval")
@one_line_errors
def evaluate(
    agent: AgentArgument = "minigrid-ppo",
    dream: DreamOption = "minigrid",
    reality: RealityOption = None,
    episodes: EpisodesOption = 200,
    json_file: JsonOption = None,
    gif: Annotated[
        Path | None, typer.Option(help="Film the agent in reality (left) and dream (right) to this file.")
    ] = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Test an agent in the dream and in the unchanged real environment.

    Episodes begin at official starts, with seeds that no training used. If an
    environment has few layouts (SimpleCrossingS9N1 has 42), seeds repeat them;
    so success on held-out layouts is shown in a column of its own.

    Prints return, success and length of episodes, with 95 % confidence intervals
    in brackets. The gap is the return in the dream minus the return in reality.
    The default takes about a minute, the planner 10 minutes.

    Example:

    nova-gym agent eval agent.safetensors --reality MiniGrid-FourRooms-v0 --gif rooms.gif
    """
    import imageio.v3 as iio

    from nova_gym.agents import evaluate_agent, film
    from nova_gym.files import write_atomically

    loaded, player = _load(agent, dream, device, reality)
    modes = {"planner": ("stochastic",), "control": ("deterministic",)}.get(agent, ("stochastic", "deterministic"))
    with progress_bars() as bars:
        report = evaluate_agent(player, loaded, episodes, seed, modes, bars)
    console.print(_report_table(report))
    _write_results(json_file, report.to_dict(), dream)
    if gif:
        with write_atomically(gif) as temporary:
            iio.imwrite(temporary, film(player, loaded, seed), extension=".gif", duration=150, loop=0)


@agent_app.command("diagnose")
@one_line_errors
def diagnose(
    agent: AgentArgument = "minigrid-ppo",
    dream: DreamOption = "minigrid",
    reality: RealityOption = None,
    episodes: EpisodesOption = 200,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The agent takes its likeliest actions instead of drawing them.")
    ] = False,
    json_file: JsonOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Find where dream and reality part under an agent's actions.

    The agent acts in dreams of real starts, and the same actions are replayed in
    reality, in lockstep. Prints how often and when the two part, what differs
    first (end, reward or frame), and how much each class of transitions
    contributes to the gap between the returns. It takes about a minute.

    Example:

    nova-gym agent diagnose agent.safetensors --dream mine.safetensors
    """
    from nova_gym.agents import diagnose as diagnose_agent

    loaded, player = _load(agent, dream, device, reality)
    with progress_bars() as bars:
        found = diagnose_agent(player, loaded, episodes, deterministic, seed, bars)
    summary = found.to_dict()
    table = Table(title=f"{episodes} episodes", show_header=False)
    table.add_row("return in the dream − return of the same actions in reality", cell(found.gap))
    table.add_row("share of episodes in which dream and reality part", cell(found.parted))
    table.add_row("median step at which they part", str(summary["median step of parting"]))
    table.add_row("what differs first", ", ".join(f"{k} {v}" for k, v in summary["first difference"].items()) or "–")
    if doubt := summary["doubt"]:
        told = (
            f"mean {doubt['doubt']:.3f}, wrong {doubt['wrong']:.3f}, calibration error {doubt['calibration error']:.3f}"
        )
        told += f", AUROC {doubt['auroc']:.3f}" if "auroc" in doubt else ""
        table.add_row("doubt of the steps in the dream", told)
    console.print(table)
    table = Table("transition", "made", "parted", "of the gap")
    for name, row in summary["transitions"].items():
        table.add_row(name, str(row["made"]), str(row["parted"]), f"{row['gap']:+.4f}")
    console.print(table)
    _write_results(json_file, summary, dream)


@one_line_errors
def improve(
    dream: Annotated[
        str,
        typer.Argument(help="Shipped dream (minigrid), path of a dream file, or hf://user/name; it is not changed."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write the improved dream to (.safetensors).")],
    rounds: Annotated[int, typer.Option(help="Rounds in all, those before --resume included.", **COUNT)] = 3,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Minari id of the original recording; with it the dream does not forget what the agent does not visit."
        ),
    ] = None,
    algorithm: AlgorithmOption = None,
    agent_steps: Annotated[
        int | None,
        typer.Option(
            help="Steps of training the agent, in each round. Default: after the length of episodes.",
            min=1,
            max=LARGEST,
        ),
    ] = None,
    real_steps: Annotated[
        int,
        typer.Option(help="Steps of the agent in reality that the dream learns from, in each round.", **COUNT),
    ] = 4_000,
    real_total: Annotated[
        int, typer.Option(help="Steps of the agent in reality at most, in all rounds together.", **COUNT)
    ] = 20_000,
    tuning_steps: Annotated[
        int, typer.Option(help="Steps of the optimiser on the dream, in each round.", **COUNT)
    ] = 1000,
    episodes: Annotated[int, typer.Option(help="Episodes of each evaluation.", **COUNT)] = 100,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last finished round.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    json_file: JsonOption = None,
    device: Annotated[str, typer.Option(help="auto or cpu.")] = "auto",
    seed: SeedOption = 0,
) -> None:
    """Improve a dream by what an agent trained in it meets in reality.

    Each round trains the agent in the dream, lets it act in reality, fine-tunes
    the dream on what happened there, and evaluates both. A tuned dream replaces
    the one before only if it is at least as true. A round takes about 7 minutes.

    After each round OUTPUT holds the dream and, beside it
    (.policy.safetensors), the agent. The dream's card holds the scores of all rounds (`nova-gym info`). The real
    episodes become Minari datasets, improve/NAME-round-K-v0.

    Example:

    nova-gym improve mine.safetensors -o better.safetensors --dataset minigrid/layouts-v0
    """
    from nova_gym.agents.improvement import Budget
    from nova_gym.agents.improvement import improve as improve_dream
    from nova_gym.agents.saving import beside
    from nova_gym.dream import Dream

    loaded = Dream.load(dream)
    if output.suffix != ".safetensors":
        raise BadInputError(f"a dream's file ends in .safetensors, unlike {output}")
    if output.exists() and not (overwrite or resume):
        raise BadInputError(f"{output} exists; --overwrite replaces it, --resume continues")
    budget = Budget(agent_steps, real_steps, tuning_steps, episodes, real_total=real_total)
    with progress_bars() as bars:
        improved = improve_dream(
            loaded, output, rounds, dataset, algorithm, budget, seed, resume, overwrite, device, progress=bars
        )
    _write_results(json_file, {"rounds": improved.card.scores["rounds"]}, dream)
    table = Table("round", "dream wrong", "exact frames, last step", "tuned dream kept", "return in reality", "gap")
    for number, row in enumerate(improved.card.scores["rounds"], 1):
        last = [list(row[f"open loop {when}"].values())[-1] for when in ("before", "after")]
        table.add_row(
            str(number),
            f"{row['wrong before']:.2%} → {row['wrong after']:.2%}",
            " → ".join(f"{step['exact']['value']:.3f}" for step in last if "exact" in step) or "–",
            "yes" if row["accepted"] else "no",
            f"{row['agent']['reality']['return']['value']:.3f}",
            f"{row['gap']['value']:+.3f}",
        )
    console.print(table)
    console.print(f"{output}, agent in {beside(output)}")


def _load(agent: str, dream: str, device: str, reality: str | None) -> tuple[Any, Any]:
    """The dream on its device, at the level of a reality, and the agent of that name or file."""
    from nova_gym.agents import ControlPolicy, CrossEntropyPlanner, load_agent
    from nova_gym.dream import Dream
    from nova_gym.envs import dream_at
    from nova_gym.envs.reality.unseen import what_is_unseen

    own = Dream.load(dream).to(device)
    loaded = dream_at(own, reality)
    if loaded is not own and (unseen := what_is_unseen(loaded)):
        console.print(unseen)
    if agent == "planner":
        return loaded, CrossEntropyPlanner(loaded)
    if agent == "control":
        return loaded, ControlPolicy(loaded)
    return loaded, load_agent(agent, loaded, device)


def _report_table(report: Any) -> Table:
    """A table of return, success and length in both places, with the gap below them."""
    settings = report.settings
    title = f"{settings['env_id']}, {settings['episodes']} episodes each"
    columns = ("return", "success", "success on held-out layouts", "length")
    table = Table("policy", "place", *columns, title=title)
    for mode, places in report.modes.items():
        for place, row in places.items():
            table.add_row(mode, place, *(cell(row.get(key)) for key in columns))
        table.add_row(mode, "gap", cell(report.gap[mode]), "", "", "")
    return table


def _write_results(path: Path | None, figures: dict[str, Any], dream: str) -> None:
    from nova_gym.benchmarks.provenance import write_results

    if path:
        write_results(path, figures, dream)
