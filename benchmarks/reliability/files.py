"""Bad files: dreams, agents, recordings, videos, and what else a command reads."""

from __future__ import annotations

import json
import os
import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from nova_gym.agents import load_agent
from nova_gym.agents.journal import Journal, Plan
from nova_gym.agents.policy_file import KIND as AGENT
from nova_gym.benchmarks.reliability.broken import broken_bytes, broken_json
from nova_gym.benchmarks.reliability.inputs import DATASET, Inputs
from nova_gym.benchmarks.reliability.makers import (
    Written,
    broken_arrays,
    broken_checkpoints,
    broken_copies,
    broken_dreams,
    broken_tensors,
    broken_zips,
)
from nova_gym.benchmarks.reliability.watching import Found
from nova_gym.data import load_clips
from nova_gym.dream import Dream
from nova_gym.envs import NovaDreamEnv, RealitySpec
from nova_gym.envs.play.files import read_picture
from nova_gym.envs.play.recorded import read_recording
from nova_gym.training.loop import Loop, Run

#: Of the journals.
SPEC = RealitySpec("CartPole-v1", {}, (64, 96))


class BrokenFiles:
    """Tries one broken file an index.

    Args:
        files: whole files.
        name: of the cases, from which they are drawn.
        make: called with a generator; gives a broken file's bytes, and in words what is broken.
        read: called with its path; reads it and uses what it read.
        ending: of the file's name.
    """

    def __init__(
        self,
        files: Inputs,
        name: str,
        make: Callable[[random.Random], Written],
        read: Callable[[Path], object],
        ending: str,
    ) -> None:
        self.name, self.make, self.read = name, make, read
        self.path = files.folder / f"broken-{name}{ending}"

    def __call__(self, index: int, found: Found) -> None:
        """Breaks, reads, and looks whether the file is still as it was."""
        data, words = self.make(random.Random(f"{self.name}/{index}"))
        self.path.write_bytes(data)
        with found.watch(f"{self.name} {index}: {words}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.read(self.path)
        if self.path.read_bytes() != data:
            found.fault("a file harmed", words)


def file_parts(files: Inputs) -> dict[str, Callable[[int, Found], None]]:
    """Kinds of files, by name."""
    tiny = Dream.load(files.dream)

    def act(path: Path) -> None:
        agent = load_agent(path, tiny, device="cpu")
        agent.predict(tiny.starts[tiny.default_starts][:2].numpy())

    return {
        "dream files": BrokenFiles(files, "dreams", broken_dreams(files), _dream_in_use, ".safetensors"),
        "agents' files": BrokenFiles(files, "agents", broken_tensors(files.agent, AGENT), act, ".safetensors"),
        "agents' zips": BrokenFiles(files, "zips", broken_zips(files.zipped), act, ".zip"),
        "recordings": Recordings(files),
        "videos of arrays": BrokenFiles(
            files, "arrays", broken_arrays(files.arrays), lambda p: load_clips(str(p)), ".npz"
        ),
        "video files": BrokenFiles(files, "movies", broken_copies(files.movie), lambda p: load_clips(str(p)), ".gif"),
        "pictures": BrokenFiles(files, "pictures", broken_copies(files.movie), lambda p: read_picture(p, tiny), ".gif"),
        "sessions": BrokenFiles(
            files, "sessions", broken_arrays(files.arrays), lambda p: read_recording(p, tiny), ".npz"
        ),
        "checkpoints": BrokenFiles(files, "checkpoints", broken_checkpoints(tiny), _resumed(tiny), ".ckpt"),
        "journals": BrokenFiles(files, "journals", _journals, _journal_read, ".json"),
    }


def _dream_in_use(path: Path) -> None:
    dream = Dream.load(path)
    action = "discrete" if dream.world_model.config.actions else "latent"
    env = NovaDreamEnv(dream, action=action, render_mode="rgb_array", device="cpu", max_episode_steps=5)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(2):
        env.step(env.action_space.sample())
    env.render()


def _resumed(dream: Dream) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        model = type(dream.world_model)(dream.world_model.config)
        Loop(model, 0, Run(path, device="cpu", resume=True), {"seed": 0}).resume()

    return read


def _journals(draw: random.Random) -> Written:
    plan = Plan(SPEC, 1.0)
    text = json.dumps({"plan": asdict(plan), "steps": {"record": {"seconds": 1.0}}, "begun": {"train": 2.0}})
    if draw.random() < 0.3:
        return broken_bytes(text.encode(), draw)
    said, words = broken_json(json.loads(text), draw)
    return json.dumps(said).encode(), words


def _journal_read(path: Path) -> None:
    journal = Journal(path, Plan(SPEC, 1.0))
    journal.read()
    journal.seconds_for("train")


class Recordings:
    """Minari folders in which one file is broken, gone, or another."""

    def __init__(self, files: Inputs) -> None:
        self.whole = files.folder / "minari"
        self.broken = files.folder / "broken minari"

    def __call__(self, index: int, found: Found) -> None:
        """Breaks a copy and reads it."""
        draw = random.Random(f"recordings/{index}")
        shutil.rmtree(self.broken, ignore_errors=True)
        shutil.copytree(self.whole, self.broken)
        path = draw.choice(sorted(path for path in self.broken.rglob("*") if path.is_file()))
        way = draw.choice(("bytes", "bytes", "json", "json", "gone", "folder"))
        words = path.name
        if way == "json" and (path := next(self.broken.rglob("metadata.json"))):
            said, words = _metadata(json.loads(path.read_text()), draw)
            path.write_text(json.dumps(said))
        elif way == "bytes":
            data, words = broken_bytes(path.read_bytes(), draw)
            path.write_bytes(data)
        else:
            path.unlink()
            if way == "folder":
                path.mkdir()
        with found.watch(f"recordings {index}: {way} {words}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.environ["MINARI_DATASETS_PATH"] = str(self.broken)
            load_clips(DATASET, labels=draw.random() < 0.8)
        os.environ["MINARI_DATASETS_PATH"] = str(self.whole)


def _metadata(said: dict, draw: random.Random) -> Written:
    """Minari's JSON with one change, in what Minari says or in what `nova-gym record` says within it."""
    if draw.random() < 0.5:
        return broken_json(said, draw)
    own, words = broken_json(json.loads(said["nova_gym"]), draw)
    return {**said, "nova_gym": json.dumps(own)}, f"nova_gym: {words}"
