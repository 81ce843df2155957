"""The command line: `nova-gym record | train | eval | agent …`; `nova-gym --help` names all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from nova_gym.cli.agent import agent_app, improve
from nova_gym.cli.bench import bench
from nova_gym.cli.demo import demo
from nova_gym.cli.edit import edit
from nova_gym.cli.evaluate import evaluate, info
from nova_gym.cli.play import play
from nova_gym.cli.record import record
from nova_gym.cli.train import sharpen, train, tune
from nova_gym.terminal import console
from nova_gym.version import __version__

app = typer.Typer(
    help="Learned simulators as Gymnasium environments: record reality, train a dream of it, test how true it is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(agent_app, name="agent")
app.command()(record)
app.command()(train)
app.command()(tune)
app.command()(sharpen)
app.command()(improve)
app.command()(play)
app.command()(edit)
app.command()(bench)
app.command("eval")(evaluate)
app.command()(info)
app.command()(demo)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        console.print(__version__, highlight=False)
        raise typer.Exit()


def main() -> None:
    """Entry point of the `nova-gym` command."""
    app()
