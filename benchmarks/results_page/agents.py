"""Agents that learned in the dream, in reality; and a round of `nova-gym improve`."""

from __future__ import annotations

from typing import Any

from nova_gym.benchmarks.results_page.reading import Results, Target, goals, measured, row, where_measured
from nova_gym.benchmarks.tables import interval, number, table

#: The files of the agent that ships, one for each level.
_SHIPPED = ("agent-minigrid-ppo", "agent-two-walls", "agent-three-walls", "agent-four-rooms")
_SUCCESS, _LIKELIEST, _OTHERS, _GAP = Target(0.98), Target(0.97), Target(0.9), Target(0.0, 0.0)
_SECONDS = Target(high=300, unit="s")
_HARDEST = "agent-three-walls"
_MODES = {"stochastic": "actions sampled", "deterministic": "likeliest actions"}
#: Levels without a target: the agent never trained there.
_ELSEWHERE = ("MiniGrid-FourRooms-v0",)


HEADING = "## Agents that learned in the dream"


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    return [
        HEADING,
        "An agent learns from dreams alone and is tested in the unchanged real environment, from official starts with "
        "seeds that no training used. The gap is the return in the dream minus the return in reality.",
        *where_measured(_shipped, results),
        *where_measured(_training, results),
        *where_measured(_seeds, results),
        *where_measured(_others, results),
        *where_measured(_against_reality, results),
        *where_measured(_curve, results),
        "## Improving a dream by its agent",
        *where_measured(_improve, results),
    ]


def _target(level: str, mode: str, sampled: Target = _SUCCESS, likeliest: Target = _LIKELIEST) -> Target | None:
    if level in _ELSEWHERE:
        return None
    return sampled if mode == "stochastic" else likeliest


def _shipped(results: Results) -> list[str]:
    rows, episodes = [], 0
    for name in _SHIPPED:
        level, episodes = (results.at(name, "settings", key) for key in ("env_id", "episodes"))
        for mode, places in results.at(name, "modes").items():
            target = _target(level, mode)
            rows.append(
                (
                    level,
                    _MODES[mode],
                    "–" if target is None else target,
                    _place(places, "success", target=target),
                    _place(places, "return"),
                    _place(places, "return", "dream"),
                    measured(results.at(name, "gap", mode), target=_GAP),
                )
            )
    columns = ("level", "actions", "target", "success in reality", "return in reality", "in the dream", "gap")
    return [
        "### The agent that ships",
        f"PPO on the dream's latent state, {episodes} episodes in dream and reality of each level. A gap should be 0.",
        results.source(*_SHIPPED),
        table(columns, rows),
    ]


def _place(places: dict[str, Any], name: str, place: str = "reality", target: Target | None = None) -> str:
    return measured(places[place].get(name), target=target)


def _training(results: Results) -> list[str]:
    last = results.at("agent-training", -1)
    return [
        f"Its training took {measured(last['seconds'], '.0f', 's', _SECONDS)} (target {_SECONDS}), of which "
        f"{last['evaluating']:.0f} s went into playing in dream and reality to measure. Loading is not counted.",
        results.source("agent-training"),
        _points(results.at("agent-training")),
    ]


def _points(points: list[dict[str, Any]]) -> str:
    levels = list(dict.fromkeys(level for point in points for level in point.get("successes", {})))
    columns = ("steps in the dream", "seconds", "of which measuring", "return in the dream", "in reality", "gap")
    rows = []
    for point in points:
        value, low, high = point["gap"]
        times = (number(point[key], ".0f") for key in ("seconds", "evaluating"))
        returns = (number(point[key]) for key in ("dream", "reality"))
        gap = interval({"value": value, "low": low, "high": high})
        successes = [number(point["successes"][level]) for level in levels] or [number(point["success"])]
        rows.append((f"{point['steps']:,}", *times, *returns, gap, *successes))
    return table((*columns, *([f"success in {level}" for level in levels] or ["success in reality"])), rows)


def _seeds(results: Results) -> list[str]:
    names, rows = (_HARDEST, *(f"agent-seed-{seed}" for seed in (1, 2, 3, 4))), []
    for seed, name in enumerate(names):
        level = results.at(name, "settings", "env_id")
        modes = results.at(name, "modes").items()
        rows.append((seed, level, *(_place(places, "success", target=_target(level, mode)) for mode, places in modes)))
    return [
        "### Five seeds",
        "The same training with other seeds, tested in the same way; seed 0 is the agent that ships.",
        results.source(*names[1:]),
        table(
            (
                "seed",
                "level",
                f"success in reality, actions sampled (target {_SUCCESS})",
                f"likeliest actions (target {_LIKELIEST})",
            ),
            rows,
        ),
    ]


def _others(results: Results) -> list[str]:
    rows = []
    for name, words, target in (
        ("agent-pixels", "PPO on pixels that the dream draws", _OTHERS),
        ("agent-planner", "planner (cross-entropy method in the dream, nothing learned)", _OTHERS),
        ("agent-control", "control model of the dream, which imitates the recording", None),
    ):
        level, episodes = (results.at(name, "settings", key) for key in ("env_id", "episodes"))
        for mode, places in results.at(name, "modes").items():
            wanted = "–" if target is None else target
            success = _place(places, "success", target=target)
            gap = interval(results.at(name, "gap", mode))
            rows.append((words, level, episodes, _MODES[mode], wanted, success, gap))
    columns = ("agent", "level", "episodes", "actions", "target", "success in reality", "gap")
    return [
        "### On pixels, by planning, by the dream's own control model",
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
