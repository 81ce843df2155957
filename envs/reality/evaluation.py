"""Compares a dream with reality in lockstep: same start, same actions, on layouts that its recording does not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.envs.reality.lockstep import Bench, Outcomes, lockstep
from nova_gym.envs.reality.unseen import what_is_unseen
from nova_gym.errors import BadInputError
from nova_gym.measures import TILE_TOLERANCE, Estimate, alike, mean, psnr, share, ssim, tile_errors
from nova_gym.simulator import DreamSimulator

#: Steps of the open-loop rollout after which frames are compared.
CHECKPOINTS = (1, 10, 50, 100, 1000)
#: Steps after which an episode without a horizon is stopped.
LONGEST = 1000
#: Share of actions that the expert chooses in the episodes that test rewards and endings.
EXPERT = 0.7

Progress = Callable[[str, int, int], None]


@dataclass
class Report:
    """What an evaluation found, of one real environment.

    Attributes:
        settings: the arguments of the evaluation; the number of held-out layouts where starts were chosen by them;
            `recorded`, the environment that the dream was recorded from, where that is another; and `unseen`, a
            sentence about what the dream has never seen, where there is such a thing.
        open_loop: by step, then by measure: `psnr` (dB) and `ssim`, and for tiled frames `exact` and `tile accuracy`.
        transitions: by transition class, the share of exact frames after one step.
        outcomes: figures of reward and termination: of `random` actions in the open loop, of the `transitions`, and of
            those episodes that the `expert` leads.
        worst: the worst last frames of the open loop, (n, H, W, C) float32 in [0, 1], of reality and of the dream.
    """

    settings: dict[str, Any]
    open_loop: dict[int, dict[str, Estimate | None]] = field(default_factory=dict)
    transitions: dict[str, Estimate | None] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Estimate | None]] = field(default_factory=dict)
    worst: tuple[np.ndarray, np.ndarray] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All numbers, JSON-ready."""
        plain = lambda measures: {k: v.to_dict() for k, v in measures.items() if v is not None}  # noqa: E731
        return {
            "settings": self.settings,
            "open_loop": {str(step): plain(measures) for step, measures in self.open_loop.items()},
            "transitions": plain(self.transitions),
            "outcomes": {part: plain(measures) for part, measures in self.outcomes.items()},
        }

    def picture(self) -> np.ndarray | None:
        """(3 H, n W, C) uint8: reality, dream and their difference, for the worst cases."""
        if self.worst is None:
            return None
        truth, frames = self.worst
        rows = [np.concatenate(list(row), axis=1) for row in (truth, frames, np.abs(truth - frames))]
        return (np.concatenate(rows).clip(0, 1) * 255).astype(np.uint8)


def evaluate(
    dream: Dream,
    episodes: int = 256,
    steps: int = 100,
    seed: int = 0,
    starts: str | None = None,
    progress: Progress = lambda part, done, total: None,
    reality: str | None = None,
) -> Report:
    """Compares a dream with a real environment.

    - Open loop: the dream gets the first frame, and from then on actions alone, drawn uniformly from the action space.
      So that each episode reaches the last step, the environment's time limit is passed over, and an action that would
      end the episode is drawn again (`Reality.ends`). Where an episode ends all the same, it counts as long as it goes
      on; each figure tells by its n how many episodes are behind it.
    - Transitions: one step from an encoded real frame, for each transition class that the `Reality` can arrange.
    - Outcomes: reward and termination. Transitions test them. If the `Reality` has an expert, as many episodes that
      mostly follow it are played as well, until reality ends them. In the open loop nothing should end or pay.

    Only starts that the recording cannot hold are used. Where the dream was recorded from this very environment, these
    are its held-out layouts (`settings["held_out_layouts"]` says how many different ones there were). Where it was
    recorded from another, they are all of its layouts. Intervals treat episodes as independent, though some share a
    layout.

    Args:
        dream: with a real counterpart.
        episodes: number of episodes, and of transitions of each class.
        steps: length of the open loop.
        seed: of layouts and actions.
        starts: `random`, agent and goal anywhere, or `official`, as the environment resets itself. None: `official`
            where the dream was recorded from another environment, else `random`. Where the `Reality` cannot move agent
            and goal, all are official.
        progress: called as `progress(part, done, total)`.
        reality: id of another real environment that the dream dreams of (`dream_at`); None for its own.

    Raises:
        BadInputError: an argument is out of range or unknown, or the dream has no real counterpart.
    """
    if episodes < 1 or steps < 1:
        raise BadInputError(f"at least 1 episode of 1 step is needed, not {episodes} of {steps}")
    dream = dream_at(dream, reality)
    bench = Bench(dream, starts, seed)
    report = Report({"env_id": dream.card.env_id, "episodes": episodes, "seed": seed, "starts": bench.starts})
    if bench.recorded_elsewhere:
        report.settings["recorded"] = dream.card.data["reality"]["env_id"]
        if unseen := what_is_unseen(dream):
            report.settings["unseen"] = unseen
    report.outcomes["random"] = _open_loop(bench, report, episodes, steps, progress)
    if bench.holds_out:
        report.settings["held_out_layouts"] = len(bench.layouts)  # in the open loop
    report.outcomes["transitions"] = _transitions(bench, report, episodes, progress)
    report.outcomes["expert"] = _led(bench, episodes, progress)
    report.outcomes = {part: figures for part, figures in report.outcomes.items() if figures}
    return report


def _open_loop(
    bench: Bench, report: Report, episodes: int, steps: int, progress: Progress
) -> dict[str, Estimate | None]:
    envs = [bench.environment() for _ in range(episodes)]
    checkpoints = {*(t for t in CHECKPOINTS if t <= steps), steps}

    def look(t: int, simulator: DreamSimulator, alive: np.ndarray) -> None:
        progress("open loop", t, steps)
        if t not in checkpoints:
            return
        rows = np.flatnonzero(alive)
        truth = bench.frames([envs[i] for i in rows]).astype(np.float32) / 255.0
        frames = bench.draw(simulator, rows)
        ratios = psnr(truth, frames)
        measures = {"psnr": mean(ratios), "ssim": mean(ssim(truth, frames))}
        if bench.tile:
            errors = tile_errors(truth, frames, bench.tile)
            measures["exact"] = share((errors < TILE_TOLERANCE).all((1, 2)))
            measures["tile accuracy"] = mean((errors < TILE_TOLERANCE).mean((1, 2)))
        report.open_loop[t] = measures
        worst = np.argsort(ratios)[:8]
        report.worst = truth[worst], frames[worst]

    outcomes = lockstep(bench, envs, lambda i: bench.harmless_action(envs[i]), steps, look, limited=False)
    for env in envs:
        env.close()
    return outcomes.summary(bench.sparse)


def _transitions(bench: Bench, report: Report, count: int, progress: Progress) -> dict[str, Estimate | None] | None:
    """Transitions of each class; returns the outcomes of all together, None where no class can be arranged."""
    env, classes, outcomes = bench.reality.make(), bench.reality.transition_classes, Outcomes()
    for done, kind in enumerate(classes):
        before, after, actions, real, failed = [], [], [], [], 0
        while len(actions) < count and failed < 20:  # after 20 layouts without such a pose the class is left out
            bench.restart(env)
            action = bench.reality.place(env, kind, bench.rng)
            if action is None:
                failed += 1
                continue
            before.append(bench.reality.frame(env))
            real.append(env.step(action)[1:3])
            after.append(bench.reality.frame(env))
            actions.append(action)
        progress("transitions", done + 1, len(classes))
        if not actions:
            continue
        simulator = bench.simulator(np.stack(before))
        result = simulator.step(bench.actions(actions))
        outcomes.paid += [(float(reward), paid) for (reward, _), paid in zip(real, result.reward.tolist(), strict=True)]
        outcomes.ended += [(bool(end), said) for (_, end), said in zip(real, result.terminated.tolist(), strict=True)]
        frames = bench.draw(simulator, np.arange(len(actions)))
        truth = np.stack(after).astype(np.float32) / 255.0
        report.transitions[kind] = share(alike(truth, frames, bench.tile))
    env.close()
    return outcomes.summary(bench.sparse) if outcomes.ended else None


def _led(bench: Bench, episodes: int, progress: Progress) -> dict[str, Estimate | None] | None:
    """Outcomes of episodes that mostly follow the expert; None without an expert."""
    envs: list[gym.Env] = [bench.environment() for _ in range(episodes)]
    experts = [bench.reality.policy(env) for env in envs]
    outcomes, horizon = None, bench.dream.card.horizon or LONGEST

    def choose(i: int) -> Any:
        return experts[i]() if bench.rng.random() < EXPERT else bench.random_action()

    if all(experts):
        outcomes = lockstep(bench, envs, choose, horizon, lambda t, *_: progress("expert", t, horizon))
    for env in envs:
        env.close()
    return outcomes.summary(bench.sparse) if outcomes else None
