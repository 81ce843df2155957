"""Commands that are killed at random times, and disks that are full: what was there is whole, and the rest goes on.

A killed process gets SIGKILL, which it cannot answer. Afterwards everything that was there before must be whole, and
the command, resumed or done again, must end with the same weights to the bit as one that was never killed.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import minari
import torch

from nova_gym.agents import load_agent, save_agent
from nova_gym.benchmarks.provenance import fingerprint
from nova_gym.benchmarks.reliability.inputs import DATASET, ENV_ID, Inputs, inputs
from nova_gym.benchmarks.reliability.watching import Found
from nova_gym.cli import app
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.files import write_json
from nova_gym.training import loop

#: Seconds after which a command that is not killed counts as one that hangs.
PATIENCE = 1800.0
#: Bytes of the small disk, and room on it that is left, at random, for a command.
DISK, ROOM = 8 * 2**20, (0, 1_000, 20_000, 60_000, 100_000, 200_000)
#: One try on a full disk for so many kills.
FULL = 5


@dataclass
class Trial:
    """A command that is killed.

    Attributes:
        name: in words.
        words: the command line, in a folder with the files.
        again: added to it after a kill, where `goes_on` is a file that is there; else `anew` is added.
        goes_on: that file.
        anew: see `again`.
        outputs: files that it replaces.
        repeats: whether it ends with the same weights each time.
    """

    name: str
    words: list[str]
    outputs: list[str]
    again: list[str] = field(default_factory=list)
    goes_on: str = ""
    anew: list[str] = field(default_factory=list)
    repeats: bool = True


def kills(count: int, work: Path, known: dict[str, Any], only: str | None = None) -> Iterator[dict[str, Any]]:
    """Kills each command so often, and fills its disk now and then; gives what was found so far after each.

    Args:
        count: kills of each command.
        work: folder for files.
        known: what an earlier call with the same count gave, to continue.
        only: the name of one part; None for all.
    """
    torch.set_num_threads(1)
    loop.SAVE_EVERY, loop.SNAPSHOT_EVERY = 0.0, 2  # as often as can be, so that kills hit checkpoints
    parts = dict(known.get("parts", {})) if known.get("count") == count else {}
    whole = inputs(work / "kills" / "whole")
    for trial in _trials():
        for name, run in ((trial.name, _killed), (f"{trial.name}, full disk", _full)):
            if name in parts or (only and only != name):
                continue
            number = count if run is _killed else max(1, count // FULL)
            found = run(trial, whole, work / "kills" / "now", number)
            if found is not None:
                parts[name] = found
                yield {"count": count, "parts": parts}


def _trials() -> list[Trial]:
    dream, few = "tiny.safetensors", ["--episodes", "1"]
    training = ["--dreams", "4", "--log-dir", "logs", "--overwrite"]
    small = ["--rounds", "2", "--agent-steps", "64", "--real-steps", "30", "--tuning-steps", "4", *few]
    return [
        Trial("saving", ["info"], [dream, "agent.safetensors", "values.json"], repeats=False),
        Trial("eval --write-card", ["eval", dream, "--steps", "2", *few, "--write-card"], [dream]),
        Trial("record", ["record", ENV_ID, "--name", "reliability/new-v0", "--transitions", "150"], []),
        Trial(
            "train",
            ["train", DATASET, "-o", dream, "--preset", "tiny", "--log-dir", "logs", "--overwrite"],
            [dream, "tiny.ckpt"],
            again=["--resume"],
            goes_on="tiny.ckpt",
        ),
        Trial(
            "agent train",
            ["agent", "train", "-o", "agent.safetensors", "--dream", dream, "--steps", "64", *few, *training],
            ["agent.safetensors", "agent.json"],
        ),
        Trial(
            "improve",
            ["improve", dream, "-o", "better.safetensors", "--dataset", DATASET, *small, "--device", "cpu"],
            ["better.safetensors", "better.policy.safetensors"],
            again=["--resume"],
            goes_on="better.safetensors",
            anew=["--overwrite"],
        ),
    ]


def _killed(trial: Trial, whole: Inputs, now: Path, count: int) -> dict[str, Any]:
    """Kills a command so often; JSON-ready."""
    began, found, hit = time.monotonic(), Found(), 0
    draw = random.Random(trial.name)
    for _ in range(2):  # the second time shows how long it takes
        folder = _fresh(whole, now)
        took, code = _run(trial, folder, [])
    expected = _result(trial, folder)
    if code:
        found.fault(f"exit code {code} without a kill", " ".join(trial.words))
    for number in range(count):
        folder = _fresh(whole, now)
        before = _state(folder)
        after = draw.uniform(0.0, 0.9 * took)
        _, code = _run(trial, folder, [], after)
        hit += code == -9
        found.tried += 1
        words = f"kill {number} after {after:.2f} of {took:.2f} s"
        _look(found, trial, folder, before, words)
        if trial.repeats:
            again = trial.again if trial.goes_on and (folder / trial.goes_on).exists() else trial.anew
            if code:  # it was killed before its end
                _, code = _run(trial, folder, again)
            if code:
                found.fault(f"exit code {code} afterwards", f"{words}, then {' '.join(again) or 'again'}")
            elif _result(trial, folder) != expected:
                found.fault("other weights afterwards", f"{words}, then {' '.join(again) or 'again'}")
    return {**_plain(found), "killed before the end": hit, "seconds": round(time.monotonic() - began, 1)}


def _full(trial: Trial, whole: Inputs, now: Path, count: int) -> dict[str, Any] | None:
    """Runs a command on a small disk that is full, then with room; None where this machine lends no such disk."""
    began, found, refused = time.monotonic(), Found(), 0
    draw = random.Random(trial.name)
    now.mkdir(parents=True, exist_ok=True)
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(now)]
    if subprocess.run(mounted, capture_output=True).returncode:
        return None
    try:
        folder = _fresh(whole, now)
        _run(trial, folder, [])
        expected = _result(trial, folder)
        for number in range(count):
            folder, room = _fresh(whole, now), draw.choice(ROOM)
            before = _state(folder)
            ballast = folder / "ballast"
            free = shutil.disk_usage(folder).free - room
            ballast.write_bytes(bytes(max(0, free)))
            _, code = _run(trial, folder, [])
            refused += code == 2
            found.tried += 1
            words = f"full disk {number}, {room} bytes left"
            if code not in (0, 2):
                found.fault(f"exit code {code}", words, (folder / "log").read_text()[-200:])
            ballast.unlink()
            _look(found, trial, folder, before, words)
            if trial.repeats:
                again = trial.again if trial.goes_on and (folder / trial.goes_on).exists() else trial.anew
                if code:
                    _, code = _run(trial, folder, again)
                if code or _result(trial, folder) != expected:
                    found.fault("other weights afterwards" if not code else f"exit code {code} afterwards", words)
    finally:
        subprocess.run(["umount", str(now)], check=False)
    return {**_plain(found), "refused": refused, "seconds": round(time.monotonic() - began, 1)}


def _plain(found: Found) -> dict[str, Any]:
    return {"tried": found.tried, "kinds": found.kinds, "faults": found.faults}


def _fresh(whole: Inputs, now: Path) -> Path:
    """A folder with whole files, in which all that an earlier try left is gone; Minari's folder is within."""
    now.mkdir(parents=True, exist_ok=True)
    for path in now.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(whole.folder / "minari", now / "minari")
    for path in (whole.dream, whole.agent):
        shutil.copy(path, now)
    write_json(now / "values.json", [0] * 1000)
    os.environ["MINARI_DATASETS_PATH"] = str(now / "minari")
    return now


def _run(trial: Trial, folder: Path, more: list[str], kill_after: float | None = None) -> tuple[float, int | None]:
    """Runs a command in a process of its own; seconds, and its exit code, -9 after a kill."""
    work = _save_again_and_again if trial.name == "saving" else _command
    process = multiprocessing.get_context("fork").Process(target=work, args=([*trial.words, *more], folder))
    began = time.monotonic()
    process.start()
    process.join(PATIENCE if kill_after is None else kill_after)
    if process.is_alive():
        process.kill()
        process.join()
        if kill_after is None:
            raise BadInputError(f"{' '.join(trial.words)} hangs")
    return time.monotonic() - began, process.exitcode


def _command(words: list[str], folder: Path) -> None:
    os.chdir(folder)
    log = (
        os.open("log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        if shutil.disk_usage(folder).free
        else os.open(os.devnull, os.O_WRONLY)
    )
    os.dup2(log, 1)
    os.dup2(log, 2)
    app(words)


def _save_again_and_again(_: list[str], folder: Path) -> None:
    """Saves a dream, an agent and JSON, some times each."""
    os.chdir(folder)
    dream = Dream.load(folder / "tiny.safetensors")
    agent = load_agent(folder / "agent.safetensors", dream, device="cpu")
    for number in range(1, 61):
        try:
            dream.save(folder / "tiny.safetensors")
            save_agent(agent, folder / "agent.safetensors", dream)
            write_json(folder / "values.json", [number] * 1000)
        except BadInputError as error:  # of a full disk
            raise SystemExit(2) from error


def _state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _look(found: Found, trial: Trial, folder: Path, before: dict[str, str], words: str) -> None:
    """Looks whether all that was there is there: outputs whole, old or new, and all else as it was."""
    now = _state(folder)
    for name, digest in before.items():
        if name not in now:
            found.fault("a file lost", f"{words}: {name}")
        elif now[name] != digest and name not in trial.outputs:
            found.fault("a file changed", f"{words}: {name}")
    for name in ("tiny.safetensors", "better.safetensors", "agent.safetensors", "better.policy.safetensors"):
        if (folder / name).exists() and (fault := _unreadable(folder, name)):
            found.fault("a file that cannot be read", f"{words}: {name}", fault)
    try:
        known = minari.list_local_datasets()
    except Exception as error:  # whatever Minari raises there, it lists nothing
        found.fault("recordings cannot be listed", words, f"{type(error).__name__}: {error}"[:200])
        return
    if DATASET not in known:
        found.fault("a recording lost", words)


def _unreadable(folder: Path, name: str) -> str:
    try:
        if "agent" in name or "policy" in name:
            load_agent(folder / name, Dream.load(folder / "tiny.safetensors"), device="cpu")
        else:
            Dream.load(folder / name)
    except BadInputError as error:
        if "another dream" not in str(error):  # an agent of the dream that was there before
            return str(error)
    return ""


def _result(trial: Trial, folder: Path) -> dict[str, Any]:
    """What a command made, without what differs each time, such as seconds."""
    made: dict[str, Any] = {
        name: fingerprint(folder / name)
        for name in (*trial.outputs, "better.safetensors")
        if name.endswith(".safetensors") and (folder / name).exists()
    }
    recorded = folder / "minari" / "reliability" / "new-v0"
    if trial.name == "record":
        episodes = minari.load_dataset("reliability/new-v0").iterate_episodes()
        made["actions"] = [episode.actions.tolist() for episode in episodes]
        made["there"] = recorded.exists()
    return made
