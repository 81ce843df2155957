"""Whether a dream knows where it is wrong."""

from __future__ import annotations

from nova_gym.benchmarks.results_page.reading import Results, Target, measured
from nova_gym.benchmarks.tables import table

HEADING = "## Doubt"
_PARTS = {
    "a": "official levels",
    "b": "levels with things that the recording did not show",
    "c": "strange frames: noise, shifted, recoloured, half covered",
    "d": "a dream of a tenth of the recording",
    "e": "long roll-outs of a dream that trained too briefly",
    "f": "a dream of another environment",
    "g": "steps left to chance, wrong where reality never leads there",
    "pooled": "(a) to (f) together",
}
_TARGETS = {
    "auroc": Target(0.95),
    "calibration error": Target(high=0.05),
    "false alarms": Target(high=0.001),
}


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
    ]
