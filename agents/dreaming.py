"""From an environment to a dream of it, and to an agent that learned in it: one call, within a given time."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
from minari.storage.datasets_root_dir import get_dataset_path

from nova_gym.agents.actions import as_policy
from nova_gym.agents.curve import Curve
from nova_gym.agents.dream_report import write_report
from nova_gym.agents.evaluation import MODES, evaluate_agent
from nova_gym.agents.journal import Journal, Plan
from nova_gym.agents.pace import longest_episode
from nova_gym.agents.randomly import play_at_random
from nova_gym.agents.saving import beside, encoder_digest, load_agent, save_agent
from nova_gym.agents.training import train_agent
from nova_gym.data import Clips
from nova_gym.data.datasets import load_dataset
from nova_gym.dream import Dream
from nova_gym.envs import RealityEnv, RealitySpec, evaluate, reality_spec, record
from nova_gym.envs.reality.counterpart import reality_of
from nova_gym.envs.reality.views import about_grid
from nova_gym.errors import BadInputError
from nova_gym.training import PRESETS, Preset, Run, suiting_preset, train, train_further

#: The steps of the second round.
SECOND = ("record more", "train further", "agent again")
#: Transitions of the first recording: at least and at most, if nobody says how many.
LEAST, MOST = 2_000, 40_000
#: Steps in reality of the second round, from which the dream learns, and the share of random actions among them.
MORE, RANDOM = 8_000, 0.2
#: Evaluations in reality that choose the version of an agent, and the share of its time that one of them may take.
EVALUATIONS, EVALUATING = 2, 0.12
#: Seconds that random play may take at least; without pictures it is fast.
CHANCE = 2.0
#: Steps of the open loop that shows how true the dream is.
OPEN_LOOP = 50
#: Frames that judging chance draws besides, for each episode.
DRAWN = 128

Progress = Callable[..., None]


class Dreaming:
    """All steps from an environment to a report, each of which goes on where it was interrupted.

    Files beside the dream: the agent (`.policy.safetensors`), the report (`.md`), and a folder (`.dream`) with what a
    resumption needs and the report's pictures. Recordings are Minari datasets, whose ids begin with `dream/`.

    Args:
        plan: what is asked for.
        output: file of the dream.
        device: as in `train_agent`.
        progress: called as `progress(part, done, total, text)`.
        say: called with a sentence now and then.
    """

    def __init__(
        self,
        plan: Plan,
        output: Path,
        device: str = "auto",
        progress: Progress = lambda part, done, total, text="": None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.plan, self.output, self.device, self.progress, self.say = plan, output, device, progress, say
        self.folder = output.with_suffix(".dream")
        self.journal = Journal(self.folder / "journal.json", plan)
        where = hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:6]
        stem = re.sub(r"[^\w-]", "-", output.stem)
        self.datasets = tuple(f"dream/{stem}-{where}-{kind}-v0" for kind in ("first", "more"))
        self._clips: dict[str, Clips] = {}

    @property
    def agent_file(self) -> Path:
        """The agent that is kept, beside the dream."""
        return beside(self.output)

    @property
    def report_file(self) -> Path:
        """The report, beside the dream."""
        return self.output.with_suffix(".md")

    def prepare(self, resume: bool, overwrite: bool) -> None:
        """Looks at what is there of an earlier run.

        Raises:
            BadInputError: something would be overwritten, or there is nothing to resume.
        """
        if resume:
            self.journal.read()
            return
        there = [path for path in (self.output, self.agent_file, self.report_file, self.folder) if path.exists()]
        if there and not overwrite:
            raise BadInputError(f"{there[0]} exists; --overwrite replaces it, --resume continues")
        shutil.rmtree(self.folder, ignore_errors=True)
        for dataset in self.datasets:
            shutil.rmtree(get_dataset_path(dataset), ignore_errors=True)
        self.journal.write()

    def run(self) -> Dream:
        """Does all steps that are not done yet, and returns the dream that is kept."""
        take, steps = self.journal.take, self.journal.steps
        if take("record", self._record):
            self.say(f"recorded {steps['record']['transitions']:,} transitions: {steps['record']['dataset']}")
        if take("train", self._train):
            for line in steps["train"]["suits"]:
                self.say(line)
        if take("agent", lambda seconds: self._agent(1, seconds)):
            self.say(f"the agent returns {_chosen(steps['agent'])}")
        if steps["agent"]["success"] == 1.0 and "record more" not in steps:
            self.journal.skip(SECOND, "the first agent succeeds in reality every time")
        if not steps.get("record more", {}).get("skipped"):
            take("record more", self._record_more)
            take("train further", self._train_further)
            if take("agent again", lambda seconds: self._agent(2, seconds)):
                self.say(
                    f"after {steps['record more']['transitions']:,} more recorded steps {_chosen(steps['agent again'])}"
                )
        take("test", self._test)
        take("figures", self._figures)
        take("report", self._report)
        return Dream.load(self.output)

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """What was found of the agents so far."""
        found = (self.journal.steps.get(name) for name in ("agent", "agent again"))
        return [each for each in found if each and "reality" in each]

    def _record(self, seconds: float) -> dict[str, Any]:
        wanted, given = self.plan.transitions or MOST, self.plan.transitions is not None
        return self._recorded(0, self.plan.spec, wanted, wanted if given else min(LEAST, wanted), seconds)

    def _recorded(
        self, number: int, spec: RealitySpec, wanted: int, least: int, seconds: float, **by: Any
    ) -> dict[str, Any]:
        dataset_id = self.datasets[number]
        shutil.rmtree(get_dataset_path(dataset_id), ignore_errors=True)  # of an attempt that was killed
        part = "recording" if number == 0 else "the agent acts in reality"
        said = lambda done: self.progress(part, min(done, wanted), wanted)  # noqa: E731
        made = record(spec, dataset_id, wanted, self.plan.seed + number, said, seconds=seconds, least=least, **by)
        self.progress(part, int(made.total_steps), int(made.total_steps))
        summary = json.loads(made.storage.metadata["nova_gym"])["summary"]
        return {"dataset": dataset_id, "transitions": int(made.total_steps), "summary": summary}

    def _train(self, seconds: float) -> dict[str, Any]:
        began, plan, checkpoint = time.monotonic(), self.plan, self.folder / "train.ckpt"
        clips = self._read(0)
        suits = suiting_preset(clips, plan.preset, plan.memory, plan.outcomes)
        chosen = _seeded(replace(suits.preset, model=replace(suits.preset.model, control=None)), plan.seed)
        minutes = max(1e-3, (seconds - (time.monotonic() - began)) / 60.0)
        run = Run(checkpoint, self.folder / "curves", self.device, "no", checkpoint.exists(), self.progress, minutes)
        dream = train(clips, self.datasets[0], chosen, run)
        dream.save(self._dream_file(1))
        dream.save(self.output)
        checkpoint.unlink(missing_ok=True)
        config = dream.world_model.config
        return {
            "suits": suits.lines,
            "preset": chosen.name,
            "memory": config.memory,
            "outcomes": config.outcomes,
            "cells": list(dream.cells),
            "stages": dream.card.training["stages"],
        }

    def _train_further(self, seconds: float) -> dict[str, Any]:
        began, checkpoint = time.monotonic(), self.folder / "further.ckpt"
        parts = [self._read(number) for number in (0, 1)]
        chosen = _seeded(PRESETS[self.journal.steps["train"]["preset"]], self.plan.seed)
        minutes = max(1e-3, (seconds - (time.monotonic() - began)) / 60.0)
        run = Run(checkpoint, None, self.device, "no", checkpoint.exists(), _again(self.progress), minutes)
        dream = train_further(self._dream(1), parts, chosen, run)
        dream.save(self._dream_file(2))
        checkpoint.unlink(missing_ok=True)
        return {"stages": {"tuning": dream.card.training["tuned"][-1]}}

    def _agent(self, number: int, seconds: float) -> dict[str, Any]:
        dream = self._dream(number)
        further = None
        if number > 1 and encoder_digest(dream) == encoder_digest(self._dream(1)):  # states mean what they meant
            further = load_agent(self._agent_file(number - 1), dream, self.device)
        agent, curve = train_agent(
            dream,
            seed=self.plan.seed + number - 1,
            device=self.device,
            output=self._agent_file(number),
            log_dir=self.folder / "curves",
            evaluations=EVALUATIONS,
            episodes=self._episodes(EVALUATING * seconds, longest_episode(dream), 8, 64),
            minutes=max(1e-3, seconds / 60.0),
            agent=further,
            progress=self.progress if number == 1 else _again(self.progress),
        )
        save_agent(agent, self._agent_file(number), dream)
        return {"algorithm": type(agent).__name__, **_best(curve)}

    def _record_more(self, seconds: float) -> dict[str, Any]:
        dream, rng = self._dream(1).to(self.device), self.plan.seed + 1
        agent = load_agent(self._agent_file(1), dream, self.device)
        agent.set_random_seed(rng)
        act = as_policy(agent)
        made = lambda: RealityEnv(dream, "latent")  # noqa: E731
        spec, led = reality_of(dream).spec, dream.world_model.has_memory
        least = min(LEAST // 2, self.journal.steps["record"]["transitions"])
        return self._recorded(1, spec, MORE, least, seconds, policy=act, random=RANDOM, make=made, led=led)

    def _test(self, seconds: float) -> dict[str, Any]:
        """Plays the agent that is kept, on seeds that nothing else used."""
        kept = max((1, 2)[: len(self.rounds)], key=lambda number: (self.rounds[number - 1]["reality"], number))
        dream = self._dream(kept)
        agent = load_agent(self._agent_file(kept), dream, self.device)
        modes = MODES if dream.world_model.config.discrete else ("deterministic",)
        episodes = self._episodes(0.8 * seconds / len(modes), longest_episode(dream), 8, 100)
        tested = evaluate_agent(agent, dream.to(self.device), episodes, self.plan.seed, modes, self.progress).to_dict()
        chance = play_at_random(dream, 100, self.plan.seed, max(0.2 * seconds, CHANCE))
        dream.card.scores = {**dream.card.scores, "agent": tested, "random play": chance}
        dream.save(self.output)
        save_agent(agent, self.agent_file, dream)
        return {"kept": kept, "agent": tested, "random play": chance}

    def _figures(self, seconds: float) -> dict[str, Any]:
        dream = Dream.load(self.output)
        cost = 4 * OPEN_LOOP + DRAWN * dream.is_random
        episodes = self._episodes(seconds, cost, 4, 64)
        try:
            report = evaluate(dream.to(self.device), episodes, OPEN_LOOP, self.plan.seed, progress=self.progress)
            found = report.to_dict()
        except BadInputError as error:  # of this environment they cannot be had
            found = {"not measured": str(error)}
        dream.card.scores = {**dream.card.scores, "figures": found}
        dream.save(self.output)
        return {"figures": found}

    def _report(self, seconds: float) -> dict[str, Any]:
        dream = Dream.load(self.output)
        agent = load_agent(self.agent_file, dream, "cpu")
        write_report(self.report_file, dream, agent, self.journal.steps, self.plan, self.folder)
        return {}

    def _episodes(self, seconds: float, steps: int, least: int, most: int) -> int:
        """How many real episodes of so many steps fit into a time, as fast as the first recording was."""
        recorded = self.journal.steps["record"]
        rate = recorded["transitions"] / max(recorded["seconds"], 0.1)
        return int(min(max(rate * seconds / steps, least), most))

    def _read(self, number: int) -> Clips:
        if number not in self._clips:
            said = lambda done, total: self.progress("reading", done, total)  # noqa: E731
            self._clips[number] = load_dataset(self.datasets[number], progress=said)
        return self._clips[number]

    def _dream(self, number: int) -> Dream:
        return Dream.load(self._dream_file(number))

    def _dream_file(self, number: int) -> Path:
        return self.folder / f"dream-{number}.safetensors"

    def _agent_file(self, number: int) -> Path:
        return self.folder / f"agent-{number}.safetensors"


def dream_of(
    env_fn: str | Callable[..., gym.Env],
    minutes: float = 30.0,
    output: str | Path | None = None,
    seed: int = 0,
    *,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[str | Callable[[gym.Env], gym.Env]] = (),
    size: int | tuple[int, int] | None = None,
    transitions: int | None = None,
    preset: str | None = None,
    memory: int | None = None,
    outcomes: int | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = lambda part, done, total, text="": None,
    say: Callable[[str], None] = lambda text: None,
) -> Dream:
    """Dreams an environment: records it, trains a dream and an agent in it, tests both in reality, reports.

    The agent then acts in reality for some thousand steps, among random actions. The dream learns from those too, and
    an agent is trained again. Where the dream has memory, the agent leads, and random actions alone are recorded. Of
    both dreams the one is kept whose agent does better in reality.

    Args:
        env_fn: id of an environment, or a class or function that makes it, as `reality_spec` takes it.
        minutes: of wall clock for all of it, within about a tenth. In a few minutes a dream is rough.
        output: file of the dream, `*.safetensors`. Beside it come the agent (.policy.safetensors), a report
            (.md) and a folder (.dream). None for the dream alone, without any file.
        seed: of everything random.
        env_kwargs, wrappers, size: as in `reality_spec`.
        transitions: of the first recording; None for what a tenth of the time allows, 40,000 at most.
        preset, memory, outcomes: as in `suiting_preset`, None for what suits the recording.
        device: `auto`, `cpu`, `cuda` …
        resume: continue an interrupted run of the same output.
        overwrite: replace an earlier run of the same output.
        progress: called as `progress(part, done, total, text)`.
        say: called with a sentence now and then.

    Returns:
        The dream that is kept. `card.scores` has what its agent reached, and how true the dream is.

    Raises:
        BadInputError: the environment cannot be dreamt (`reality_spec`), an argument is unknown or out of range, or
            files are in the way.
        KeyboardInterrupt: it was interrupted; `resume` continues.
    """
    spec = reality_spec(env_fn, size, env_kwargs, wrappers)
    if about := about_grid(spec):
        say(f"{about}; a size that is given is taken instead")
    plan = Plan(spec, float(minutes), seed, transitions, preset, memory, outcomes)
    if output is not None:
        dreaming = Dreaming(plan, Path(output), device, progress, say)
        if dreaming.output.suffix != ".safetensors":
            raise BadInputError(f"a dream's file ends in .safetensors, unlike {output}")
        dreaming.prepare(resume, overwrite)
        return dreaming.run()
    if resume:
        raise BadInputError("only a run with an output can be resumed")
    with tempfile.TemporaryDirectory() as folder:
        dreaming = Dreaming(plan, Path(folder) / "my.safetensors", device, progress, say)
        try:
            dreaming.prepare(resume=False, overwrite=True)
            return dreaming.run()
        finally:
            for dataset in dreaming.datasets:
                shutil.rmtree(get_dataset_path(dataset), ignore_errors=True)


def _seeded(preset: Preset, seed: int) -> Preset:
    return replace(preset, training=replace(preset.training, seed=seed))


def _again(progress: Progress) -> Progress:
    """The bars of the second round are its own."""
    return lambda part, done, total, text="": progress(f"{part}, again", done, total, text)


def _best(curve: Curve) -> dict[str, Any]:
    best = curve.best
    return {
        "steps": best.steps,
        "dream": best.dream,
        "reality": best.reality,
        "success": best.success,
        "gap": best.gap,
        "points": [asdict(point) for point in curve.points],
    }


def _chosen(found: dict[str, Any]) -> str:
    return f"{found['dream']:.4g} in the dream and {found['reality']:.4g} in reality"
