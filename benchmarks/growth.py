"""Growth of cost with the number of dreams, with resolution, and with D, the weights of a coordinate network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator

from nova_gym.benchmarks.figures import Figure, figures_of
from nova_gym.benchmarks.speed import in_turns, repeat, step_vector
from nova_gym.dream import Dream
from nova_gym.envs import NovaDreamVectorEnv
from nova_gym.files import write_atomically
from nova_gym.model import inr
from nova_gym.model.world_model import WorldModel

BATCHES, SIZES, WIDTHS = (
    (1, 4, 16, 32, 64, 256, 1024, 4096),
    (36, 72, 144, 288, 576, 1152, 2304),
    (6, 8, 12, 16, 24, 32),
)
#: Side in pixels of the frames that networks of different widths draw.
_SIDE = 256

BATCH, RESOLUTION, WEIGHTS = "growth with the batch, latents", "growth with resolution", f"growth with D, {_SIDE}²"

Progress = Callable[[int, int], None]


def measure_growth(dream: Dream, rounds: int, seconds: float, progress: Progress) -> dict[str, list[Figure]]:
    """Rates of stepping batches of dreams, and of drawing a frame at several sizes and by several networks."""
    model, bank = dream.world_model, next(iter(dream.starts.values()))
    config, state = model.config, bank[:1]
    tables = {
        BATCH: {f"{batch} dreams": step_vector(NovaDreamVectorEnv(batch, dream)) for batch in BATCHES},
        RESOLUTION: {f"{side} × {side}": repeat(lambda side=side: model.render(state, side)) for side in SIZES},
        WEIGHTS: {},
    }
    for width in WIDTHS:
        network = replace(config.inr, width=width)
        other = WorldModel(
            replace(config, inr=network, detail=None)
        )  # untrained, since the cost of a frame is the same
        name = f"D = {inr.weight_count(network)}"
        tables[WEIGHTS][name] = repeat(lambda other=other: other.render(state, _SIDE))
    figures = {}
    for done, (title, contestants) in enumerate(tables.items()):
        speeds = in_turns(contestants, rounds, seconds / 4)
        figures[title] = figures_of(speeds, "steps/s of all dreams" if title == BATCH else "frames/s")
        progress(done + 1, len(tables))
    return figures


def draw_growth(tables: dict[str, list[Figure]], path: Path) -> None:
    """Draws the result of `measure_growth` as a PNG: milliseconds of a step of all dreams, or of a frame."""
    drawing = Drawing(figsize=(11, 3.4), layout="constrained")
    titles = {BATCH: "dreams stepped at once", RESOLUTION: "pixels a side", WEIGHTS: f"D, drawn at {_SIDE} × {_SIDE}"}
    for axes, (title, label) in zip(drawing.subplots(1, 3), titles.items(), strict=True):
        sizes = [int(re.findall(r"\d+", figure.name)[0]) for figure in tables[title]]
        amounts = sizes if title == BATCH else [1] * len(sizes)
        times = [1000 * amount / figure.value for amount, figure in zip(amounts, tables[title], strict=True)]
        axes.loglog(sizes, times, "o-")
        axes.set(xlabel=label, ylabel="ms, a step of all" if title == BATCH else "ms, a frame")
        axes.set_xticks(sizes, [str(size) for size in sizes], rotation=45)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    with write_atomically(path) as temporary:
        drawing.savefig(temporary, format="png", dpi=110)
