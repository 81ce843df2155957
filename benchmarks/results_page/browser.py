"""How fast a dream's page is in a browser."""

from __future__ import annotations

from nova_gym.benchmarks.results_page.reading import Results, Target, measured
from nova_gym.benchmarks.tables import table

HEADING = "## In the browser"
#: What is promised where the CPU alone draws.
_TARGETS = {"steps": Target(60), "whole frames at 512×512": Target(30), "steps, each drawn at 512×512": Target(30)}


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    rows = []
    for name, target in _TARGETS.items():
        figure = results.at("web", "a second", name)
        rows.append((name, str(target), measured({**figure, "value": figure["median"]}, ".0f", target=target)))
    return [
        HEADING,
        "What `nova-gym export` writes, in headless Chromium without a graphics card: SwiftShader draws on the CPU. In "
        "a step only cells that changed are drawn; a whole frame is what zooming asks for. Brackets hold the least and "
        "the largest of the rounds.",
        results.source("web"),
        table(("a second", "target", "measured"), rows),
    ]
