"""The three ablations: which sides each trains, and what it measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova_gym.benchmarks.ablations import generation, retargeting, sides
from nova_gym.benchmarks.ablations.on_minigrid import measure_on_minigrid, train_on_minigrid
from nova_gym.benchmarks.ablations.retargeting import measure_clips, measure_retargeting
from nova_gym.benchmarks.ablations.sides import DYNAMICS_SHARES, SHARES, Side, Workshop
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
        "MiniGrid": dataset,
    }


def seconds_of(parts: list[str], minutes: float, dataset: str | None) -> float:
    """Seconds of training, for all sides together."""
    ours = 1.0 if {"inr", "editing"} & set(parts) else SHARES["representation"]
    others = ("inr" in parts) + 2 * ("dynamics" in parts) * (2 if dataset else 1)
    return 60.0 * minutes * (ours + others)


def ablate_state(workshop: Workshop, dataset: str | None) -> dict[str, Any]:
    """Compares the INR state with a vector latent."""
    pair = [workshop.inr, workshop.vector]
    workshop.train(pair, SHARES)
    workshop.say("measuring frames and predictions")
    figures = {side.name: generation.measure_generation(side.measured(), workshop.seed) for side in pair}
    return {"figures": {"moving digits": beside(figures)}, "sides": _reports(pair)}


def ablate_dynamics(workshop: Workshop, dataset: str | None) -> dict[str, Any]:
    """Compares additive with joint dynamics, on digits and, if a recording is given, on MiniGrid."""
    shared = workshop.inr
    workshop.train([shared], {"representation": SHARES["representation"]})
    pair = workshop.dynamics(shared.model, shared.clips, shared.states, shared.training)
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
        workshop.say(f"reading {dataset}")
        pair = train_on_minigrid(workshop, dataset)
        workshop.say("measuring dynamics on MiniGrid")
        errors, edited = measure_on_minigrid(pair, workshop.seed)
        figures["errors on MiniGrid, held-out layouts"] = beside(errors)
        figures |= {f"{name} on MiniGrid, held-out layouts": edited[name] for name in edited}
        reports["MiniGrid"] = _reports(pair)
    return {"figures": figures, "sides": reports}


def ablate_distillation(workshop: Workshop, dataset: str | None) -> dict[str, Any]:
    """Compares editing before and after distillation, with one model, since distillation changes no other part."""
    side = workshop.inr
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
    "inr": ablate_state,
    "dynamics": ablate_dynamics,
    "editing": ablate_distillation,
}
