"""Compares a dream with reality in lockstep: same start, same actions, on layouts that its recording does not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from nova_gym.dream import Dream
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.envs.reality.futures import Futures, futures
from nova_gym.envs.reality.lockstep import Bench, Outcomes, lockstep
from nova_gym.envs.reality.open_loop import OpenLoop, open_loop
from nova_gym.envs.reality.unseen import what_is_unseen
from nova_gym.errors import BadInputError
from nova_gym.measures import TILE_TOLERANCE, Estimate, agreement, alike, mean, psnr, share, ssim, tile_errors
from nova_gym.simulator import DreamSimulator

#: Steps of the open-loop rollout after which frames are compared.
CHECKPOINTS = (1, 10, 50, 100, 1000)
#: Steps after which an episode without a horizon is stopped.
LONGEST = 1000
#: Share of actions that the expert chooses in the episodes that test rewards and endings.
EXPERT = 0.7

#: Steps at the beginning of an episode in which classes of transitions are looked for that cannot be arranged.
FIRST_STEPS = 10
#: Environments without an expert after which none is asked for.
NO_EXPERT = 8
#: Episodes of `OpenLoop` and situations of `Futures`, at most.
HEARD, SITUATIONS = 64, 32
#: The row of a report for transitions whose class the `Reality` does not list.
OTHER = "other"

Progress = Callable[[str, int, int], None]


@dataclass
class Report:
    """What an evaluation found, of one real environment.

    Attributes:
        settings: the arguments of the evaluation; the number of held-out layouts where starts were chosen by them;
            `recorded`, the environment that the dream was recorded from, where that is another; and `unseen`, a
            sentence about what the dream has never seen, where there is such a thing.
        open_loop: by step, then by measure: `psnr` (dB) and `ssim`, and for tiled frames `exact` and `tile accuracy`.
        transitions: by transition class, the share of exact frames after it; "other" are those whose class the
            `Reality` does not list.
        doubt: how well the dream's doubt agrees with which frames of the open loop are wrong (`agreement`); empty where
            it cannot doubt.
        outcomes: figures of reward and termination: of `random` actions in the open loop, of the `transitions`, and of
            those episodes that the `expert` leads.
        heard: the open loop of whole episodes, whose first steps the dream has heard; None where frames consist of
            tiles and nothing is hidden or random, since `open_loop` says all there.
        chance: where the dream is random, how its chance agrees with that of reality; else None.
        worst: the worst last frames of the open loop, (n, H, W, C) float32 in [0, 1], of reality and of the dream.
    """

    settings: dict[str, Any]
    open_loop: dict[int, dict[str, Estimate | None]] = field(default_factory=dict)
    transitions: dict[str, Estimate | None] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Estimate | None]] = field(default_factory=dict)
    doubt: dict[str, float] = field(default_factory=dict)
    heard: OpenLoop | None = None
    chance: Futures | None = None
    worst: tuple[np.ndarray, np.ndarray] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All numbers, JSON-ready."""
        plain = lambda measures: {k: v.to_dict() for k, v in measures.items() if v is not None}  # noqa: E731
        return {
            "settings": self.settings,
            "open_loop": {str(step): plain(measures) for step, measures in self.open_loop.items()},
            "transitions": plain(self.transitions),
            "outcomes": {part: plain(measures) for part, measures in self.outcomes.items()},
            **({"doubt": self.doubt} if self.doubt else {}),
            **{name: part.to_dict() for name in ("heard", "chance") if (part := getattr(self, name)) is not None},
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
    - Transitions: for each transition class, one step from an encoded real frame, or the few steps that lead up to it
      (`Reality.arrange`). Classes that the `Reality` cannot arrange are looked for in the first steps of episodes.
    - Outcomes: reward and termination. Transitions test them. If the `Reality` has an expert, as many episodes that
      mostly follow it are played as well, until reality ends them. In the open loop nothing should end or pay.
    - Whole episodes that the dream hears the first steps of, where one frame does not say all (`open_loop`), and for a
      dream with chance what the same step leads to, many times (`futures`).

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
    if not bench.tile or dream.world_model.has_memory or dream.is_random:
        report.heard = open_loop(dream, min(episodes, HEARD), seed=seed, progress=progress)
    if dream.is_random:
        report.chance = futures(dream, min(episodes, SITUATIONS), seed=seed, progress=progress)
    return report


def _open_loop(
    bench: Bench, report: Report, episodes: int, steps: int, progress: Progress
) -> dict[str, Estimate | None]:
    envs = [bench.environment() for _ in range(episodes)]
    checkpoints = {*(t for t in CHECKPOINTS if t <= steps), steps}
    doubts: list[np.ndarray] = []

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
        if simulator.follows_doubt:
            right = alike(truth, frames, bench.tile)
            doubts.append(np.stack([simulator.doubt.cpu().numpy()[rows], ~right]))
        worst = np.argsort(ratios)[:8]
        report.worst = truth[worst], frames[worst]

    outcomes = lockstep(bench, envs, lambda i: bench.harmless_action(envs[i]), steps, look, limited=False)
    if doubts:
        doubted, wrong = np.concatenate(doubts, axis=1)
        report.doubt = agreement(doubted, wrong > 0)
    for env in envs:
        env.close()
    return outcomes.summary(bench.sparse)


@dataclass
class _Stretch:
    """A short way in reality to one transition: first and last frame, actions, and what the last of them did."""

    before: np.ndarray
    actions: list[Any]
    after: np.ndarray
    reward: float
    terminated: bool


def _transitions(bench: Bench, report: Report, count: int, progress: Progress) -> dict[str, Estimate | None] | None:
    """Transitions of each class; returns the outcomes of all together, None where there is none.

    Classes that cannot be arranged are looked for in the first steps of episodes.
    """
    env, classes, outcomes = bench.reality.make(), bench.reality.transition_classes, Outcomes()
    missing = []
    for done, kind in enumerate(classes):
        found = _arranged(bench, env, kind, count)
        progress("transitions", done + 1, len(classes))
        if found:
            _test(bench, report, kind, found, outcomes)
        else:
            missing.append(kind)
    met = _met(bench, env, missing, count) if classes else {}
    for kind in (*missing, OTHER):
        if met.get(kind):
            _test(bench, report, kind, met[kind], outcomes)
    env.close()
    return outcomes.summary(bench.sparse) if outcomes.ended else None


def _arranged(bench: Bench, env: gym.Env, kind: str, count: int) -> list[_Stretch]:
    """Transitions of a class that the `Reality` arranges; none after 20 layouts in a row without such a place."""
    found, failed = [], 0
    while len(found) < count and failed < 20:
        bench.restart(env)
        actions = bench.reality.arrange(env, kind, bench.rng)
        failed = failed + 1 if actions is None else 0
        if actions is not None:
            found.append(_stretch(bench, env, actions))
    return found


def _stretch(bench: Bench, env: gym.Env, actions: list[Any]) -> _Stretch:
    before = bench.reality.frame(env)
    for action in actions:
        _, reward, terminated, _, _ = env.step(action)
    return _Stretch(before, actions, bench.reality.frame(env), float(reward), bool(terminated))


def _met(bench: Bench, env: gym.Env, missing: list[str], count: int) -> dict[str, list[_Stretch]]:
    """Transitions of these classes, and of classes that the `Reality` does not list, in the first steps of episodes."""
    met: dict[str, list[_Stretch]] = {kind: [] for kind in (*missing, OTHER)}
    policy = _experts(bench)
    for _ in range(count):
        bench.restart(env)
        before, actions = bench.reality.frame(env), []
        expert = policy(env)
        for _ in range(FIRST_STEPS):
            led = expert is not None and bench.rng.random() < EXPERT
            actions.append(expert() if led else bench.random_action())
            kind = bench.reality.transition_class(env, actions[-1])
            kind = kind if kind in bench.reality.transition_classes else OTHER
            _, reward, terminated, truncated, _ = env.step(actions[-1])
            if kind in met and len(met[kind]) < count:
                after = bench.reality.frame(env)
                met[kind].append(_Stretch(before, actions.copy(), after, float(reward), bool(terminated)))
            if terminated or truncated:
                break
    return met


def _experts(bench: Bench) -> Callable[[gym.Env], Callable[[], Any] | None]:
    """`Reality.policy`, which is asked no more where the first `NO_EXPERT` environments had none: it may be slow."""
    found: list[bool] = []

    def policy(env: gym.Env) -> Callable[[], Any] | None:
        if len(found) >= NO_EXPERT and not any(found):
            return None
        expert = bench.reality.policy(env)
        found.append(expert is not None)
        return expert

    return policy


def _test(bench: Bench, report: Report, kind: str, found: list[_Stretch], outcomes: Outcomes) -> None:
    """Dreams these transitions; what the dream cannot know of a first frame it is shown by the actions before them."""
    right = []
    for length in sorted({len(stretch.actions) for stretch in found}):
        alike_long = [stretch for stretch in found if len(stretch.actions) == length]
        simulator = bench.simulator(np.stack([stretch.before for stretch in alike_long]))
        for t in range(length):
            result = simulator.step(bench.actions([stretch.actions[t] for stretch in alike_long]))
        said = zip(result.reward.tolist(), result.terminated.tolist(), strict=True)
        for stretch, (paid, ended) in zip(alike_long, said, strict=True):
            outcomes.paid.append((stretch.reward, paid))
            outcomes.ended.append((stretch.terminated, ended))
        frames = bench.draw(simulator, np.arange(len(alike_long)))
        truth = np.stack([stretch.after for stretch in alike_long]).astype(np.float32) / 255.0
        right.append(alike(truth, frames, bench.tile))
    report.transitions[kind] = share(np.concatenate(right))


def _led(bench: Bench, episodes: int, progress: Progress) -> dict[str, Estimate | None] | None:
    """Outcomes of episodes that mostly follow the expert, where it knows the way; None without an expert."""
    envs: list[gym.Env] = [bench.environment() for _ in range(episodes)]
    policy = _experts(bench)
    known = [(env, expert) for env in envs if (expert := policy(env)) is not None]
    outcomes, horizon = None, bench.dream.card.horizon or LONGEST

    def choose(i: int) -> Any:
        return known[i][1]() if bench.rng.random() < EXPERT else bench.random_action()

    if known:
        led = [env for env, _ in known]
        outcomes = lockstep(bench, led, choose, horizon, lambda t, *_: progress("expert", t, horizon))
    for env in envs:
        env.close()
    return outcomes.summary(bench.sparse) if outcomes else None
