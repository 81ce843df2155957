"""Agents that learned in the dream, in reality; and a round of `nova-gym improve`."""

from __future__ import annotations

from typing import Any

from nova_gym.benchmarks.results_page.reading import Results, Target, goals, measured, row
from nova_gym.benchmarks.tables import interval, number, table

_SHIPPED = "agent-minigrid-ppo"
_SUCCESS, _OTHERS, _GAP, _RATIO = Target(0.97), Target(0.9), Target(0.0, 0.0), Target(0.97, 1.03)
_SECONDS = Target(high=180, unit="s")
_MODES = {"stochastic": "actions sampled", "deterministic": "likeliest actions"}
_UNSEEN = "success on held-out layouts"


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    return [
        "## Agents that learned in the dream",
        "An agent learns from dreams alone and is tested in the unchanged real environment, from official starts with "
        "seeds that no training used. The gap is the return in the dream minus the return in reality. Few official "
        "layouts are in no recording; success on those is told apart.",
        *_shipped(results),
        *_training(results),
        *_seeds(results),
        *_others(results),
        *_against_reality(results),
        *_curve(results),
        "## Improving a dream by its agent",
        *_improve(results),
    ]


def _shipped(results: Results) -> list[str]:
    settings, modes = results.at(_SHIPPED, "settings"), results.at(_SHIPPED, "modes")
    unseen = next(iter(modes.values()))["reality"][_UNSEEN]["n"]
    lines: list[tuple[str, Target | None, list[str]]] = [
        ("success in reality", _SUCCESS, [_place(places, "success", target=_SUCCESS) for places in modes.values()]),
        (f"success on layouts that no recording holds ({unseen} episodes)", None, _each(modes, _UNSEEN)),
        ("return in reality", None, _each(modes, "return")),
        ("return in the dream", None, [_place(places, "return", "dream") for places in modes.values()]),
        ("gap", _GAP, [measured(results.at(_SHIPPED, "gap", mode), target=_GAP) for mode in modes]),
        ("return in the dream ÷ in reality", _RATIO, [measured(_ratio(p), target=_RATIO) for p in modes.values()]),
    ]
    return [
        "### The agent that ships",
        f"PPO on the dream's latent state, in {settings['env_id']}, {settings['episodes']} episodes in each place.",
        results.source(_SHIPPED),
        table(
            ("", "target", *(_MODES[mode] for mode in modes)),
            [(what, "–" if target is None else target, *cells) for what, target, cells in lines],
        ),
    ]


def _each(modes: dict[str, Any], name: str) -> list[str]:
    return [_place(places, name) for places in modes.values()]


def _place(places: dict[str, Any], name: str, place: str = "reality", target: Target | None = None) -> str:
    return measured(places[place].get(name), target=target)


def _ratio(places: dict[str, Any]) -> float:
    return places["dream"]["return"]["value"] / places["reality"]["return"]["value"]


def _training(results: Results) -> list[str]:
    last = results.at("agent-training", -1)
    return [
        f"Its training took {measured(last['seconds'], '.0f', 's', _SECONDS)} (target {_SECONDS}), of which "
        f"{last['evaluating']:.0f} s went into playing in dream and reality to measure. Loading is not counted.",
        results.source("agent-training"),
        _points(results.at("agent-training")),
    ]


def _points(points: list[dict[str, Any]]) -> str:
    columns = ("steps in the dream", "seconds", "of which measuring", "return in the dream", "in reality", "gap")
    rows = []
    for point in points:
        value, low, high = point["gap"]
        times = (number(point[key], ".0f") for key in ("seconds", "evaluating"))
        returns = (number(point[key]) for key in ("dream", "reality"))
        gap = interval({"value": value, "low": low, "high": high})
        rows.append((f"{point['steps']:,}", *times, *returns, gap, number(point["success"])))
    return table((*columns, "success in reality"), rows)


def _seeds(results: Results) -> list[str]:
    rows = []
    names = (_SHIPPED, *(f"agent-seed-{seed}" for seed in (1, 2, 3, 4)))
    for seed, name in enumerate(names):
        sampled, likeliest = (results.at(name, "modes", mode) for mode in _MODES)
        success = _place(sampled, "success", target=_SUCCESS), _place(likeliest, "success")
        rows.append((seed, *success, _place(sampled, _UNSEEN), measured(_ratio(sampled), target=_RATIO)))
    return [
        "### Five seeds",
        "The same training with other seeds, tested in the same way; seed 0 is the agent that ships.",
        results.source(*names[1:]),
        table(
            (
                "seed",
                f"success in reality, actions sampled (target {_SUCCESS})",
                "likeliest actions",
                "layouts that no recording holds, sampled",
                f"return in the dream ÷ in reality, sampled (target {_RATIO})",
            ),
            rows,
        ),
    ]


def _others(results: Results) -> list[str]:
    rows = []
    for name, words, target in (
        ("agent-pixels", "PPO on pixels that the dream draws", _OTHERS),
        ("agent-planner", "planner (cross-entropy method in the dream, nothing learned)", _OTHERS),
        ("agent-control", "control model of the dream, which watched walks to the goal", None),
    ):
        for mode, places in results.at(name, "modes").items():
            unseen = places["reality"].get(_UNSEEN)
            rows.append(
                (
                    words,
                    _MODES[mode],
                    "–" if target is None else target,
                    _place(places, "success", target=target),
                    "–" if unseen is None else f"{interval(unseen)}, {unseen['n']} episodes",
                    interval(results.at(name, "gap", mode)),
                )
            )
    columns = ("agent", "actions", "target", "success in reality", "on layouts that no recording holds", "gap")
    return [
        "### On pixels, by planning, by the dream's own control model",
        f"Success in reality, {results.at('agent-planner', 'settings', 'episodes')} episodes each.",
        results.source("agent-pixels", "agent-planner", "agent-control"),
        table(columns, rows),
    ]


def _against_reality(results: Results) -> list[str]:
    name = "agent-against-reality"
    rows = []
    for where in ("trained in the dream", "trained in reality"):
        trained = results.at(name, where)
        rows.append((where, f"{trained['steps']:,}", interval(trained["success"]), interval(trained["return"])))
    seconds = number(results.at(name, "seconds of training each"), ".0f")
    return [
        "### Beside PPO in the real environment",
        f"PPO for the same {seconds} s each, loading included: in the dream on latents, in reality on RGB frames. Both "
        "are tested in reality. The time that it took to record and train the dream is not counted.",
        results.source(name),
        table(("", "steps", "success in reality", "return in reality"), rows),
    ]


def _curve(results: Results) -> list[str]:
    return [
        "### Over training",
        "Looks at reality on the way.",
        results.source("agent-curve"),
        "![Return in the dream and in reality over training](training.png)",
        _points(results.at("agent-curve")),
    ]


def _improve(results: Results) -> list[str]:
    blocks = [
        "`nova-gym improve` trains an agent in the dream, lets it act in reality, tunes the dream on what it got wrong "
        "there, and keeps the tuned dream only if it is no less true than before. No round measured so far has had to "
        "decide that: where nothing is wrong, the dream is left as it is.",
        results.source("improve"),
    ]
    for number_of, done in enumerate(results.at("improve", "rounds"), 1):
        last = list(done["open loop before"])[-1]
        before, after = (done[f"open loop {when}"][last]["exact"] for when in ("before", "after"))
        agent = done["agent"]["reality"]
        rows = [
            row("fresh transitions of the agent", None, done["fresh transitions"], ",.0f"),
            row("of these predicted wrongly, before", None, done["wrong before"], ".2%"),
            row("of these predicted wrongly, after", None, done["wrong after"], ".2%"),
            row(f"exact frames after {last} steps, before ({before['n']} episodes)", None, before),
            row(f"exact frames after {last} steps, after", None, after),
            ("a tuned dream was kept", "–", "yes" if done["accepted"] else "no"),
            row(f"success of the agent in reality ({agent['success']['n']} episodes)", None, agent["success"]),
            row("return of the agent in reality", None, agent["return"]),
            row("gap", _GAP, done["gap"]),
        ]
        blocks += [f"Round {number_of}:", goals(rows)]
    return blocks
