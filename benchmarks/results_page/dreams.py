"""The dreams that ship: what their cards say, and how true that of MiniGrid is."""

from __future__ import annotations

from typing import Any

from nova_gym.benchmarks.results_page.reading import Results, Target, goals, measured, row, shipped
from nova_gym.benchmarks.tables import interval, table
from nova_gym.dream import Dream, find_dream
from nova_gym.measures import TILE_TOLERANCE
from nova_gym.model import inr

_EVAL = "eval-minigrid"
#: Targets of exact frames, by steps of the open loop.
_EXACT = {1: 0.99, 10: 0.97, 50: 0.96, 100: 0.95}
_MINUTES = {"minigrid": Target(high=30, unit="min"), "digits": Target(high=60, unit="min")}
_SIZE = {"minigrid": Target(high=16, unit="MB")}


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    return [
        "## The dreams that ship",
        "What the cards of the dreams say (`nova-gym info NAME` prints them). Minutes are those of the stages of "
        "`nova-gym train`, without reading, encoding and packing; a dream of MiniGrid gets its control model and its "
        "weights for large frames from commands of their own.",
        _cards(),
        *_stages(),
        "## How true the dream of MiniGrid is",
        *_fidelity(results),
        *_details(results),
    ]


def _cards() -> str:
    names = ("minigrid", "digits")
    columns = [_card(name, shipped(name)) for name in names]
    rows = [(what, *(column.get(what, "–") for column in columns)) for what in columns[0]]
    return table(("", *(f"`{name}`" for name in names)), rows)


def _card(name: str, dream: Dream) -> dict[str, str]:
    config, card = dream.world_model.config, dream.card
    parts, size = card.training.get("parts", {}), find_dream(name).stat().st_size / 1e6
    height, width = config.frame_size
    weights = inr.weight_count(config.inr)
    detail = parts.get("detail")
    facts = {
        "dreams of": card.env_id or str(card.data.get("kind", "video")),
        "frames": f"{height} × {width} × {config.inr.channels}",
        "recorded frames": f"{card.data['frames']:,}",
        "coordinates of a state, of a latent action": f"{config.rank}, {config.latent_action}",
        "weights of the network that draws": f"{weights:,} ({config.inr.layers} layers of {config.inr.width} units)",
        "its base and basis": f"{weights * (config.rank + 1):,} parameters",
        "parameters in all": f"{sum(p.numel() for p in dream.world_model.parameters()):,}",
        "file": _with_target(size, ".1f", "MB", _SIZE.get(name)),
        "training": _with_target(_minutes(card.training["stages"]), ".1f", "min", _MINUTES.get(name)),
        "control model": _part(parts.get("control"), "frames"),
        "large frames": _part(detail, "scenes") if detail else "–",
        "network of large frames": f"{config.detail.layers} layers of {config.detail.width} units, learned up to "
        f"{detail['factor'] * height} × {detail['factor'] * width}"
        if detail and config.detail
        else "–",
        "starts": ", ".join(f"{len(bank):,} {kind}" for kind, bank in dream.starts.items()),
        "made with": ", ".join(f"{library} {version}" for library, version in card.versions.items()),
    }
    return facts


def _with_target(value: float, form: str, unit: str, target: Target | None) -> str:
    text = measured(value, form, unit, target)
    return f"{text} (target {target})" if target else text


def _part(part: dict[str, Any] | None, of: str) -> str:
    """A part of the card's training that a command of its own made."""
    return "with the stages above" if part is None else f"{part['seconds'] / 60:.1f} min, {part[of]:,} {of}"


def _minutes(stages: dict[str, dict[str, Any]]) -> float:
    return sum(stage.get("seconds", 0.0) for stage in stages.values()) / 60


def _stages() -> list[str]:
    names = ("minigrid", "digits")
    stages = {name: shipped(name).card.training["stages"] for name in names}
    every = [stage for name in names for stage in stages[name]]
    timed = [s for s in dict.fromkeys(every) if any("seconds" in stages[name].get(s, {}) for name in names)]
    rows = [(stage, *(_stage(stages[name].get(stage)) for name in names)) for stage in timed]
    return ["Stage by stage:", table(("stage", *(f"`{name}`" for name in names)), rows)]


def _stage(entry: dict[str, Any] | None) -> str:
    return "–" if not entry or "seconds" not in entry else f"{entry['seconds'] / 60:.1f} min, {entry['steps']:,} steps"


def _fidelity(results: Results) -> list[str]:
    settings = results.at(_EVAL, "settings")
    steps = {step: results.at(_EVAL, "open_loop", str(step)) for step in _EXACT}
    classes = results.at(_EVAL, "transitions")
    name, worst = min(classes.items(), key=lambda item: item[1]["value"])
    if len({figure["value"] for figure in classes.values()}) == 1:
        name = f"all {len(classes)} are equal"
    rows = [row(f"exact frames after {_steps(k)}", Target(_EXACT[k]), steps[k]["exact"]) for k in steps]
    rows += [
        row(f"tiles right after {_steps(100)}", None, steps[100]["tile accuracy"]),
        row(f"PSNR after {_steps(1)}", None, steps[1]["psnr"], ".1f", "dB"),
        row(f"PSNR after {_steps(100)}", Target(45, unit="dB"), steps[100]["psnr"], ".1f", "dB"),
        row(f"exact after one step, worst class of transition ({name})", Target(0.98), worst),
    ]
    for kind, words in (("expert", "on the way to the goal"), ("random", "by random actions")):
        for name in ("termination recall", "termination precision"):
            figure = results.at(_EVAL, "outcomes", kind, name)
            rows.append(row(f"{name}, {words} ({figure['n']} endings)", Target(0.99), figure))
    error = results.at(_EVAL, "outcomes", "expert", "return absolute error")
    rows.append(row("absolute error of the return, on the way to the goal", None, error))
    last = steps[100]["exact"]
    return [
        f"{settings['episodes']} episodes of {settings['env_id']} with random actions and {settings['starts']} starts, "
        f"dream and reality in lockstep, on {settings['held_out_layouts']} placements of walls and goal that no "
        "recording holds. The dream is given the first frame, and then actions alone. A frame is exact if each of its "
        f"tiles is within {TILE_TOLERANCE:g} mean squared error of the real one.",
        results.source(_EVAL),
        goals(rows),
        f"What this does not tell: {last['n']} episodes last a hundred steps, so by the interval above up to "
        f"{100 * (1 - last['low']):.1f} % of such frames may be wrong. Longer episodes were not measured. The wall "
        "layouts are all among those recorded; what is held out is their combination with the goal.",
    ]


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count > 1)}"


def _details(results: Results) -> list[str]:
    loop = results.at(_EVAL, "open_loop")
    measures = list(next(iter(loop.values())))
    forms = {"psnr": ".1f", "ssim": ".4f"}
    rows = [
        (step, values["exact"]["n"], *(interval(values[m], forms.get(m, ".3f")) for m in measures))
        for step, values in loop.items()
    ]
    classes = [(name, value["n"], interval(value)) for name, value in results.at(_EVAL, "transitions").items()]
    outcomes = results.at(_EVAL, "outcomes")
    names = list(next(iter(outcomes.values())))
    forms = dict.fromkeys((name for name in names if "error" in name), ".1e")
    return [
        "From the same file, the open loop in full:",
        table(("steps", "episodes", *measures), rows),
        "One step, exact frames, by class of transition:",
        table(("transition", "n", "exact"), classes),
        "Rewards and endings:",
        table(
            ("", *outcomes),
            [(name, *(interval(part[name], forms.get(name, ".3f")) for part in outcomes.values())) for name in names],
        ),
    ]
