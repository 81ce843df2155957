"""The parts of a row, one after the other: each leaves its files in a working folder, so a run can be continued."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio

from nova_gym.agents import evaluate_agent, load_agent, save_agent, train_agent
from nova_gym.agents.improvement import Budget, improve
from nova_gym.agents.saving import beside
from nova_gym.benchmarks.provenance import rewrite_results, write_results
from nova_gym.benchmarks.sources import RESULTS
from nova_gym.benchmarks.suite.memory import MEMORY, OLDER_MEMORY, watched_memory
from nova_gym.benchmarks.suite.rows import Row
from nova_gym.benchmarks.suite.scores import scored
from nova_gym.data import load_clips
from nova_gym.dream import Dream
from nova_gym.envs import reality_spec, record
from nova_gym.envs.reality.futures import futures
from nova_gym.envs.reality.open_loop import open_loop
from nova_gym.envs.reality.recording import remove_dataset
from nova_gym.errors import BadInputError
from nova_gym.files import write_atomically
from nova_gym.training import Run, suiting_preset, train

#: Minutes of a row for which the recordings are made; fewer minutes take fewer transitions.
FULL = 30.0
#: Agents are tested in more episodes than are asked for where these have fewer steps than `TESTED`: in up to `MORE`
#: times as many. A hundred starts of Taxi tell the best policy's mean return to within half of a step.
MORE, TESTED = 10, 200
#: Share of the minutes that training takes, and where a dream has a memory: what no frame shows takes longer to learn.
TRAINING, LONGER = 0.4, 0.55
#: Share of the minutes that the agent has at least.
LEAST = 0.2
#: Steps that are taken many times, where a dream has chance, at most.
SITUATIONS = 32
#: Pixels that a frame is at least high in a picture, if whole pixels allow.
SEEN = 96
#: Steps in reality that `improve` may take.
REAL_STEPS = 20_000


@dataclass(frozen=True)
class Settings:
    """How rows are run.

    Attributes:
        minutes: for a row, from the recording to the agent.
        work: folder of recordings, checkpoints, dreams and agents, one folder a row.
        results: folder of one JSON a row.
        pictures: folder of one picture a row.
        episodes: real episodes of the open loop, and of an agent's test, of which there are more where they are short.
        seed: of everything random.
        improved: whether the dream is also improved by what the agent meets in reality.
        preset: name of a preset instead of the one that suits.
        transitions: to record instead of those that the row names.
        agent_steps: steps of the agent's training, None for what suits.
    """

    minutes: float = FULL
    work: Path = Path("runs/suite")
    results: Path = Path(RESULTS) / "suite"
    pictures: Path = Path("docs/suite")
    episodes: int = 100
    seed: int = 0
    improved: bool = False
    preset: str | None = None
    transitions: int | None = None
    agent_steps: int | None = None

    @property
    def share(self) -> float:
        """Of the full recording and training."""
        return min(1.0, self.minutes / FULL)

    @property
    def asked(self) -> dict[str, Any]:
        """What all parts of a row must have in common."""
        return {name: getattr(self, name) for name in ("minutes", "episodes", "seed", "preset", "transitions")}

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of a row, in order."""
        return tuple(part for part in PARTS if part != "improve" or self.improved)

    def folder(self, row: Row) -> Path:
        """The working folder of a row, made if it is not there."""
        folder = self.work / row.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def figures(self, row: Row) -> Path:
        """The file of a row's figures."""
        return self.results / f"{row.name}.json"

    def references(self, row: Row) -> Path:
        """The file of what a row's scores are compared with."""
        return self.results / "references" / f"{row.name}.json"

    def done(self, row: Row, part: str) -> dict[str, Any] | None:
        """What a part found, with its seconds and its memory; None if it is still to be done.

        Raises:
            BadInputError: it was done with other settings.
        """
        path = self.folder(row) / f"{part}.json"
        if not path.exists():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        for name, value in found.get("asked", {}).items():
            if value != self.asked[name]:
                raise BadInputError(
                    f"{path} was made with {name} {value}, not {self.asked[name]}: --restart begins anew"
                )
        return found


def run_part(row: Row, part: str, settings: Settings) -> dict[str, Any]:
    """Does one part of a row, unless it is done.

    Args:
        row: of the suite.
        part: one of `PARTS`; those before it are done.
        settings: how.

    Returns:
        `figures`, `seconds`, and the most memory (`MEMORY`).
    """
    if (done := settings.done(row, part)) is not None:
        return done
    began = time.monotonic()
    with watched_memory() as peak:
        figures = PARTS[part](row, settings)
    found = {
        "figures": figures,
        "seconds": time.monotonic() - began,
        MEMORY: peak.megabytes,
        "asked": settings.asked,
    }
    write_results(settings.folder(row) / f"{part}.json", found, None)
    return found


def write_row(row: Row, settings: Settings) -> Path:
    """Writes the figures of a row whose parts are done, scored by its references if these are known.

    Returns:
        The JSON file.
    """
    done = {part: settings.done(row, part) for part in settings.parts}
    known = _known(row, settings)
    agents = {
        name: done[part]["figures"]
        for name, part in (("dream alone", "score"), ("improved", "improve"))
        if part in done
    }
    figures = {
        "environment": row.env_id,
        "tests": row.tests,
        "note": row.note,
        "minutes": settings.minutes,
        "seed": settings.seed,
        **{part: done[part]["figures"] for part in ("record", "train", "open-loop", "agent")},
        "scores": {name: scored(row, agent, known) for name, agent in agents.items()},
        "parts": {
            part: {key: value for key, value in d.items() if key in ("seconds", MEMORY, OLDER_MEMORY)}
            for part, d in done.items()
        },
    }
    path = settings.figures(row)
    write_results(path, figures, _dream_file(row, settings))
    return path


def score_anew(row: Row, settings: Settings) -> None:
    """Scores the figures of a row by its references, where they were measured before these were known."""
    path = settings.figures(row)
    if path.exists():
        figures, known = json.loads(path.read_text(encoding="utf-8")), _known(row, settings)
        figures["scores"] = {name: scored(row, agent, known) for name, agent in figures["scores"].items()}
        rewrite_results(path, figures)


def _known(row: Row, settings: Settings) -> dict[str, Any] | None:
    path = settings.references(row)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _dataset(row: Row) -> str:
    return f"suite/{row.name}-v0"


def _dream_file(row: Row, settings: Settings) -> Path:
    return settings.folder(row) / "dream.safetensors"


def _progress(part: str, done: int, total: int, text: str = "") -> None:
    """A line in the part's log, ten times."""
    if done == total or done % max(1, total // 10) == 0:
        print(f"{part} {done}/{total} {text}", flush=True)


def _record(row: Row, settings: Settings) -> dict[str, Any]:
    remove_dataset(_dataset(row))  # of a part that was cut before it was noted
    spec = reality_spec(row.env_id, row.size)
    count = settings.transitions or max(1, round(row.transitions * settings.share))
    dataset = record(spec, _dataset(row), count, settings.seed)
    summary = json.loads(dataset.storage.metadata["nova_gym"])["summary"]
    return {"transitions": int(dataset.total_steps), "frame size": list(spec.frame_size), "summary": summary}


def _train(row: Row, settings: Settings) -> dict[str, Any]:
    clips = load_clips(_dataset(row))
    suiting = suiting_preset(clips, settings.preset)
    plain = replace(suiting.preset.model, codes=0, control=None)  # what no agent needs
    preset = replace(suiting.preset, model=plain, training=replace(suiting.preset.training, seed=settings.seed))
    checkpoint, file = settings.folder(row) / "dream.ckpt", _dream_file(row, settings)
    minutes = (LONGER if plain.memory else TRAINING) * settings.minutes
    run = Run(checkpoint, resume=checkpoint.exists(), progress=_logged, minutes=minutes)
    dream = train(clips, _dataset(row), preset, run)
    dream.save(file)
    checkpoint.unlink(missing_ok=True)
    config = dream.world_model.config
    return {
        "suits": suiting.lines,
        "preset": preset.name,
        "minutes": minutes,
        "memory": config.memory,
        "outcomes": config.outcomes,
        "cells": list(dream.cells),
        "size in MB": file.stat().st_size / 1e6,
        "seconds by stage": {name: stage.get("seconds") for name, stage in dream.card.training["stages"].items()},
    }


def _logged(stage: str, step: int, steps: int, text: str) -> None:
    _progress(stage, step, steps, text)


def _open_loop(row: Row, settings: Settings) -> dict[str, Any]:
    dream = Dream.load(_dream_file(row, settings))
    found = open_loop(dream, settings.episodes, seed=settings.seed, progress=_progress)
    with write_atomically(settings.pictures / f"{row.name}.png") as temporary:
        larger = max(1, SEEN // dream.frame_size[0])
        iio.imwrite(temporary, found.picture().repeat(larger, 0).repeat(larger, 1), extension=".png")
    figures = {"whole episodes": found.to_dict()}
    if dream.is_random:
        figures["chance"] = futures(
            dream, min(settings.episodes, SITUATIONS), seed=settings.seed, progress=_progress
        ).to_dict()
    return figures


def _agent(row: Row, settings: Settings) -> dict[str, Any]:
    dream = Dream.load(_dream_file(row, settings))
    spent = sum(settings.done(row, part)["seconds"] for part in ("record", "train")) / 60
    minutes = max(LEAST * settings.minutes, settings.minutes - spent)
    file = settings.folder(row) / "agent.safetensors"
    agent, curve = train_agent(
        dream, steps=settings.agent_steps, minutes=minutes, output=file, seed=settings.seed, progress=_progress
    )
    save_agent(agent, file, dream)
    return {
        "algorithm": type(agent).__name__.lower(),
        "steps in the dream": curve.points[-1].steps,
        "kept": curve.best.steps,
        "evaluations in reality that chose it": len(curve.points),
    }


def _score(row: Row, settings: Settings) -> dict[str, Any]:
    return _tested(_dream_file(row, settings), settings.folder(row) / "agent.safetensors", settings)


def _improve(row: Row, settings: Settings) -> dict[str, Any]:
    output = settings.folder(row) / "improved.safetensors"
    begun = output.exists() and beside(output).exists()
    budget = Budget(settings.agent_steps, episodes=settings.episodes, real_total=REAL_STEPS)
    improve(
        Dream.load(_dream_file(row, settings)),
        output,
        dataset=_dataset(row),
        budget=budget,
        seed=settings.seed,
        resume=begun,
        overwrite=not begun,
        progress=_progress,
    )
    return {"steps in reality, at most": REAL_STEPS, **_tested(output, beside(output), settings)}


def _tested(dream_file: Path, agent_file: Path, settings: Settings) -> dict[str, Any]:
    """Plays in the dream and in reality, by drawn actions and by the likeliest; the shorter episodes are, the more."""
    dream = Dream.load(dream_file)
    agent = load_agent(agent_file, dream)
    found = evaluate_agent(agent, dream, settings.episodes, settings.seed, progress=_progress)
    longest = max(row["length"].value for places in found.modes.values() for row in places.values())
    more = min(MORE * settings.episodes, int(settings.episodes * TESTED / longest))
    if more > settings.episodes:
        found = evaluate_agent(agent, dream, more, settings.seed, progress=_progress)
    return found.to_dict()


#: The parts of a row by name, in order; each takes row and settings, and returns its figures.
PARTS: dict[str, Callable[[Row, Settings], dict[str, Any]]] = {
    "record": _record,
    "train": _train,
    "open-loop": _open_loop,
    "agent": _agent,
    "score": _score,
    "improve": _improve,
}


def datasets_in(work: Path) -> dict[str, str]:
    """The environment variables of a process whose recordings lie in a working folder."""
    return {**os.environ, "MINARI_DATASETS_PATH": str((work / "datasets").absolute())}
