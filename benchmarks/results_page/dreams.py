"""The dreams that ship: what their cards say, and how true that of MiniGrid is."""

from __future__ import annotations

from typing import Any

from nova_gym.benchmarks.results_page.reading import Results, Target, measured, shipped, where_measured
from nova_gym.benchmarks.tables import interval, table
from nova_gym.dream import Dream, find_dream
from nova_gym.measures import TILE_TOLERANCE
from nova_gym.model import inr

_EVAL, _SHIFTED = "eval-minigrid", "shifted"
#: Targets of exact frames, by steps of the open loop, and of frames whose cells lie across tiles, by the last step.
_EXACT = {1: 0.99, 10: 0.99, 50: 0.99, 100: 0.99, 1000: 0.97}
_EXACT_SHIFTED = Target(0.97)
#: Target of single steps: the worst class of transitions, endings and rewards.
_STEP = Target(0.995)
_MINUTES = {"minigrid": Target(high=10, unit="min"), "digits": Target(high=50, unit="min")}
_SIZE = {"minigrid": Target(high=1, unit="MB")}


HEADING = "## The dreams that ship"

#: In the order of the tables.
_NAMES = ("minigrid", "frozen-lake", "cart-pole", "digits")


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    return [
        HEADING,
        "What the cards of the dreams say (`nova-gym info NAME` prints them). Minutes are those of the stages of "
        "`nova-gym train`, without recording, reading, encoding and packing.",
        _cards(),
        *_stages(),
        "## How true the dream of MiniGrid is",
        *where_measured(_fidelity, results),
        *where_measured(_details, results),
        *where_measured(_shifted, results),
    ]


def _cards() -> str:
    columns = [_card(name, shipped(name)) for name in _NAMES]
    rows = [(what, *(column.get(what, "–") for column in columns)) for what in columns[0]]
    return table(("", *(f"`{name}`" for name in _NAMES)), rows)


def _card(name: str, dream: Dream) -> dict[str, str]:
    config, card = dream.world_model.config, dream.card
    parts, size = card.training.get("parts", {}), find_dream(name).stat().st_size / 1e6
    (height, width), (rows, cols) = dream.frame_size, dream.cells
    weights = inr.weight_count(config.inr)
    recorded = card.data.get("reality", {}).get("env_id") or str(card.data.get("kind", "video"))
    detail = parts.get("detail")
    return {
        "dreams of": card.env_id or "video",
        "recorded from": recorded,
        "recorded frames": f"{card.data['frames']:,}",
        "what the recording leaves out": card.data.get("held_out", "–"),
        "frames": f"{height} × {width} × {config.inr.channels}",
        "cells": "{} × {} of {} × {} pixels".format(rows, cols, *config.cell),
        "numbers of a cell's state, of its latent action": f"{config.rank}, {config.latent_action}",
        "weights of the network that draws a cell": f"{weights:,} ({config.inr.layers} layers of {config.inr.width} "
        "units)",
        "neighbouring cells are blended": "yes" if config.blend else "no",
        "parameters in all": f"{sum(p.numel() for p in dream.world_model.parameters()):,}",
        "file": _with_target(size, ".2f", "MB", _SIZE.get(name)),
        "training": _with_target(_minutes(card.training["stages"]), ".1f", "min", _MINUTES.get(name)),
        "large frames": _part(detail, "cells") if detail else "–",
        "network of large frames": f"{config.detail.layers} layers of {config.detail.width} units, learned up to "
        f"{detail['factor'] * height} × {detail['factor'] * width}"
        if detail and config.detail
        else "–",
        "starts": ", ".join(f"{len(bank):,} {kind}" for kind, bank in dream.starts.items()),
        "made with": ", ".join(f"{library} {version}" for library, version in card.versions.items()),
    }


def _with_target(value: float, form: str, unit: str, target: Target | None) -> str:
    text = measured(value, form, unit, target)
    return f"{text} (target {target})" if target else text


def _part(part: dict[str, Any], of: str) -> str:
    """A part of the card's training that a command of its own made."""
    return f"{part['seconds'] / 60:.1f} min, {part[of]:,} {of}"


def _minutes(stages: dict[str, dict[str, Any]]) -> float:
    return sum(stage.get("seconds", 0.0) for stage in stages.values()) / 60


def _stages() -> list[str]:
    stages = {name: shipped(name).card.training["stages"] for name in _NAMES}
    every = [stage for name in _NAMES for stage in stages[name]]
    timed = [s for s in dict.fromkeys(every) if any("seconds" in stages[name].get(s, {}) for name in _NAMES)]
    rows = [(stage, *(_stage(stages[name].get(stage)) for name in _NAMES)) for stage in timed]
    return ["Stage by stage:", table(("stage", *(f"`{name}`" for name in _NAMES)), rows)]


def _stage(entry: dict[str, Any] | None) -> str:
    return "–" if not entry or "seconds" not in entry else f"{entry['seconds'] / 60:.1f} min, {entry['steps']:,} steps"


def _fidelity(results: Results) -> list[str]:
    levels = results.at(_EVAL, "levels")
    settings = next(iter(levels.values()))["settings"]
    steps = [k for k in _EXACT if all(str(k) in report["open_loop"] for report in levels.values())]
    rows = [(_short(level), *(_exact(report, k) for k in steps), *_single(report)) for level, report in levels.items()]
    columns = [f"after {_steps(k)} (target {Target(_EXACT[k])})" for k in steps]
    columns.append(f"worst class of transition (target {_STEP})")
    return [
        f"{settings['episodes']} episodes of each official level with random actions, dream and reality in lockstep. "
        f"The recording is of {settings.get('recorded', 'the same environment')}. The dream is given the first frame, "
        "and then actions alone. A frame is exact if each of its tiles is within "
        f"{TILE_TOLERANCE:g} mean squared error of the real one. Single steps are {settings['episodes']} of each class "
        "of transition; endings and rewards are those of single steps and of episodes on the way to the goal.",
        results.source(_EVAL),
        "Exact frames:",
        table(("level", *columns), [row[: len(steps) + 2] for row in rows]),
        f"Endings and rewards, the worst of all kinds of episodes (target {_STEP}):",
        table(("level", *_OUTCOMES), [(row[0], *row[len(steps) + 2 :]) for row in rows]),
    ]


#: Figures of endings and rewards that have a target.
_OUTCOMES = ("termination recall", "termination precision", "rewards right")


def _short(level: str) -> str:
    return level.removeprefix("MiniGrid-").rpartition("-v")[0] or level


def _exact(report: dict[str, Any], step: int) -> str:
    return measured(report["open_loop"][str(step)]["exact"], target=Target(_EXACT[step]))


def _single(report: dict[str, Any]) -> list[str]:
    """The worst class of transition, and the worst figures of endings and rewards."""
    name, worst = min(report["transitions"].items(), key=lambda item: item[1]["value"])
    equal = len({figure["value"] for figure in report["transitions"].values()}) == 1
    words = f"{measured(worst, target=_STEP)} ({'all are equal' if equal else name})"
    found = [[part[name] for part in report["outcomes"].values() if part.get(name)] for name in _OUTCOMES]
    lowest = [min(figures, key=lambda figure: figure["value"]) if figures else None for figures in found]
    return [words, *(measured(figure, target=_STEP) for figure in lowest)]


def _shifted(results: Results) -> list[str]:
    levels = results.at(_SHIFTED, "levels")
    steps = list(next(iter(levels.values())))
    rows = []
    for level, figures in levels.items():
        *first, last = (figures[step] for step in steps)
        rows.append((_short(level), *map(measured, first), measured(last, target=_EXACT_SHIFTED)))
    return [
        "The same recipe on frames that are shifted by half a tile, so that each cell holds parts of four tiles. Exact "
        f"frames by steps, with a target of {_EXACT_SHIFTED} after the last:",
        results.source(_SHIFTED),
        table(("level", *steps), rows),
    ]


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count > 1)}"


def _details(results: Results) -> list[str]:
    levels = results.at(_EVAL, "levels")
    names = [_short(level) for level in levels]
    steps = list(dict.fromkeys(step for report in levels.values() for step in report["open_loop"]))
    forms = {"psnr": (".1f", "dB"), "ssim": (".4f", ""), "tile accuracy": (".4f", "")}
    loop = []
    for measure, form in forms.items():
        for step in steps:
            figures = (report["open_loop"].get(step, {}).get(measure) for report in levels.values())
            loop.append((measure, step, *(interval(figure, *form) for figure in figures)))
    kinds = dict.fromkeys(kind for report in levels.values() for kind in report["transitions"])
    classes = [(kind, *(interval(report["transitions"].get(kind)) for report in levels.values())) for kind in kinds]
    outcomes = dict.fromkeys(
        (part, name) for report in levels.values() for part, figures in report["outcomes"].items() for name in figures
    )
    rows = []
    for part, name in outcomes:
        form = ".1e" if "error" in name else ".3f"
        figures = (report["outcomes"].get(part, {}).get(name) for report in levels.values())
        rows.append((part, name, *(interval(figure, form) for figure in figures)))
    return [
        "From the same file, the open loop in full:",
        table(("measure", "steps", *names), loop),
        "One step, exact frames, by class of transition:",
        table(("transition", *names), classes),
        "Rewards and endings, in the open loop, in single steps and on the way to the goal:",
        table(("episodes", "figure", *names), rows),
    ]
