"""The dream in lockstep with reality: same start, same actions, on layouts that no recording holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from nova_gym.dream import Dream
from nova_gym.envs.adapter import encode_frames, reality_of
from nova_gym.envs.reality import grids
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.measures import TILE_TOLERANCE, Estimate, mean, psnr, share, ssim, tile_errors
from nova_gym.simulator import DreamSimulator

#: Steps of the open loop after which frames are compared.
CHECKPOINTS = (1, 10, 50, 100)
#: Share of actions on the shortest way to the goal in the episodes that test rewards and endings.
TO_GOAL = 0.7

Progress = Callable[[str, int, int], None]


@dataclass
class Report:
    """What an evaluation found.

    Attributes:
        settings: what was asked for.
        open_loop: by step, then by measure.
        transitions: by class of transition, share of exact frames after one step.
        outcomes: reward and termination, by part: `random` actions, and `to the goal`.
        worst: the worst last frames, (n, H, W, C) float32 of reality and of the dream.
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
    starts: str = "random",
    progress: Progress = lambda part, done, total: None,
) -> Report:
    """Compares a dream with its reality.

    Open loop: the dream is given the first frame and then actions only, drawn uniformly from the action space; an
    episode counts as long as the real one goes on. Transitions (MiniGrid): one step from an encoded real frame,
    for each class of transition. Outcomes: reward and termination in those episodes and, on MiniGrid, in as many
    that head for the goal (a random walk seldom ends), until reality ends or truncates. Intervals take episodes as
    independent, though some share a layout; `settings["held_out_layouts"]` says how many different ones there were.

    Args:
        dream: with a real counterpart.
        episodes: number of episodes, and of transitions of each class.
        steps: length of the open loop.
        seed: of layouts and actions.
        starts: `random`, agent and goal anywhere, or `official`, as the environment starts (MiniGrid; any other
            environment always starts by itself).
        progress: called as `progress(part, done, total)`.

    Raises:
        BadInputError: an argument makes no sense, or the dream has no real counterpart.
    """
    if episodes < 1 or steps < 1:
        raise BadInputError(f"at least 1 episode of 1 step is needed, not {episodes} of {steps}")
    if starts not in ("random", "official"):
        raise BadInputError(f"unknown starts {starts!r}; there are random, official")
    bench = _Bench(dream, reality_of(dream), starts, seed)
    report = Report({"env_id": dream.card.env_id, "episodes": episodes, "seed": seed, "starts": starts})
    report.outcomes["random"] = _open_loop(bench, report, episodes, steps, progress)
    if bench.on_grid:
        report.settings["held_out_layouts"] = len(bench.layouts)  # in the open loop
        _transitions(bench, report, episodes, progress)
        report.outcomes["to the goal"] = _to_goal(bench, episodes, progress)
    return report


class _Bench:
    """Makes real environments at starts that no recording holds."""

    def __init__(self, dream: Dream, spec: RealitySpec, starts: str, seed: int) -> None:
        self.dream, self.spec, self.starts = dream, spec, starts
        self.rng = np.random.default_rng([seed, 0x5EED])
        probe = spec.make()
        self.on_grid = grids.is_minigrid(probe)
        self.tile = spec.frame_size[1] // probe.unwrapped.width if self.on_grid else 0
        self.holds_out = self.on_grid and grids.can_hold_out(probe)
        probe.close()
        self.layouts: set[bytes] = set()

    def environment(self) -> gym.Env:
        """A real environment, freshly reset."""
        env = self.spec.make()
        self.restart(env)
        return env

    def restart(self, env: gym.Env) -> None:
        """Resets to another held-out start; to any start where none can be."""
        while True:
            env.reset(seed=int(self.rng.integers(2**31)))
            if self.on_grid and self.starts == "random":
                grids.scatter(env, self.rng)
            if not self.holds_out:
                return
            if grids.is_held_out(env):
                self.layouts.add(env.unwrapped.grid.encode().tobytes())
                return

    def frames(self, envs: list[gym.Env]) -> np.ndarray:
        """(n, H, W, C) uint8."""
        return np.stack([self.spec.frame(env) for env in envs])

    def simulator(self, frames: np.ndarray) -> DreamSimulator:
        """Dreams that start from these frames."""
        simulator = DreamSimulator(self.dream, len(frames), horizon=0)
        simulator.reset(states=encode_frames(self.dream, frames))
        return simulator

    def actions(self, actions: list) -> torch.Tensor:
        """Environment actions as the simulator takes them."""
        dtype = torch.int64 if self.dream.world_model.config.discrete else torch.float32
        return torch.as_tensor(np.asarray(actions), dtype=dtype, device=self.dream.world_model.device)

    def draw(self, simulator: DreamSimulator, rows: np.ndarray) -> np.ndarray:
        """(n, H, W, C) float32 in [0, 1], the dreams of these rows."""
        states = simulator.state[torch.from_numpy(rows).to(simulator.device)]
        frames = [self.dream.world_model.render(chunk) for chunk in states.split(64)]
        return torch.cat(frames).permute(0, 2, 3, 1).cpu().numpy()


class _Outcomes:
    """Rewards and endings of lockstep episodes, collected."""

    def __init__(self) -> None:
        self.ended: list[tuple[bool, bool]] = []
        self.paid: list[tuple[float, float]] = []
        self.returns: list[float] = []

    def summary(self, sparse: bool) -> dict[str, Estimate | None]:
        ended = np.asarray(self.ended, dtype=bool).reshape(-1, 2)
        paid = np.asarray(self.paid, dtype=np.float64).reshape(-1, 2)
        summary = {
            "termination recall": share(ended[ended[:, 0], 1]),
            "termination precision": share(ended[ended[:, 1], 0]),
        }
        if sparse:
            right = np.abs(paid[:, 0] - paid[:, 1]) < 0.01
            summary["reward recall"] = share(right[paid[:, 0] != 0])
            summary["reward precision"] = share(right[paid[:, 1] != 0])
        summary["reward absolute error"] = mean(np.abs(paid[:, 0] - paid[:, 1]))
        summary["return absolute error"] = mean(np.asarray(self.returns))
        return summary


def _lockstep(
    bench: _Bench,
    envs: list[gym.Env],
    choose: Callable[[int], Any],
    steps: int,
    outcomes: _Outcomes,
    each_step: Callable[[int, DreamSimulator, np.ndarray], None],
) -> None:
    """Steps environments and dreams together by `choose(i)`; `each_step(t, simulator, alive)` looks on.

    The dream's return ends where the dream says the episode ends; the comparison ends where reality does.
    """
    simulator = bench.simulator(bench.frames(envs))
    alive, dreaming = np.ones(len(envs), dtype=bool), np.ones(len(envs), dtype=bool)
    returns = np.zeros((len(envs), 2))
    for t in range(1, steps + 1):
        actions = [choose(i) for i in range(len(envs))]
        result = simulator.step(bench.actions(actions))
        rewards, ends = result.reward.cpu().numpy(), result.terminated.cpu().numpy()
        before = alive.copy()
        for i in np.flatnonzero(before):
            _, reward, terminated, truncated, _ = envs[i].step(actions[i])
            # a dream that has ended neither pays nor ends again
            outcomes.ended.append((bool(terminated), bool(ends[i] and dreaming[i])))
            outcomes.paid.append((float(reward), float(rewards[i]) * dreaming[i]))
            returns[i] += outcomes.paid[-1]
            dreaming[i] &= not ends[i]
            alive[i] = not (terminated or truncated)
        each_step(t, simulator, before)
        if not alive.any():
            break
    outcomes.returns += list(np.abs(returns[:, 0] - returns[:, 1]))


def _open_loop(
    bench: _Bench, report: Report, episodes: int, steps: int, progress: Progress
) -> dict[str, Estimate | None]:
    envs = [bench.environment() for _ in range(episodes)]
    checkpoints = {*(t for t in CHECKPOINTS if t <= steps), steps}

    def choose(i: int):
        if bench.dream.world_model.config.discrete:
            return int(bench.rng.integers(bench.dream.world_model.config.actions))
        low, high = (np.asarray(bound) for bound in bench.dream.card.action_bounds)
        return bench.rng.uniform(low, high).astype(np.float32)

    def look(t: int, simulator: DreamSimulator, alive: np.ndarray) -> None:
        progress("open loop", t, steps)
        if t not in checkpoints:
            return
        rows = np.flatnonzero(alive)
        truth = bench.frames([envs[i] for i in rows]).astype(np.float32) / 255.0
        frames = bench.draw(simulator, rows)
        ratios = psnr(truth, frames)
        measures = {"psnr": mean(ratios), "ssim": mean(ssim(truth, frames))}
        if bench.on_grid:
            errors = tile_errors(truth, frames, bench.tile)
            measures["exact"] = share((errors < TILE_TOLERANCE).all((1, 2)))
            measures["tile accuracy"] = mean((errors < TILE_TOLERANCE).mean((1, 2)))
        report.open_loop[t] = measures
        worst = np.argsort(ratios)[:8]
        report.worst = truth[worst], frames[worst]

    outcomes = _Outcomes()
    _lockstep(bench, envs, choose, steps, outcomes, look)
    for env in envs:
        env.close()
    return outcomes.summary(bench.on_grid)


def _transitions(bench: _Bench, report: Report, count: int, progress: Progress) -> None:
    env = bench.spec.make()
    classes = [kind for kind in grids.TRANSITION_CLASSES if kind != "other"]
    for done, kind in enumerate(classes):
        before, after, actions, failed = [], [], [], 0
        while len(actions) < count and failed < 20:  # 20 layouts without such a pose: there is none
            bench.restart(env)
            action = _place_for(env, kind, bench.rng)
            if action is None:
                failed += 1
                continue
            before.append(bench.spec.frame(env))
            env.step(action)
            after.append(bench.spec.frame(env))
            actions.append(action)
        progress("transitions", done + 1, len(classes))
        if not actions:
            continue
        simulator = bench.simulator(np.stack(before))
        simulator.step(bench.actions(actions))
        frames = bench.draw(simulator, np.arange(len(actions)))
        errors = tile_errors(np.stack(after).astype(np.float32) / 255.0, frames, bench.tile)
        report.transitions[kind] = share((errors < TILE_TOLERANCE).all((1, 2)))
    env.close()


def _place_for(env: gym.Env, kind: str, rng: np.random.Generator) -> int | None:
    """An action of class `kind`, the agent moved to where it is one; None if this layout has no such place."""
    if kind == "turn":
        return int(rng.choice([grids.Actions.left, grids.Actions.right]))
    if kind == "no-op":
        return int(rng.integers(grids.Actions.forward + 1, env.action_space.n))
    poses = grids.poses_facing(env, kind)
    if not poses:
        return None
    grids.place_agent(env, *poses[int(rng.integers(len(poses)))])
    return int(grids.Actions.forward)


def _to_goal(bench: _Bench, episodes: int, progress: Progress) -> dict[str, Estimate | None]:
    envs = [bench.environment() for _ in range(episodes)]
    ways = [grids.distances_to_goal(env) for env in envs]

    def choose(i: int) -> int:
        if bench.rng.random() < TO_GOAL:
            return grids.action_to_goal(envs[i], ways[i])
        return int(bench.rng.integers(bench.dream.world_model.config.actions))

    horizon = bench.dream.card.horizon
    outcomes = _Outcomes()
    _lockstep(bench, envs, choose, horizon, outcomes, lambda t, *_: progress("to the goal", t, horizon))
    for env in envs:
        env.close()
    return outcomes.summary(sparse=True)
