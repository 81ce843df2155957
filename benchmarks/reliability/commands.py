"""Bad values for every option and argument of every command."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import random
import shutil
import tempfile
import warnings
import webbrowser
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import matplotlib.backends.backend_agg  # noqa: F401  found late
import torch._dynamo  # noqa: F401  likewise, by optimisers
import typer
from PIL import Image
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.testing import CliRunner

import nova_gym
from nova_gym.benchmarks.reliability.inputs import DATASET, ENV_ID, Inputs
from nova_gym.benchmarks.reliability.watching import DOCUMENTED, Found, contents, digest
from nova_gym.cli import app
from nova_gym.envs.play.player import Player
from nova_gym.errors import BadInputError

#: Values for options of all kinds. {} stands for the folder of whole files.
ODD = (
    *("", " ", "-", "--", "-1", "0", "1", "2", "1e9", "nan", "inf", "-inf", "1e400", "0x10", "1_0", "٣", "½", "3.5"),
    *(str(2**31), str(2**63), str(2**64), str(-(2**63)), "9" * 40, "9" * 5000, "a", "ä\n", "a\x07b", "x" * 300),
    *("x" * 5000, "a/b", "../..", "/", ".", "~", "{{}}", "[]", "{{", "null", '{{"a": 1}}', "{}", "{}/minari"),
    *("/dev/null", "/dev/full", "/proc/self/mem", "/nowhere/x.safetensors", "/nowhere/x.json", "{}/none.gif"),
    *("{}/tiny.safetensors", "{}/film.safetensors", "{}/agent.safetensors", "{}/agent.zip", "{}/digits.npz"),
    *("{}/digits.gif", "{}/text.json", "{}/tiny.safetensors/x.safetensors", "{}/text.json/x", "os:system", ":", "a:"),
    *("minigrid", "digits", "minigrid-ppo", "planner", "control", "os:nothing", "nothing:nothing", ENV_ID),
    *("CartPole-v1", "Nothing-v0", DATASET, "reliability/none-v0", "a/b/c-v0", "cuda:99", "meta", "cpu"),
)
#: Words that are added to a command as they are.
_MORE = ("--nothing", "-Z", "--seed", "--help=3", "--", "", "extra", "\udcff")


class Commands:
    """Tries each option of each command with each odd value, in an order that covers all of them soon."""

    def __init__(self, files: Inputs) -> None:
        self.files, self.work = files, files.folder / "work"
        os.environ["HF_HUB_OFFLINE"] = "1"  # odd names are not sent to the hub
        for module in pkgutil.walk_packages(nova_gym.__path__, "nova_gym."):  # while the system's files can be read
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):  # of graphics cards alone
                    importlib.import_module(module.name)
        Image.init()
        (files.folder / "text.json").write_text("no JSON")
        self.whole = {name: (files.folder / name).read_bytes() for name in contents(files.folder)}
        self.options = [
            (words, parameter)
            for words, command in _leaves(typer.main.get_command(app), ())
            for parameter in command.params
            if parameter.name != "help"
        ]

    def __call__(self, index: int, found: Found) -> None:
        """Calls one command, whose other options make it short, and looks whether any file is not as it was."""
        draw = random.Random(f"commands/{index}")
        words, parameter = self.options[index % len(self.options)]
        given = {**_base(words, self.files), **_odd(parameter, draw, self.files.folder)}
        arguments = [*words, *_flat(given)]
        if draw.random() < 0.05:
            arguments.append(draw.choice(_MORE))
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        os.chdir(self.work)
        with found.watch(" ".join(arguments)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _call(arguments)
        os.chdir(self.files.folder)
        shutil.rmtree(self.work, ignore_errors=True)
        harmed = self._restore()
        if harmed and parameter.name not in ("overwrite", "write_card"):
            found.fault("a file harmed", " ".join(arguments), ", ".join(harmed))

    def _restore(self) -> list[str]:
        """Names of files that are not as they were, and are now again."""
        now = contents(self.files.folder)
        harmed = [name for name, whole in self.whole.items() if now.get(name) != digest(whole)]
        for name in harmed:
            (self.files.folder / name).write_bytes(self.whole[name])
        return harmed


def _call(arguments: list[str]) -> None:
    """Runs a command in this process; a documented exception stands for exit code 2 and its line."""
    Player.run = lambda self: None  # a window that is closed at once
    webbrowser.open = lambda url: False
    with mock.patch.object(tempfile, "tempdir", os.getcwd()):  # what commands leave there goes with the folder
        result = CliRunner().invoke(app, arguments)
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        if isinstance(error, DOCUMENTED):
            raise RuntimeError(f"no exit code 2: {error}") from error
        raise error
    if result.exit_code == 2:
        said = [line for line in result.stderr.splitlines() if line.startswith("nova-gym:")]
        raise BadInputError("\n".join(said or [result.stderr.strip().splitlines()[-1]]))  # Typer's own has a frame
    if result.exit_code:
        raise SystemExit(result.exit_code)


def _leaves(command: TyperCommand | TyperGroup, words: tuple[str, ...]) -> list[tuple[tuple[str, ...], TyperCommand]]:
    if hasattr(command, "commands"):
        return [leaf for name, inner in sorted(command.commands.items()) for leaf in _leaves(inner, (*words, name))]
    return [(words, command)]


def _base(words: tuple[str, ...], files: Inputs) -> dict[str, list[str]]:
    """Arguments that make a command short, by the name of the parameter."""
    dream, agent, data = str(files.dream), str(files.agent), DATASET
    few = {"episodes": ["--episodes", "1"]}
    by_command = {
        ("agent", "diagnose"): {"agent": [agent], "dream": ["--dream", dream], **few},
        ("agent", "eval"): {"agent": [agent], "dream": ["--dream", dream], **few},
        ("agent", "train"): {
            **{"output": ["-o", "a.safetensors"], "dream": ["--dream", dream], **few},
            **{"steps": ["--steps", "8"], "dreams": ["--dreams", "2"], "evaluations": ["--evaluations", "1"]},
        },
        ("bench",): {"parts": ["loading"], "rounds": ["--rounds", "1"], "seconds": ["--seconds", "0.01"]},
        ("demo",): {"dream": ["--dream", "nothing"]},
        ("dream",): {"env_id": ["Nothing-v0"], "output": ["-o", "d.safetensors"], "preset": ["--preset", "none"]},
        ("edit",): {"mode": ["layers"], "dream": ["--dream", dream], "clip": ["--clip", "0"]},
        ("eval",): {"dream": [dream], "steps": ["--steps", "1"], **few},
        ("export",): {"dream": [dream], "output": ["-o", "e.html"], "reality": ["--reality", ENV_ID]},
        ("improve",): {
            **{"dream": [dream], "output": ["-o", "i.safetensors"], "rounds": ["--rounds", "1"], **few},
            **{"agent_steps": ["--agent-steps", "8"], "real_steps": ["--real-steps", "8"]},
            **{"tuning_steps": ["--tuning-steps", "1"], "dataset": ["--dataset", "reliability/none-v0"]},
        },
        ("info",): {"dream": [dream]},
        ("play",): {"dream": [dream]},
        ("push",): {"dream": [dream], "repository": ["-"]},  # no name: nothing is sent
        ("record",): {"env_id": [ENV_ID], "name": ["--name", "work/r-v0"], "transitions": ["--transitions", "5"]},
        ("sharpen",): {
            **{"dream": [dream], "output": ["-o", "s.safetensors"], "factor": ["--factor", "2"]},
            **{"scenes": ["--scenes", "1"], "steps": ["--steps", "1"]},
        },
        ("train",): {
            **{"data": [data], "output": ["-o", "t.safetensors"], "preset": ["--preset", "tiny"]},
            **{"minutes": ["--minutes", "0.005"], "log_dir": ["--log-dir", "logs"]},
        },
        ("tune",): {"dream": [dream], "dataset": [data], "output": ["-o", "t.safetensors"], "steps": ["--steps", "1"]},
        ("web",): {"dream": [dream], "reality": ["--reality", ENV_ID]},
    }
    return by_command[words]


def _odd(parameter: TyperArgument | TyperOption, draw: random.Random, folder: Path) -> dict[str, list[str]]:
    value = draw.choice(ODD)
    value = value.replace("{{", "\0").replace("}}", "\1").replace("{}", str(folder))
    value = value.replace("\0", "{").replace("\1", "}")
    if isinstance(parameter, TyperOption):
        option = draw.choice(parameter.opts)
        return {parameter.name: [option] if parameter.is_flag else [option, value]}
    return {parameter.name: [value]}


def _flat(given: dict[str, list[str]]) -> list[str]:
    """Arguments first, for an option's value could be taken for one."""
    return [word for words in given.values() for word in words]


def command_parts(files: Inputs) -> dict[str, Callable[[int, Found], None]]:
    """The commands, by name."""
    return {"options of commands": Commands(files)}
