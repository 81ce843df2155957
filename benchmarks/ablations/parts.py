"""The three ablations: which sides each trains, and what it measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova_gym.benchmarks.ablations import generation, on_minigrid, retargeting, sides
from nova_gym.benchmarks.ablations.retargeting import measure_clips, measure_retargeting
from nova_gym.benchmarks.ablations.sides import DYNAMICS_SHARES, MINIGRID_SHARES, SHARES, STATES, Side, Workshop
from nova_gym.benchmarks.ablations.tables import beside
from nova_gym.data import moving_digits

#: Ways of motion retargeting, before and after distilling the inverse dynamics into the control model.
WAYS = {
    "before: inverse dynamics": retargeting.by_inverse_dynamics,
    "after: control dreams the motion clip on": retargeting.by_control,
    "after: control acts in the content clip": retargeting.by_control_in_place,
}


def data(seed: int, dataset: str | None) -> dict[str, Any]:
    """The data for training and measurements, JSON-ready."""
    return {
        "training": f"{sides.CLIPS} clips of moving digits, seed {seed}",
        "test": f"{generation.CLIPS} clips of digits by other hands, {generation.LONG_CLIPS} for T = {generation.LONG}",
        "retargeting": f"{retargeting.PAIRS} pairs of such clips, edited from frame {retargeting.AT} on",
        "MiniGrid": dataset and f"{dataset}; {on_minigrid.EPISODES} episodes a level, {on_minigrid.PAIRS} pairs",
    }


def seconds_of(parts: list[str], minutes: float, dataset: str | None) -> float:
    """Seconds of training, for all sides together."""
    amount = 0.0
    for shares, here in ((SHARES, True), (MINIGRID_SHARES, bool(dataset))):
        if "state" in parts:
            amount += here * len(STATES)
        elif "dynamics" in parts:
            amount += here * shares["representation"]
        amount += 2 * here * ("dynamics" in parts)
    if "editing" in parts and "state" not in parts:
        amount += 1.0 - SHARES["representation"] * ("dynamics" in parts)
    return 60.0 * minutes * amount


def ablate_state(workshop: Workshop, dataset: str | None) -> dict[str, Any]:
    """Compares a field with one network and a vector latent, on digits and, if a recording is given, on MiniGrid."""
    trained = list(workshop.digits.values())
    workshop.train(trained, SHARES)
    workshop.say("measuring frames and predictions")
    figures = {side.name: generation.measure_generation(side.measured(), workshop.seed) for side in trained}
    report = {"figures": {"moving digits": beside(figures)}, "sides": {"moving digits": _reports(trained)}}
    if dataset:
        on_minigrid.read_minigrid(workshop, dataset)
        trained = list(workshop.minigrid.values())
        workshop.train(trained, MINIGRID_SHARES)
        workshop.say("measuring on levels of MiniGrid")
        report["figures"]["MiniGrid"] = on_minigrid.measure_levels(trained, workshop.seed)
        report["sides"]["MiniGrid"] = _reports(trained)
    return report


def ablate_dynamics(workshop: Workshop, dataset: str | None) -> dict[str, Any]:
    """Compares additive with joint dynamics in fields, on digits and, if a recording is given, on MiniGrid."""
    shared = workshop.digits["field"]
    workshop.train([shared], {"representation": SHARES["representation"]})
    pair = workshop.dynamics(shared)
    workshop.train(pair, DYNAMICS_SHARES)
    workshop.say("measuring dynamics")
    frames = moving_digits(generation.CLIPS, workshop.seed, test=True)
    pairs = retargeting.digit_pairs(retargeting.PAIRS, workshop.seed)
    errors, edited = {}, {}
    for side in pair:
        model = side.measured()
        errors[side.name] = generation.measure_dynamics(model, frames)
        edited[side.name] = measure_retargeting(model, pairs, retargeting.by_inverse_dynamics)
    figures = {
        "errors on moving digits": beside(errors),
        "motion retargeting on moving digits": beside(edited, _references(pair[0], pairs)),
    }
    reports = {"moving digits": _reports(pair)}
    if dataset:
        on_minigrid.read_minigrid(workshop, dataset)
        shared = workshop.minigrid["field"]
        workshop.train([shared], {"representation": MINIGRID_SHARES["representation"]})
        pair = workshop.dynamics(shared)
        workshop.train(pair, DYNAMICS_SHARES)
        workshop.say("measuring dynamics on MiniGrid")
        errors, edited = on_minigrid.measure_on_minigrid(shared, pair, workshop.seed)
        figures["errors on MiniGrid"] = beside(errors)
        figures |= {f"{name} on MiniGrid": edited[name] for name in edited}
        reports["MiniGrid"] = _reports(pair)
    return {"figures": figures, "sides": reports}


def ablate_distillation(workshop: Workshop, dataset: str | None) -> dict[str, Any]:
    """Compares editing before and after distillation, with one model, since distillation changes no other part."""
    side = workshop.digits["field"]
    workshop.train([side], SHARES)
    workshop.say("measuring editing")
    model = side.measured()
    pairs = retargeting.digit_pairs(retargeting.PAIRS, workshop.seed)
    figures = {name: measure_retargeting(model, pairs, way) for name, way in WAYS.items()}
    return {
        "figures": {"motion retargeting on moving digits": beside(figures, _references(side, pairs))},
        "sides": _reports([side]),
    }


def _references(side: Side, pairs: retargeting.Pairs) -> dict[str, generation.Figures]:
    """References: no edit, a copy of the motion clip, and the best that these states allow."""
    model, after = side.measured(), slice(retargeting.AT + 1, None)
    copied = pairs.motion[:, after, ..., None].astype("float32") / 255.0
    return {
        "no edit": measure_retargeting(model, pairs, retargeting.no_edit),
        "the motion clip itself": measure_clips(copied, pairs),
        "the truth, encoded and drawn": measure_clips(
            generation.draw(model, generation.encode(model, pairs.truths[0, :, after])), pairs
        ),
    }


def _reports(trained: list[Side]) -> dict[str, Any]:
    return {side.name: side.report() for side in trained}


#: By name on the command line, in an order that lets later ablations use what earlier ones trained.
PARTS: dict[str, Callable[[Workshop, str | None], dict[str, Any]]] = {
    "state": ablate_state,
    "dynamics": ablate_dynamics,
    "editing": ablate_distillation,
}
