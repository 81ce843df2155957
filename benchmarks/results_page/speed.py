"""Speed and memory, as `nova-gym bench` measured them."""

from __future__ import annotations

import re
from typing import Any

from nova_gym.benchmarks.rendering import operations_a_pixel
from nova_gym.benchmarks.results_page.reading import Results, Target, goals, measured, row, shipped
from nova_gym.benchmarks.tables import number, short, table

_LATENTS, _PIXELS = "steps per second, latents", "steps per second, pixels"
_PLAIN, _PRODUCT = Target(4, unit="times"), Target(0.4)
_FIRST = "seconds until the first picture"


HEADING = "## Speed"


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    products = [figures[0]["value"] / 1e9 for title, figures in results.at("bench").items() if _case(title)]
    return [
        HEADING,
        "On the CPU. Ratios are medians over rounds, in which the contestants take turns; in brackets stand the least "
        "and the largest of a round. A machine that is busy meanwhile slows both sides of a ratio, so ratios can be "
        "compared between machines, and times cannot. The rate of a float32 matrix product, which tells machines "
        f"apart, went from {min(products):,.0f} to {max(products):,.0f} GFLOP/s meanwhile.",
        results.source("bench"),
        goals(_targets(results)),
        "The time that training takes is told by [the cards](#the-dreams-that-ship), that of an agent "
        "[with the agents](#the-agent-that-ships). Graphics cards have a command of their own, "
        "`python -m nova_gym.benchmarks.on_cuda`.",
        "### How cost grows",
        "A picture of the three tables of growth below.",
        "![Milliseconds of a step by batch, of a frame by resolution, and of a frame by D](growth.png)",
        "### All figures of speed",
        "Rendering, counted in floating-point operations of all of the network at every pixel, though the fused "
        "renderer shares the first layer among pixels:",
        _rendering(results),
        *(block for title, figures in results.at("bench").items() for block in _plain(title, figures)),
    ]


def _targets(results: Results) -> list[tuple[str, str, str]]:
    latents, pixels = (_ratio_of(results, title) for title in (_LATENTS, _PIXELS))
    rows = [
        latents("dream, latents, batch 256", "÷ symbolic MiniGrid in one process", 8),
        latents("dream, latents, gym.make", "÷ the same", 1),
        pixels("dream, pixels, batch 64", "÷ MiniGrid's frames in AsyncVectorEnv", 8),
        pixels("dream, pixels, batch 256", "÷ the same", None),
    ]
    for case in ("64 × 72²", "1 × 1024²"):
        plain, fused = (results.bench(f"rendering {case}", name)["value"] for name in ("plain PyTorch", "fused"))
        rows.append(row(f"fused ÷ plain PyTorch rendering, medians, {case}", _PLAIN, fused / plain, ".1f", "times"))
    for case in ("64 × 72²", "64 × 256²", "1 × 1024²"):
        fused = _ratio(results.bench(f"rendering {case}", "fused"))
        rows.append(row(f"fused rendering ÷ float32 matrix product, {case}", _PRODUCT, fused))
    player = "player at 512×512"
    times = {"import nova_gym, beyond that": ("`import nova_gym` beyond torch", 0.3), "gym.make": ("`gym.make`", 0.5)}
    return [
        *rows,
        row("1024 × 1024 with detail", Target(40, unit="frames/s"), _large(results), ".0f", "frames/s"),
        *(
            row(f"player at 512 × 512{beside}", Target(goal, unit="frames/s"), value, ".0f", "frames/s")
            for beside, goal, value in (
                ("", 30, results.bench(player, "player")["value"]),
                (", reality beside", 15, results.bench(player, "player, reality beside")["value"]),
            )
        ),
        *(
            row(words, Target(high=goal, unit="s"), results.bench(_FIRST, name)["value"], ".2f", "s")
            for name, (words, goal) in times.items()
        ),
        *(
            row(f"frames of states, {batch} at once, ÷ the ablations' transposed-CNN decoder", None, ratio)
            for batch, ratio in (
                (batch, _ratio(results.bench(f"frames of states, {batch} at once", "fused"))) for batch in (1, 64)
            )
        ),
    ]


def _ratio_of(results: Results, title: str):
    def of(name: str, words: str, goal: float | None) -> tuple[str, str, str]:
        target = None if goal is None else Target(goal)
        return row(f"{name} {words}", target, _ratio(results.bench(title, name)), ".2f")

    return of


def _ratio(figure: dict[str, Any]) -> dict[str, float]:
    return {"value": figure["ratio"], "low": figure["low"], "high": figure["high"]}


def _large(results: Results) -> float:
    """Frames a second of 1024 × 1024, of the network for large frames of the dream that ships."""
    config = shipped("minigrid").world_model.config
    rate = results.bench("rendering 1 × 1024²", "fused")["value"]
    return rate / (1024**2 * operations_a_pixel(config.detail or config.inr))


def _case(title: str) -> tuple[int, int] | None:
    """Batch and side of a table of rendering."""
    found = re.fullmatch(r"rendering (\d+) × (\d+)²", title)
    return (int(found[1]), int(found[2])) if found else None


def _rendering(results: Results) -> str:
    rows = []
    for title in results.at("bench"):
        if not (case := _case(title)):
            continue
        product, plain, fused = (results.bench(title, name) for name in ("matrix product", "plain PyTorch", "fused"))
        rates = (number(figure["value"] / 1e9, ",.1f") for figure in (product, plain, fused))
        ratios = (measured(_ratio(figure)) for figure in (plain, fused))
        rows.append((f"{case[0]} × {case[1]}²", *rates, *ratios, number(fused["value"] / plain["value"], ".1f")))
    return table(
        (
            "frames",
            "matrix product, GFLOP/s",
            "plain PyTorch",
            "fused",
            "plain ÷ product",
            "fused ÷ product",
            "fused ÷ plain",
        ),
        rows,
    )


def _plain(title: str, figures: Any) -> list[str]:
    """A table of the others as it was measured: medians, and ratios to the first line."""
    if _case(title) or not isinstance(figures, list):  # those of rendering are one table; the rest is no table
        return []
    rows = [(figures[0]["name"], short(figures[0]["value"]), "1")]
    rows += [(f["name"], short(f["value"]), measured(_ratio(f), ".3g")) for f in figures[1:]]
    return [f"{title[0].upper()}{title[1:]}:", table(("", figures[0]["unit"], "÷ first line"), rows)]
