"""The score of a row: what an agent reached in reality, on the scale that its target is of."""

from __future__ import annotations

from typing import Any

from nova_gym.agents import normalised_score
from nova_gym.benchmarks.suite.rows import Row
from nova_gym.errors import BadInputError

Figure = dict[str, Any]

#: The name, in an agent's report, of always taking the likeliest action.
LIKELIEST = "deterministic"


def scored(row: Row, agent: dict[str, Any], references: dict[str, Any] | None) -> dict[str, Any]:
    """What an agent reached, with its `mode`, what it reached in `reality` by that, and its `score`; JSON-ready.

    The dream alone chooses the way to act: the likeliest actions, unless drawn ones bring more there.

    Args:
        row: of the suite.
        agent: as `AgentReport.to_dict` has it.
        references: as in `score_of`.
    """
    modes = agent["modes"]
    mode = max(modes, key=lambda name: (modes[name]["dream"]["return"]["value"], name == LIKELIEST))
    chosen = {**agent, "mode": mode, "reality": modes[mode]["reality"]}
    return {**chosen, "score": score_of(row, chosen, references)}


def score_of(row: Row, agent: dict[str, Any], references: dict[str, Any] | None) -> dict[str, Any]:
    """The score of an agent, JSON-ready.

    Args:
        row: of the suite.
        agent: what it reached in `reality`, as `AgentReport.to_dict` has it.
        references: as `nova_gym.benchmarks.suite.references.references` gives them; None if they are not known.

    Returns:
        `measure`, `target`, `goal`, `figure` with its interval, None where a reference is missing; `normalised`, where
        0 is acting at random and 1 the teacher or the best policy, None likewise; and `met`, None without a target.
    """
    known, reached = references or {}, agent["reality"]
    best = known.get("best")
    one = best if best is not None else known.get("teacher", {}).get("return", {}).get("value")
    zero = known.get("random", {}).get("return", {}).get("value")
    normalised = None if one is None or zero is None else _scaled(reached["return"], zero, one)
    figure = {
        "success": reached.get("success"),
        "return": reached["return"],
        "best return": reached["return"],
        "share of the best": _scaled(reached["return"], 0.0, best) if best else None,
        "normalised": normalised,
    }[row.measure]
    target = best if row.measure == "best return" else row.target
    reach = figure and figure["high" if row.measure == "best return" else "value"]  # the best of other starts
    met = None if figure is None or target is None else reach >= target - 1e-9 * abs(target)
    scored = {"measure": row.measure, "target": target, "goal": target if row.goal is None else row.goal}
    return {**scored, "figure": figure, "normalised": normalised, "random": known.get("random"), "met": met}


def _scaled(figure: Figure, zero: float, one: float) -> Figure | None:
    """A figure on the scale of `normalised_score`; None where there is no scale."""
    try:
        values = [normalised_score(figure[key], zero, one) for key in ("value", "low", "high")]
    except BadInputError:
        return None
    return {"value": values[0], "low": min(values[1:]), "high": max(values[1:]), "n": figure["n"]}
