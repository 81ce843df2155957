"""The command line: `nova-gym dream | record | train | eval | agent …`; `nova-gym --help` names all commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nova_gym.cli.agent import agent_app, improve
from nova_gym.cli.bench import bench
from nova_gym.cli.demo import demo
from nova_gym.cli.dream import dream
from nova_gym.cli.edit import edit
from nova_gym.cli.evaluate import evaluate, info
from nova_gym.cli.export import export, web
from nova_gym.cli.play import play
from nova_gym.cli.push import push
from nova_gym.cli.record import record
from nova_gym.cli.train import sharpen, train, tune
from nova_gym.terminal import console
from nova_gym.version import __version__

app = typer.Typer(
    help="Learned simulators as Gymnasium environments: record reality, train a dream of it, test how true it is.\n\n"
    "A dream is one .safetensors file. The dreams minigrid, frozen-lake, cart-pole and digits ship with the package. "
    "`nova-gym demo` shows what it can do. `nova-gym COMMAND --help` explains a command; the times given there are for "
    "two CPU cores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(agent_app, name="agent")
app.command()(dream)
app.command()(record)
app.command()(train)
app.command()(tune)
app.command()(sharpen)
app.command()(improve)
app.command()(play)
app.command()(edit)
app.command()(export)
app.command()(push)
app.command()(web)
app.command()(bench)
app.command("eval")(evaluate)
app.command()(info)
app.command()(demo)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if "" not in sys.path:
        sys.path.append("")  # modules of one's own, in the folder one is in, are found as by `python -m`
    if version:
        console.print(__version__, highlight=False)
        raise typer.Exit()


def main() -> None:
    """Entry point of the `nova-gym` command."""
    app()
