"""Whether a dream knows where it is wrong."""

from __future__ import annotations

from nova_gym.benchmarks.results_page.reading import Results, Target, measured, where_measured
from nova_gym.benchmarks.tables import table

HEADING = "## Doubt"
_PARTS = {
    "a": "official levels",
    "b": "levels with things that the recording did not show",
    "c": "strange frames: noise, shifted, recoloured, half covered",
    "d": "dreams of a tenth and of a hundredth of the recording",
    "e": "long roll-outs of a dream that trained far too briefly",
    "f": "a dream of another environment (CartPole, that ships)",
    "g": "steps left to chance, wrong where reality never leads there",
    "pooled": "(a) to (f) together",
}
_TARGETS = {
    "auroc": Target(0.95),
    "calibration error": Target(high=0.05),
    "false alarms": Target(high=0.001),
}
_COST = Target(high=0.1)
_CLOSED, _MENDED = Target(0.5), Target(0.97)
_WITHOUT, _FLAWLESS = "ignore", "in the dream that ships"


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    found, rows = results.at("doubt", "doubt"), []
    for part, words in _PARTS.items():
        if part in found:
            values = found[part]
            alarms = _TARGETS["false alarms"] if part == "a" else None
            rows.append(
                (
                    part if part == "pooled" else f"({part})",
                    words,
                    f"{values['steps']:,}",
                    measured(values["wrong"]),
                    measured(values.get("auroc"), target=_TARGETS["auroc"]) if "auroc" in values else "one kind alone",
                    measured(values["calibration error"], target=_TARGETS["calibration error"]),
                    measured(values.get("false alarms"), ".4f", target=alarms) if "false alarms" in values else "–",
                )
            )
    return [
        HEADING,
        '`info["doubt"]` is the probability that this frame, its reward or its ending is wrong. Dreams and real '
        "environments take the same actions from the same starts. A false alarm is a right step with a doubt above 1/2."
        f" Targets: AUROC {_TARGETS['auroc']}, calibration error {_TARGETS['calibration error']}, false alarms of (a) "
        f"{_TARGETS['false alarms']}.",
        results.source("doubt"),
        table(("", "what", "steps", "wrong", "AUROC", "calibration error", "false alarms"), rows),
        *_cost(results),
        *where_measured(_use, results, "### In use"),
    ]


def _cost(results: Results) -> list[str]:
    """How much longer a step takes; nothing in figures that were measured before that was."""
    if "cost" not in (whole := results.at("doubt")):
        return []
    cost = whole["cost"]
    said = measured(cost["slower by"], ".1%", target=_COST)
    between = f"half of the rounds between {cost['low']:.1%} and {cost['high']:.1%}"
    return [
        f"A step of {cost['batch']} dreams takes {cost['ms without']:.2f} ms without doubt and {said} longer with it "
        f"({between}), both in turns; at most {_COST.high:.0%} is the target."
    ]


def _use(results: Results) -> list[str]:
    """What doubt is good for: agents in a flawed dream, and how that is mended."""
    agents, rounds = results.at("doubt-use", "agents"), results.at("doubt-use", "improve")
    flawed = results.at("doubt-use", "flawed dream")
    success = {name: row["reality"]["success"] for name, row in agents.items()}
    lost = success[_FLAWLESS]["value"] - success[_WITHOUT]["value"]
    rows = []
    for name, figure in success.items():
        closed = None
        if name not in (_WITHOUT, _FLAWLESS) and lost > 0.0:
            closed = (figure["value"] - success[_WITHOUT]["value"]) / lost
        said = measured(closed, ".2f", target=_CLOSED) if closed is not None else "–"
        rows.append((name, measured(figure), measured(agents[name]["dream"]["success"]), said))
    best = max(range(len(rounds)), key=lambda k: rounds[k]["agent"]["reality"]["success"]["value"])
    mended = [
        (
            f"{k + 1}",
            measured(each["agent"]["reality"]["success"], target=_MENDED if k == best else None),
            measured(each["wrong before"], ".4f"),
            "yes" if each["accepted"] else "no",
        )
        for k, each in enumerate(rounds)
    ]
    return [
        "### In use",
        f"PPO learns in a flawed dream: {flawed}. `truncate` ends an episode before a step that is more likely wrong "
        "than right, `penalise` makes its reward smaller. The gap is what the agent of `ignore` lacks against one that "
        f"learned {_FLAWLESS}; doubt is to close {_CLOSED} of it.",
        results.source("doubt-use"),
        table(("doubt", "success in reality", "success in its dream", "share of the gap closed"), rows),
        "`improve` mends it by what its agent meets in at most 4,000 real steps a round, and begins every other "
        f"episode where it doubts most. The agent of a round learned in the dream before it. Target: {_MENDED} within "
        "3 rounds.",
        table(("round", "success in reality", "share of transitions that the dream got wrong", "mended"), mended),
    ]
