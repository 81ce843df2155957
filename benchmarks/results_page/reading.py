"""Reading the files of figures, and saying what was measured, against which target, on what."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nova_gym.benchmarks.provenance import DOUBT_VERSION, MEASURED_ON, WITH_DOUBT, fingerprint
from nova_gym.benchmarks.sources import SOURCES, command_of, file_of
from nova_gym.benchmarks.tables import interval, number, table
from nova_gym.dream import Dream, shipped_dreams
from nova_gym.errors import BadInputError
from nova_gym.model import doubt


@dataclass(frozen=True)
class Target:
    """What a value should be: a goal, set beforehand, and no measurement.

    Attributes:
        low, high: bounds. Where they are equal, the target is met if the 95 % interval holds that number.
        unit: of both.
    """

    low: float = -math.inf
    high: float = math.inf
    unit: str = ""

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.low == self.high:
            return f"{self.low:g}{unit}"
        if math.isinf(self.high):
            return f"≥ {self.low:g}{unit}"
        if math.isinf(self.low):
            return f"≤ {self.high:g}{unit}"
        return f"{self.low:g} to {self.high:g}{unit}"

    def is_met(self, figure: dict[str, Any] | float) -> bool:
        """Whether a figure, with its interval or without one, is within the bounds."""
        known = figure if isinstance(figure, dict) else {"value": figure, "low": figure, "high": figure}
        if self.low == self.high:
            return known["low"] <= self.low <= known["high"]
        return self.low <= known["value"] <= self.high


def measured(
    figure: dict[str, Any] | float | None, form: str = ".3f", unit: str = "", target: Target | None = None
) -> str:
    """A figure as text, and `missed` where it is not what it should be."""
    if isinstance(figure, dict) or figure is None:
        text = interval(figure, form, unit)
    else:
        text = number(figure, form) + f" {unit}" * bool(unit)
    return f"**missed:** {text}" if target and figure is not None and not target.is_met(figure) else text


def row(
    what: str, target: Target | None, figure: dict[str, Any] | float | None, form: str = ".3f", unit: str = ""
) -> tuple[str, str, str]:
    """Cells of a table `what | target | measured`."""
    return what, "–" if target is None else str(target), measured(figure, form, unit, target)


def goals(rows: list[tuple[str, str, str]]) -> str:
    """The table of such rows."""
    return table(("", "target", "measured"), rows)


class NotMeasured(BadInputError):
    """A file of figures is missing: what it holds was not measured on the dreams that ship now."""


def where_measured(part: Callable[[Results], list[str]], results: Results, heading: str = "") -> list[str]:
    """The blocks of a part of the page; where its file is missing, a line that names the command, below a heading."""
    try:
        return part(results)
    except NotMeasured as error:
        return [*([heading] if heading else []), f"Not measured on the dreams that ship now. {error}."]


class Results:
    """The files of figures in a folder, each read when it is first asked for."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.files: dict[str, Any] = {}

    def at(self, name: str, *keys: str | int) -> Any:
        """What stands in a file under keys, one in the other.

        Args:
            name: of the file, without `.json`.
            keys: of objects, or places in lists.

        Raises:
            BadInputError: there is no such file, it is no JSON, or it holds no such figure.
        """
        path, made_by = self.folder / f"{name}.json", f"`{command_of(name)}` makes it"
        if name not in self.files:
            try:
                self.files[name] = json.loads(path.read_text(encoding="utf-8"))
            except OSError as error:
                raise NotMeasured(f"{path.name} cannot be read ({error.strerror or error}): {made_by}") from error
            except ValueError as error:
                raise BadInputError(f"{path} is not JSON ({error}): {made_by}") from error
        value = self.files[name]
        for depth, key in enumerate(keys):
            try:
                value = value[key]
            except (LookupError, TypeError) as error:
                where = " → ".join(map(str, keys[: depth + 1]))
                raise BadInputError(f"{path} holds no {where!r}: {made_by} anew") from error
        return value

    def bench(self, title: str, name: str) -> dict[str, Any]:
        """A figure of `nova-gym bench`, with `value` and `ratio`.

        Raises:
            BadInputError: as `at`.
        """
        found = [figure for figure in self.at("bench", title) if figure["name"] == name]
        if not found:
            raise BadInputError(
                f"{self.folder / 'bench.json'} holds no {name!r} in {title!r}: run `nova-gym bench` anew"
            )
        return found[0]

    def source(self, *names: str) -> str:
        """Markdown that says which commands wrote files, and what these were measured on."""
        lines = [
            f"`{command_of(name)}`: [{name}.json](../{file_of(name)}), measured on {self._measured_on(name)}."
            for name in names
        ]
        return "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else f"By {lines[0]}"

    def _measured_on(self, name: str) -> str:
        """What the file says itself, and where it does not, what is known of it."""
        values, source = self.at(name), SOURCES[name]
        known = values.get(MEASURED_ON, {}) if isinstance(values, dict) else {}
        dream = known.get("dream")
        parts = [_dream_in_words(dream, source.doubts) if dream else source.dream]
        machine = _machine_in_words(known) if known.get("machine") else source.machine
        return ", ".join(part for part in (*parts, f"on {machine}" if machine else "", known.get("date", "")) if part)


@functools.cache
def shipped(name: str) -> Dream:
    """A dream that ships; read once."""
    return Dream.load(name)


@functools.cache
def _fingerprints(doubts: bool) -> dict[str, str]:
    """Names of the dreams that ship, by fingerprint, with their doubt or without."""
    return {fingerprint(name, doubts): name for name in shipped_dreams()}


def _dream_in_words(dream: dict[str, Any], doubts: bool) -> str:
    sha = next(value for key, value in dream.items() if key.startswith("sha256"))
    said = f"a dream `{dream['name']}` whose tensors have the SHA-256 {sha[:12]}…, not one that ships"
    old = doubts and dream.get(DOUBT_VERSION) != doubt.VERSION
    if sha in (ships := _fingerprints(False)):
        said = f"the dream `{ships[sha]}` that ships"
        old = old or (doubts and dream.get(WITH_DOUBT) not in _fingerprints(True))
    return f"{said}, **with an earlier doubt: to be measured again**" if old else said


def _machine_in_words(known: dict[str, Any]) -> str:
    machine, versions = known["machine"], known.get("versions", {})
    words = [str(machine["processor"])]
    for key, text in (("cores", "{} cores"), ("threads", "{} threads"), ("vectors", "{}"), ("accelerator", "{}")):
        if machine.get(key):
            words.append(text.format(machine[key]))
    if "torch" in versions:
        words.append(f"PyTorch {versions['torch']}")
    return f"{words[0]} ({', '.join(words[1:])})" if words[1:] else words[0]
