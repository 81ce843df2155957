"""Dreams of other environments, and agents that learned in them, as `nova_gym.benchmarks.suite` found them."""

from __future__ import annotations

import json
from typing import Any

from nova_gym.benchmarks.results_page.reading import Results
from nova_gym.benchmarks.sources import RESULTS
from nova_gym.benchmarks.suite.memory import MEMORY, OLDER_MEMORY
from nova_gym.benchmarks.suite.rows import ROWS, Row
from nova_gym.benchmarks.tables import interval, number, short, table
from nova_gym.errors import BadInputError

HEADING = "## Other environments"
_COMMAND = "python -m nova_gym.benchmarks.suite"
_MISSING = "not measured"
#: GB that a row may take at most.
MEMORY_TARGET = 3.0
#: How the measure of a score is told.
_WORDS = {
    "success": "success",
    "return": "return",
    "share of the best": "return, as a share of the best policy's",
    "best return": "return, against the best policy's",
    "normalised": "normalised return",
}


def section(results: Results) -> list[str]:
    """Blocks of Markdown; rows that were not measured say so."""
    known = {name: _read(results, name) for name in ROWS}
    return [
        HEADING,
        f"One command, `{_COMMAND}`, records each environment, trains a dream with the preset that suits the "
        "recording, trains an agent in the dream, and tests both in reality. One JSON a row lies in "
        f"`{RESULTS}/suite`. Evaluations in reality choose which version of the agent is kept; the dream alone chooses "
        "between drawing actions and taking the likeliest, which win a tie.",
        "### Agents that learned in the dream alone, in reality",
        "A normalised return is 0 for random play. It is 1 for the same algorithm trained in reality to the end, on "
        "the environment's own state, or for the best policy where that can be computed.",
        _agents(known),
        *_improved(known),
        "### Open loop",
        "The dream hears the first true steps of an episode, then goes on by the same actions alone. PSNR in dB over "
        "the pixels that move, after 1, 10 and 50 steps; beside it that of *standing still* (the last true frame) and "
        "that of the true frame, encoded and *drawn*. An end is right if it comes within 2 steps of the true one. The "
        "error of the return is divided by the spread of the true returns.",
        _open_loop(known),
        *_chance(known),
        "### What it took",
        "Memory is the most that a process of a row held. Pages of a mapped file, which the system takes back when it "
        'needs them, are not counted; older figures count them, and say "at most".',
        _cost(known),
        *_pictures(known),
    ]


def _read(results: Results, name: str) -> dict[str, Any] | None:
    path = results.folder / "suite" / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError as error:
        raise BadInputError(f"{path} is not JSON ({error}): `{_COMMAND} {name}` makes it") from error


def _agents(known: dict[str, dict[str, Any] | None]) -> str:
    columns = ("environment", "tests", "score", "target", "goal", "measured", "normalised", "random play")
    return table(columns, (_agent(ROWS[name], found, "dream alone") for name, found in known.items()))


def _improved(known: dict[str, dict[str, Any] | None]) -> list[str]:
    rows = [
        _agent(ROWS[name], found, "improved")
        for name, found in known.items()
        if found and "improved" in found["scores"]
    ]
    columns = ("environment", "tests", "score", "target", "goal", "measured", "normalised", "random play")
    return [
        *(["Agents of dreams that were improved by at most 20,000 steps of the agent in reality:"] if rows else []),
        *([table(columns, rows)] if rows else []),
    ]


def _agent(row: Row, found: dict[str, Any] | None, which: str) -> tuple[str, ...]:
    words = _WORDS[row.measure]
    if found is None:
        return row.env_id, row.tests, words, _bound(row.target), _bound(row.goal), _MISSING, "", ""
    scored = found["scores"][which]["score"]
    figure, random = scored["figure"], scored["random"]
    text = _MISSING if figure is None else interval(figure, _form(figure))
    missed = "**missed:** " if scored["met"] is False else ""
    played = None if random is None else random["success" if row.measure == "success" else "return"]
    return (
        row.env_id,
        row.tests,
        words,
        _bound(scored["target"]),
        _bound(scored["goal"]),
        missed + text,
        "–" if scored["normalised"] is None else interval(scored["normalised"], ".2f"),
        _MISSING if played is None else number(played["value"], _form(played)),
    )


def _bound(bound: float | None) -> str:
    return "–" if bound is None else f"≥ {bound:g}"


def _form(figure: dict[str, Any]) -> str:
    """Digits that suit the size of a figure."""
    return ".3f" if abs(figure["value"]) < 2 else ".1f"


def _open_loop(known: dict[str, dict[str, Any] | None]) -> str:
    rows = []
    for name, found in known.items():
        if found is None:
            rows.append((ROWS[name].env_id, _MISSING, *[""] * 5))
            continue
        heard = found["open-loop"]["whole episodes"]
        steps = [_frames(heard["frames"].get(step)) for step in ("1", "10", "50")]
        near, error = heard["endings"].get("near"), heard["returns"].get("relative error")
        rows.append((ROWS[name].env_id, *steps, interval(near, ".2f"), interval(error, ".2f"), str(near["n"])))
    columns = ("environment", *(f"after {step}: dream / still / drawn" for step in ("1", "10", "50")))
    return table((*columns, "ends right", "error of the return", "episodes"), rows)


def _frames(row: dict[str, Any] | None) -> str:
    figures = ((row or {}).get(name) for name in ("dream", "standing still", "drawn"))
    return " / ".join("–" if figure is None else number(figure["value"], ".1f") for figure in figures)


def _chance(known: dict[str, dict[str, Any] | None]) -> list[str]:
    rows = []
    for name, found in known.items():
        chance = found and found["open-loop"].get("chance")
        if chance and chance["measures"]:
            told = [chance["measures"].get(m) for m in ("total variation", "none of the real outcomes", "endings")]
            pairs = (f"{interval(each['dream'])} / {number(each['reality again']['value'])}" for each in told)
            error = chance["calibration_error"]
            rows.append(
                (ROWS[name].env_id, *pairs, "–" if error is None else number(error), chance["settings"].get("note", ""))
            )
    if not rows:
        return []
    columns = ("environment", "total variation", "none of the real outcomes", "share of endings", "calibration", "note")
    return [
        "### Chance",
        "The same step, many times in reality and in the dream: how far the shares of the outcomes are apart, how many "
        "frames show none of the real outcomes, how far shares of endings are apart; behind the stroke the same for as "
        "many other draws of reality. Calibration is the mean difference of predicted and seen probability.",
        table(columns, rows),
    ]


def _cost(known: dict[str, dict[str, Any] | None]) -> str:
    rows = []
    for name, found in known.items():
        if found is None:
            rows.append((ROWS[name].env_id, _MISSING, *[""] * 6))
            continue
        parts = found["parts"]
        minutes = [number(parts[part]["seconds"] / 60, ".1f") for part in ("record", "train", "agent")]
        trained = found["train"]
        has = ", ".join(word for word in ("memory", "outcomes") if trained[word]) or "neither"
        transitions, size = f"{found['record']['transitions']:,}", f"{short(trained['size in MB'], 2)} MB"
        rows.append((ROWS[name].env_id, transitions, *minutes, _memory(parts), size, has))
    columns = (
        "environment",
        "transitions",
        "minutes to record",
        "to train",
        "of the agent",
        f"most memory (target ≤ {MEMORY_TARGET:.0f} GB)",
        "dream",
        "has",
    )
    return table(columns, rows)


def _memory(parts: dict[str, dict[str, float]]) -> str:
    """The most memory of a row's parts; at most so much where that is an older figure."""
    each = [(part.get(name, 0.0) / 1000, name) for part in parts.values() for name in (MEMORY, OLDER_MEMORY)]
    most, name = max(each)
    if name == OLDER_MEMORY:
        return f"at most {most:.1f} GB"
    return f"{'**missed:** ' if most > MEMORY_TARGET else ''}{most:.1f} GB"


def _pictures(known: dict[str, dict[str, Any] | None]) -> list[str]:
    shown = [name for name, found in known.items() if found is not None]
    lines = [f"![{ROWS[name].env_id}: reality above, dream below](suite/{name}.png)" for name in shown]
    return ["### Side by side", "Reality above, the dream below.", *lines] if lines else []
