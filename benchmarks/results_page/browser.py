"""How fast a dream's page is in a browser."""

from __future__ import annotations

from nova_gym.benchmarks.results_page.reading import Results, Target, measured
from nova_gym.benchmarks.tables import table

HEADING = "## In the browser"
#: What is promised where the CPU alone draws: of steps, and of whatever is drawn.
_STEPS, _DRAWN = Target(60), Target(30)


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    rows = []
    for name, figure in results.at("web", "a second").items():
        target = _STEPS if name == "steps" else _DRAWN
        rows.append((name, str(target), measured({**figure, "value": figure["median"]}, ".0f", target=target)))
    return [
        HEADING,
        "What `nova-gym export` writes, in headless Chromium without a graphics card: SwiftShader draws on the CPU. In "
        "a step only cells that changed are drawn; a whole frame is what zooming asks for. Brackets hold the least and "
        "the largest of the rounds.",
        results.source("web"),
        table(("a second", "target", "measured"), rows),
    ]
