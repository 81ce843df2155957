"""Steps and frames per second of a dream's page in a browser: `python -m nova_gym.benchmarks.web --json FILE`."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nova_gym.benchmarks.browser import PAINTER, chromium
from nova_gym.benchmarks.provenance import write_results
from nova_gym.dream import Dream
from nova_gym.web import level_of, write_page

RESOLUTION = 512
_STEPS = """
    const s = nova.session, began = performance.now();
    let made = 0;
    for (; performance.now() - began < 1000 * arguments[0]; made++) {
        if (s.now.ended || !made) s.begin(0, 0);
        s.acts ? s.act(made % s.card.config.actions) : s.goOn();
    }
    return 1000 * made / (performance.now() - began);"""
_FRAMES = f"""
    {PAINTER}
    const pixel = new Uint8Array(4), {{gl}} = painter;
    const finish = () => gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);  // waits until all is drawn
    const whole = arguments[2], s = nova.session;
    draw(s.now.state), finish();  // compiles the shader
    const began = performance.now();
    let made = 0;
    for (; performance.now() - began < 1000 * arguments[1]; made++) {{
        if (whole) painter.forget();
        else if (s.now.ended) s.begin(0, 0);
        else s.acts ? s.act(made % s.card.config.actions) : s.goOn();
        draw(s.now.state), finish();
    }}
    return 1000 * made / (performance.now() - began);"""


def measure_page(dream: Dream, rounds: int, seconds: float) -> dict[str, list[float]]:
    """What the page of a dream does a second, drawn by the CPU alone.

    Args:
        dream: shown in the page.
        rounds: turns of each measurement.
        seconds: length of a turn.

    Returns:
        For each round: steps by JavaScript; whole frames; steps of which each is drawn, so that only cells that changed
        are; and, if there is such a size below, whole frames in which cells are whole pixels, as in the page's own
        picture, so that cells that are alike are drawn once.

    Raises:
        BadInputError: there is no Chromium here.
    """
    with tempfile.TemporaryDirectory() as folder, chromium() as driver:
        page = Path(folder) / "dream.html"
        write_page(page, dream, [level_of(dream)])
        driver.get(page.as_uri())
        driver.execute_script("nova.driving = ''")
        frames, (rows, cols) = f"{RESOLUTION}×{RESOLUTION}", dream.cells
        whole = RESOLUTION - RESOLUTION % math.lcm(rows, cols)  # 0 if there is no such size
        contestants = {
            "steps": (_STEPS, seconds),
            f"whole frames at {frames}": (_FRAMES, RESOLUTION, seconds, True),
            f"steps, each drawn at {frames}": (_FRAMES, RESOLUTION, seconds, False),
        }
        if whole:
            contestants[f"whole frames at {whole}×{whole}, cells of whole pixels"] = (_FRAMES, whole, seconds, True)
        turns = [{name: driver.execute_script(*call) for name, call in contestants.items()} for _ in range(rounds)]
    return {name: [turn[name] for turn in turns] for name in contestants}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args(arguments)
    found = measure_page(Dream.load(given.dream), given.rounds, given.seconds)
    figures = {
        name: {"median": float(np.median(each)), "low": min(each), "high": max(each)} for name, each in found.items()
    }
    for name, each in figures.items():
        print(f"{name}: {each['median']:.1f} a second [{each['low']:.1f}, {each['high']:.1f}]")
    if given.json:
        write_results(given.json, {"a second": figures}, given.dream)


if __name__ == "__main__":
    main()
