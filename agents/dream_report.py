"""The report of `nova-gym dream`: what was recorded, what suits it, how true the dream is, what its agent reaches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from nova_gym.agents.actions import PlainActions
from nova_gym.agents.evaluation import film
from nova_gym.agents.pace import longest_episode
from nova_gym.agents.reality_vec import FIRST_UNSEEN_SEED
from nova_gym.agents.saving import agent_observation
from nova_gym.dream import Dream
from nova_gym.envs import make_reality
from nova_gym.envs.frames import to_simulator
from nova_gym.files import write_text
from nova_gym.pictures import save_gif, save_png, strip
from nova_gym.simulator import DreamSimulator

if TYPE_CHECKING:
    from nova_gym.agents.journal import Plan

#: Columns of the strip, and steps that it spans at most. About how wide a frame is drawn there and in the film.
COLUMNS, SPAN, STRIP_WIDTH, FILM_WIDTH = 8, 50, 96, 192
#: Frames of the film at most, and the milliseconds that all of them together take, about.
FRAMES, LASTS, SLOWEST, FASTEST = 160, 16_000, 250, 40


def write_report(
    path: Path,
    dream: Dream,
    agent: BaseAlgorithm,
    steps: dict[str, dict[str, Any]],
    plan: Plan,
    folder: Path,
) -> None:
    """Writes the report as Markdown, and its pictures into a folder beside it.

    Args:
        path: of the report.
        dream: that is kept.
        agent: that is kept.
        steps: what was found in each step (`Journal.steps`).
        plan: that was followed.
        folder: for the pictures, in the folder of the report.
    """
    frames, shown = open_loop_strip(dream, agent, plan.seed)
    save_png(folder / "strip.png", frames)
    save_gif(folder / "film.gif", *filmed(dream, agent, plan.seed))
    parts = [
        [f"# A dream of {plan.spec.env_id}", "", *_head(path, dream, steps, plan)],
        _recorded(steps),
        _trained(steps, dream),
        _reached(steps),
        _fidelity(steps),
        _pictures(folder.name, shown, dream.is_random),
        _times(steps, plan),
    ]
    write_text(path, "\n".join(itertools.chain.from_iterable([*part, ""] for part in parts)))


@torch.no_grad()
def open_loop_strip(dream: Dream, agent: BaseAlgorithm, seed: int) -> tuple[np.ndarray, list[int]]:
    """Frames of reality above those of the dream, which is given the first frame and then the agent's actions alone.

    Returns:
        (H, W, 3) uint8, and the steps that are shown.
    """
    truth, actions = _walk(dream, agent, seed)
    simulator = DreamSimulator(dream, 1, horizon=0)
    first = torch.from_numpy(truth[0].copy()).permute(2, 0, 1)[None].float() / 255.0
    begun = dream.world_model.begin(dream.world_model.encode(first), official=True)
    simulator.reset(states=begun, generator=torch.Generator().manual_seed(seed))
    dreamt = [simulator.render()]
    for action in actions:
        simulator.step(to_simulator(dream, np.asarray(action)[None]))
        dreamt.append(simulator.render())
    shown = sorted(set(np.linspace(0, len(actions), COLUMNS).round().astype(int).tolist()))
    pictures = [(frame[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy() for frame in dreamt]
    rows = {"reality": np.stack([truth[t] for t in shown]), "dream": np.stack([pictures[t] for t in shown])}
    return strip(rows, [str(t) for t in shown], max(1, STRIP_WIDTH // dream.frame_size[1])), shown


def _walk(dream: Dream, agent: BaseAlgorithm, seed: int) -> tuple[list[np.ndarray], list[Any]]:
    """Real frames (H, W, C) uint8 of the beginning of an episode of the agent, and its actions."""
    real = make_reality(dream, agent_observation(agent, dream), device="cpu")
    env = PlainActions(real)
    agent.set_random_seed(seed)
    seen, _ = env.reset(seed=FIRST_UNSEEN_SEED + 1000 * seed)
    frames, actions, ended = [real.frame()], [], False
    while len(actions) < min(SPAN, longest_episode(dream)) and not ended:
        action = agent.predict(seen[None], deterministic=False)[0][0]
        actions.append(env.action(action))
        seen, _, terminated, truncated, _ = env.step(action)
        frames.append(real.frame())
        ended = terminated or truncated
    env.close()
    return frames, actions


def filmed(dream: Dream, agent: BaseAlgorithm, seed: int) -> tuple[list[np.ndarray], int]:
    """The agent in reality and in the dream, side by side; and for how many milliseconds to show each frame."""
    scale = max(1, FILM_WIDTH // dream.frame_size[1])
    short = replace(dream, card=replace(dream.card, horizon=min(longest_episode(dream), FRAMES // 2)))
    frames = film(agent, short, seed, walks=2, scale=scale)[:FRAMES]
    frames = [frame if frame.shape[2] == 3 else frame.repeat(3, 2) for frame in frames]
    return frames, min(max(LASTS // len(frames), FASTEST), SLOWEST)


def _head(path: Path, dream: Dream, steps: dict[str, dict[str, Any]], plan: Plan) -> list[str]:
    modes = steps["test"]["agent"]["modes"]
    mode = max(modes, key=lambda name: modes[name]["reality"]["return"]["value"])
    tested = modes[mode]
    chance = steps["test"]["random play"]
    file = path.with_suffix(".safetensors").name
    return [
        f"The agent learned in the dream alone. In reality it returns {_figure(tested['reality']['return'])}, in the "
        f"dream {_figure(tested['dream']['return'])} ({mode} actions). Playing at random returns "
        f"{_figure(chance['return'])}. Brackets hold 95 % intervals.",
        "",
        "```python",
        f'env = gym.make("nova_gym:NovaDream-v0", dream="{file}")',
        "```",
        "",
        f"Seed {plan.seed}, frames of {dream.frame_size[0]}×{dream.frame_size[1]} pixels, dream of "
        f"{dream.cells[0]}×{dream.cells[1]} cells.",
    ]


def _recorded(steps: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["## What was recorded", ""]
    more = steps.get("record more", {}).get("transitions", 0)
    rows, warnings = [], []
    for step in (steps[name] for name in ("record", "record more") if "summary" in steps.get(name, {})):
        seen = step["summary"]
        rewards, ends = seen["rewards"], seen["endings"]
        rows.append(
            [
                f"`{step['dataset']}`",
                f"{step['transitions']:,}",
                f"{ends['clips']:,}",
                f"{ends['terminated']:,} / {ends['truncated']:,} / {ends['cut']:,}",
                f"{rewards['least']:.4g} to {rewards['most']:.4g}, mean {rewards['mean']:.4g}",
                f"{seen['coverage']['different frames']:,}",
            ]
        )
        warnings += [f"- {line}" for line in seen["warnings"]]
    columns = ["recording", "transitions", "clips", "terminated / truncated / cut", "rewards", "different frames"]
    lines += _table(columns, rows)
    if more:
        lines += ["", f"The second one is of the agent in reality, with random actions among its own: {more:,} real"]
        lines[-1] += (
            " steps beyond the first recording. Evaluations in reality chose versions; nothing learned from them."
        )
    return lines + (["", *warnings] if warnings else [])


def _trained(steps: dict[str, dict[str, Any]], dream: Dream) -> list[str]:
    found, config = steps["train"], dream.world_model.config
    lines = ["## What suits it", "", *[f"- {line}" for line in found["suits"]]]
    lines += [
        f"- preset `{found['preset']}`, {config.rank} numbers of state, {config.memory} of memory and "
        f"{config.outcomes} outcomes of chance in a cell",
        "",
    ]
    stages = {**found["stages"]}
    again = steps.get("train further", {}).get("stages", {})
    stages |= {f"{name}, with the second recording": stage for name, stage in again.items()}
    rows = [
        [name, f"{stage['steps']:,}", f"{stage['seconds']:.0f}", f"{stage['loss']:.4g}"]
        for name, stage in stages.items()
        if "steps" in stage and "loss" in stage
    ]
    return lines + _table(["stage", "steps", "seconds", "loss"], rows)


def _reached(steps: dict[str, dict[str, Any]]) -> list[str]:
    test = steps["test"]
    lines = ["## The agent", ""]
    rows = []
    for name, label in (("agent", "first"), ("agent again", "after the second recording")):
        for point in steps.get(name, {}).get("points", []):
            success = "–" if point["success"] is None else f"{point['success']:.0%}"
            gap = "{:+.4g} [{:+.4g}, {:+.4g}]".format(*point["gap"])
            rows.append(
                [label, f"{point['steps']:,}", f"{point['dream']:.4g}", f"{point['reality']:.4g}", gap, success]
            )
    columns = ["agent", "steps in the dream", "return in the dream", "in reality", "gap", "success"]
    lines += [f"{steps['agent']['algorithm']}, while it learned:", "", *_table(columns, rows), ""]
    kept = "first" if test["kept"] == 1 else "second"
    lines += [f"Kept: the {kept} dream and its agent. On seeds that nothing else used:", ""]
    places = [
        [mode, place, *(_figure(row.get(key)) for key in ("return", "success", "length"))]
        for mode, found in test["agent"]["modes"].items()
        for place, row in found.items()
    ]
    places.append(
        ["random play", "reality", *(_figure(test["random play"].get(k)) for k in ("return", "success", "length"))]
    )
    return lines + _table(["actions", "place", "return", "success", "length"], places)


def _fidelity(steps: dict[str, dict[str, Any]]) -> list[str]:
    found, title = steps["figures"]["figures"], "## How true the dream is"
    if "not measured" in found:
        return [title, "", f"Not measured: {found['not measured']}"]
    return [title, "", "In lockstep with reality:", "", *_table(["measure", "n", "value"], list(_leaves(found)))]


def _leaves(found: dict[str, Any], path: tuple[str, ...] = ()) -> Iterable[list[str]]:
    """Rows of all figures in nested dictionaries."""
    for key, value in found.items():
        if isinstance(value, dict) and {"value", "low", "high"} <= set(value):
            yield [", ".join([*path, key]), str(value.get("n", "")), _figure(value)]
        elif isinstance(value, dict) and key != "settings":
            named = f"after {key} step{'' if key == '1' else 's'}" if key.isdigit() else key.replace("_", " ")
            yield from _leaves(value, (*path, named))
        elif isinstance(value, float):
            yield [", ".join([*path, key]), "", f"{value:.4g}"]


def _pictures(folder: str, shown: list[int], random: bool) -> list[str]:
    chance = " Each side has its own chance, so they may part." if random else ""
    return [
        "## Pictures",
        "",
        f"After the first frame the dream is given actions alone (steps {shown[0]} to {shown[-1]}).{chance}",
        "",
        f"![Reality above, the dream below]({folder}/strip.png)",
        "",
        "The agent in reality (left) and in the dream (right), from the same starts; on each side it sees that side:",
        "",
        f"![The agent in reality and in the dream]({folder}/film.gif)",
    ]


def _times(steps: dict[str, dict[str, Any]], plan: Plan) -> list[str]:
    rows = [[name, f"{step['seconds'] / 60:.1f}", step.get("skipped", "")] for name, step in steps.items()]
    rows.append(["all", f"{sum(step['seconds'] for step in steps.values()) / 60:.1f}", f"asked for: {plan.minutes:g}"])
    return ["## Time", "", *_table(["step", "minutes", ""], rows)]


def _table(columns: list[str], rows: Iterable[list[str]]) -> list[str]:
    line = lambda cells: "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"  # noqa: E731
    return [line(columns), line(["---"] * len(columns)), *map(line, rows)]


def _figure(estimate: dict[str, float] | None) -> str:
    if estimate is None:
        return "–"
    return "{value:.4g} [{low:.4g}, {high:.4g}]".format(**estimate)
