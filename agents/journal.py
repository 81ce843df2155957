"""What is asked for where an environment is dreamt, and what of it is done, in a file."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nova_gym.envs import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.files import write_json
from nova_gym.tensor_file import DAMAGED, first_line
from nova_gym.training import PRESETS

#: What each step gets of the time, relative to the steps that are still to come.
SHARES = {
    "record": 0.10,
    "train": 0.27,
    "agent": 0.12,
    "record more": 0.05,
    "train further": 0.22,
    "agent again": 0.14,
    "test": 0.06,
    "figures": 0.03,
    "report": 0.01,
}


@dataclass(frozen=True)
class Plan:
    """What is asked for; a run is resumed only with the same.

    Attributes:
        spec: the environment and its frames.
        minutes: of wall clock, all steps together.
        seed: of everything random.
        transitions: of the first recording; None for what the time allows.
        preset, memory, outcomes: as `suiting_preset` takes them.
    """

    spec: RealitySpec
    minutes: float
    seed: int = 0
    transitions: int | None = None
    preset: str | None = None
    memory: int | None = None
    outcomes: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.minutes < math.inf:
            raise BadInputError(f"minutes must be more than 0, not {self.minutes}")
        if self.transitions is not None and self.transitions < 1:
            raise BadInputError(f"at least 1 transition has to be recorded, not {self.transitions}")
        if self.preset is not None and self.preset not in PRESETS:
            raise BadInputError(f"unknown preset {self.preset!r}; there are {', '.join(PRESETS)}")


@dataclass
class Journal:
    """What is done of a plan, in a file, so that the rest can be done later.

    Attributes:
        path: of the file.
        plan: that is followed.
        steps: by name, what was found in each step that is finished, with its `seconds`.
        begun: by name, seconds spent on steps that were interrupted.
    """

    path: Path
    plan: Plan
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)

    def read(self) -> None:
        """Takes over what the file says.

        Raises:
            BadInputError: there is no such file, or it belongs to another plan.
        """
        try:
            saved = json.loads(self.path.read_text())
            plan, self.steps, self.begun = dict(saved["plan"]), saved["steps"], saved["begun"]
            if not all(math.isfinite(step["seconds"]) for step in self.steps.values()):
                raise ValueError("it does not say how long steps took")
            if not all(name in SHARES and math.isfinite(seconds) for name, seconds in self.begun.items()):
                raise ValueError("it does not say how long steps took")
        except (OSError, RecursionError, *DAMAGED) as error:
            raise BadInputError(f"nothing to resume: {self.path} cannot be read: {first_line(error)}") from error
        now = json.loads(json.dumps(asdict(self.plan)))
        differing = [key for key, value in now.items() if plan.get(key) != value]
        if differing:
            raise BadInputError(
                f"{self.path.parent} belongs to another run (it differs in {', '.join(differing)}); resume with the "
                "options it was started with, or --overwrite it"
            )

    def write(self) -> None:
        """Writes the file."""
        write_json(self.path, {"plan": asdict(self.plan), "steps": self.steps, "begun": self.begun})

    def seconds_for(self, name: str) -> float:
        """Seconds for a step: its share of those that were left before it began."""
        coming = sum(SHARES[step] for step in SHARES if step not in self.steps)
        spent = sum(step["seconds"] for step in self.steps.values())
        return max(0.0, 60.0 * self.plan.minutes - spent) * SHARES[name] / coming

    def take(self, name: str, work: Callable[[float], dict[str, Any]]) -> bool:
        """Does a step, unless it is done; whether it was done now.

        Args:
            name: of the step.
            work: called with the seconds that it may take; gives what it found, JSON-ready.
        """
        if name in self.steps:
            return False
        began, before = time.monotonic(), self.begun.get(name, 0.0)
        try:
            found = work(self.seconds_for(name))
        except BaseException:
            self.begun[name] = before + time.monotonic() - began
            self.write()
            raise
        self.steps[name] = {"seconds": round(before + time.monotonic() - began, 1), **found}
        self.write()
        return True

    def skip(self, names: Sequence[str], why: str) -> None:
        """Notes that steps are left out; their time goes to the others."""
        for name in names:
            self.steps.setdefault(name, {"seconds": 0.0, "skipped": why})
        self.write()
