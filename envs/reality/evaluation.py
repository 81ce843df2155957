"""Compares a dream with reality in lockstep: same start, same actions, on held-out layouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from nova_gym.dream import Dream
from nova_gym.envs.adapter import encode_frames, reality_of
from nova_gym.envs.reality.base import ATTEMPTS, Reality
from nova_gym.errors import BadInputError
from nova_gym.measures import TILE_TOLERANCE, Estimate, alike, mean, psnr, share, ssim, tile_errors
from nova_gym.simulator import DreamSimulator

#: Steps of the open-loop rollout after which frames are compared.
CHECKPOINTS = (1, 10, 50, 100)
#: Steps after which an episode without a horizon is stopped.
LONGEST = 1000
#: Share of actions that the expert chooses in the episodes that test rewards and endings.
EXPERT = 0.7

Progress = Callable[[str, int, int], None]


@dataclass
class Report:
    """What an evaluation found.

    Attributes:
        settings: the arguments of the evaluation, and the number of held-out layouts where there are any.
        open_loop: by step, then by measure: `psnr` (dB) and `ssim`, and for tiled frames `exact` and `tile accuracy`.
        transitions: by transition class, the share of exact frames after one step.
        outcomes: figures of reward and termination, for `random` actions and for those of the `expert`.
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
    starts: str = "random",
    progress: Progress = lambda part, done, total: None,
) -> Report:
    """Compares a dream with its reality.

    - Open loop: the dream gets the first frame, and from then on actions alone, drawn uniformly from the action space.
      An episode counts as long as the real one goes on.
    - Transitions: one step from an encoded real frame, for each transition class that the `Reality` can arrange.
    - Outcomes: reward and termination in the open-loop episodes. If the `Reality` has an expert, as many episodes that
      mostly follow it are played as well, until reality ends them, because a random walk seldom reaches an end.

    Intervals treat episodes as independent, though some share a layout. `settings["held_out_layouts"]` says how many
    different layouts there were.

    Args:
        dream: with a real counterpart.
        episodes: number of episodes, and of transitions of each class.
        steps: length of the open loop.
        seed: of layouts and actions.
        starts: `random`, agent and goal anywhere, or `official`, as the environment resets itself. Where the `Reality`
            cannot move them, both are official.
        progress: called as `progress(part, done, total)`.

    Raises:
        BadInputError: an argument is out of range or unknown, or the dream has no real counterpart.
    """
    if episodes < 1 or steps < 1:
        raise BadInputError(f"at least 1 episode of 1 step is needed, not {episodes} of {steps}")
    if starts not in ("random", "official"):
        raise BadInputError(f"unknown starts {starts!r}; there are random, official")
    reality = reality_of(dream)
    starts = starts if reality.scatters else "official"
    bench = _Bench(dream, reality, starts, seed)
    report = Report({"env_id": dream.card.env_id, "episodes": episodes, "seed": seed, "starts": starts})
    report.outcomes["random"] = _open_loop(bench, report, episodes, steps, progress)
    if bench.holds_out:
        report.settings["held_out_layouts"] = len(bench.layouts)  # in the open loop
    _transitions(bench, report, episodes, progress)
    if (outcomes := _led(bench, episodes, progress)) is not None:
        report.outcomes["expert"] = outcomes
    return report


class _Bench:
    """Real environments at held-out starts, and dreams that begin where they do."""

    def __init__(self, dream: Dream, reality: Reality, starts: str, seed: int) -> None:
        self.dream, self.reality, self.starts = dream, reality, starts
        self.rng = np.random.default_rng([seed, 0x5EED])
        probe = reality.make()
        self.tile = reality.tile(probe)
        self.holds_out = reality.can_hold_out(probe)
        probe.close()
        self.layouts: set[bytes] = set()

    def environment(self) -> gym.Env:
        """A real environment, freshly reset."""
        env = self.reality.make()
        self.restart(env)
        return env

    def restart(self, env: gym.Env) -> None:
        """Resets to another start on a held-out layout; on any layout if the environment has no held-out ones."""
        for _ in range(ATTEMPTS):
            env.reset(seed=int(self.rng.integers(2**31)))
            if self.starts == "random":
                self.reality.scatter(env, self.rng)
            if not self.holds_out:
                return
            if self.reality.is_held_out(env):
                self.layouts.add(self.reality.layout_id(env))
                return
        raise BadInputError(
            f"{self.reality.spec.env_id} has layouts that are held out, but {ATTEMPTS} {self.starts} starts gave none"
        )

    def frames(self, envs: list[gym.Env]) -> np.ndarray:
        """What environments look like now: (n, H, W, C) uint8."""
        return np.stack([self.reality.frame(env) for env in envs])

    def simulator(self, frames: np.ndarray) -> DreamSimulator:
        """Dreams that start from these frames."""
        simulator = DreamSimulator(self.dream, len(frames), horizon=0)
        simulator.reset(states=encode_frames(self.dream, frames))
        return simulator

    def actions(self, actions: list) -> torch.Tensor:
        """Environment actions as the simulator takes them."""
        dtype = torch.int64 if self.dream.world_model.config.discrete else torch.float32
        return torch.as_tensor(np.asarray(actions), dtype=dtype, device=self.dream.world_model.device)

    @property
    def sparse(self) -> bool:
        """Whether rewards take few values, so that each predicted reward is either right or wrong."""
        return bool(self.dream.world_model.config.reward_values)

    def random_action(self) -> Any:
        """Drawn uniformly from the dream's action space."""
        config = self.dream.world_model.config
        if config.discrete:
            return int(self.rng.integers(config.actions))
        low, high = (np.asarray(bound) for bound in self.dream.card.action_bounds)
        return self.rng.uniform(low, high).astype(np.float32)

    def draw(self, simulator: DreamSimulator, rows: np.ndarray) -> np.ndarray:
        """The frames of the dreams in these rows: (n, H, W, C) float32 in [0, 1]."""
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
    """Steps environments and dreams together by the actions `choose(i)`, and adds what they pay to `outcomes`.

    A dream's return stops where the dream ends the episode, the comparison where reality does. After each step,
    `each_step(t, simulator, alive)` is called.
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

    outcomes = _Outcomes()
    _lockstep(bench, envs, lambda i: bench.random_action(), steps, outcomes, look)
    for env in envs:
        env.close()
    return outcomes.summary(bench.sparse)


def _transitions(bench: _Bench, report: Report, count: int, progress: Progress) -> None:
    env = bench.reality.make()
    classes = bench.reality.transition_classes
    for done, kind in enumerate(classes):
        before, after, actions, failed = [], [], [], 0
        while len(actions) < count and failed < 20:  # after 20 layouts without such a pose the class is left out
            bench.restart(env)
            action = bench.reality.place(env, kind, bench.rng)
            if action is None:
                failed += 1
                continue
            before.append(bench.reality.frame(env))
            env.step(action)
            after.append(bench.reality.frame(env))
            actions.append(action)
        progress("transitions", done + 1, len(classes))
        if not actions:
            continue
        simulator = bench.simulator(np.stack(before))
        simulator.step(bench.actions(actions))
        frames = bench.draw(simulator, np.arange(len(actions)))
        truth = np.stack(after).astype(np.float32) / 255.0
        report.transitions[kind] = share(alike(truth, frames, bench.tile))
    env.close()


def _led(bench: _Bench, episodes: int, progress: Progress) -> dict[str, Estimate | None] | None:
    """Outcomes of episodes that mostly follow the expert; None without an expert."""
    envs = [bench.environment() for _ in range(episodes)]
    experts = [bench.reality.policy(env) for env in envs]
    outcomes, horizon = _Outcomes(), bench.dream.card.horizon or LONGEST

    def choose(i: int) -> Any:
        if bench.rng.random() < EXPERT:
            return experts[i]()
        return bench.random_action()

    if all(experts):
        _lockstep(bench, envs, choose, horizon, outcomes, lambda t, *_: progress("expert", t, horizon))
    for env in envs:
        env.close()
    return outcomes.summary(bench.sparse) if all(experts) else None
