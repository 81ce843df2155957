"""Chance, judged by distributions: what reality makes of the same step when it is taken many times, and the dream."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from nova_gym.dream import Dream
from nova_gym.envs.reality.lockstep import Bench
from nova_gym.envs.reality.open_loop import drawn, heard_states, random_play, unseen_starts
from nova_gym.errors import BadInputError
from nova_gym.measures import Estimate, mean
from nova_gym.simulator import DreamSimulator

#: Random steps that lead up to the step in question, at most.
DEPTH = 20
#: A frame shows an outcome if it is this much nearer to it than that is to the next one. The mean of two is at 1/2.
NEARER = 1 / 3
#: Bins of predicted probability, for calibration.
BINS = 10
#: Situations whose shares are reported one by one.
EXAMPLES = 3

Progress = Callable[[str, int, int], None]


@dataclass
class Futures:
    """How well a dream's chance agrees with that of reality, one step ahead.

    Each measure stands beside the same measure of as many other draws of reality, `reality again`: where a step has
    many outcomes, no finite number of draws agrees with another, so that is what a perfect dream would get.

    Attributes:
        settings: the arguments, how many situations reality repeats exactly, and in how many of them it has several
            outcomes; `note` where the figures say little, and why.
        measures: by measure, then for the `dream` and for `reality again`: `total variation` between the shares of the
            outcomes of whole frames, in [0, 1]; `none of the real outcomes`, the share of frames that show none of
            them, such as the mean of two; `total variation, a cell`, in cells with several outcomes, where frames have
            cells; `endings`, how far the shares of endings are apart; `rewards`, the Wasserstein-1 distance of rewards.
        calibration: by predicted probability of an outcome, how often reality has it: `predicted`, `seen` and `n`, the
            number of outcomes.
        calibration_error: by how much these differ, weighted by how often the dream draws such an outcome.
        examples: of the situations with the most even outcomes, the share of each in `reality` and in the `dream`.
    """

    settings: dict[str, Any]
    measures: dict[str, dict[str, Estimate | None]] = field(default_factory=dict)
    calibration: list[dict[str, float]] = field(default_factory=list)
    calibration_error: float | None = None
    examples: list[dict[str, list[float]]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All numbers, JSON-ready."""
        plain = lambda row: {key: value.to_dict() for key, value in row.items() if value is not None}  # noqa: E731
        return {**vars(self), "measures": {name: plain(row) for name, row in self.measures.items()}}


@dataclass
class Situation:
    """A step to take many times.

    Attributes:
        seed: of the reset that its episode begins with.
        heard: steps before it.
        frames: by step, (H, W, C) uint8.
        actions: those steps', and last its own.
    """

    seed: int
    heard: int
    frames: dict[int, np.ndarray]
    actions: list[Any]

    @property
    def before(self) -> np.ndarray:
        """The frame before it."""
        return self.frames[self.heard]


@dataclass
class Draws:
    """What a step led to, n times: pictures (n, H, W, C) in [0, 1], rewards (n,) and endings (n,) bool."""

    frames: np.ndarray
    rewards: np.ndarray
    ended: np.ndarray


def futures(
    dream: Dream,
    situations: int = 32,
    draws: int = 64,
    seed: int = 0,
    progress: Progress = lambda part, done, total: None,
) -> Futures:
    """Takes the same step many times in reality and in the dream, and compares what it leads to.

    Reality comes to the same place again by the same seed and actions; then its generator, `env.unwrapped.np_random`,
    is seeded anew. The dream hears the same steps, and draws with new keys. Frames are compared as the dream draws
    them, so that how well it draws does not matter here.

    Args:
        dream: with a real counterpart.
        situations: how many steps to look at, at least 1.
        draws: how often to take each, at least 2; in reality twice as often.
        seed: of starts, actions and chance.
        progress: called as `progress(part, done, total)`.

    Raises:
        BadInputError: an argument is out of range, or the dream has no real counterpart.
    """
    if situations < 1 or draws < 2:
        raise BadInputError(f"at least 1 situation and 2 draws are needed, not {situations} and {draws}")
    bench, rng = Bench(dream, "official", seed), np.random.default_rng([seed, 0xC0DE])
    tally = _Tally(dream)
    with closing(bench.reality.make()) as env:
        for done, situation in enumerate(situations_of(bench, env, situations, rng, seed)):
            progress("chance", done + 1, situations)
            real = real_draws(bench, env, situation, 2 * draws)
            if real is not None:
                tally.add(situation, real, _dreamt(bench, situation, draws, seed + done), draws)
    return tally.report({"situations": situations, "draws": draws, "seed": seed})


def situations_of(bench: Bench, env: gym.Env, count: int, rng: np.random.Generator, seed: int) -> list[Situation]:
    """Steps to take, of random play from starts that no recording holds.

    Args:
        bench: whose starts, actions and frames.
        env: the real environment, stepped.
        count: how many.
        rng: of actions, and of how long each episode is played.
        seed: of the starts.
    """
    starts, found, most = unseen_starts(bench, env, seed), [], DEPTH
    while len(found) < count:
        number, _ = next(starts)
        depth, play = int(rng.integers(most + 1)), random_play(bench.known, rng)
        frames, actions = {0: bench.reality.frame(env)}, []
        for t in range(1, depth + 1):
            actions.append(next(play))
            _, _, terminated, truncated, _ = env.step(actions[-1])
            if terminated or truncated:
                most = t - 1 if most >= t else most
                break
            frames[t] = bench.reality.frame(env)
        else:
            found.append(Situation(number, depth, frames, [*actions, next(play)]))
            most = DEPTH
    return found


def real_draws(bench: Bench, env: gym.Env, situation: Situation, count: int) -> Draws | None:
    """The step in reality, so many times, each with another seed of the environment's generator.

    No environment has to be copied, which many cannot be: the same seed and actions lead to the same place again.

    Returns:
        What it led to; None where the same seed and actions do not lead to the same frame.
    """
    frames, rewards, ended = [], [], []
    for k in range(count):
        env.reset(seed=situation.seed)
        for action in situation.actions[:-1]:
            env.step(action)
        if k == 0 and not np.array_equal(bench.reality.frame(env), situation.before):
            return None
        env.unwrapped.np_random = np.random.default_rng([situation.seed, k])
        _, reward, terminated, _, _ = env.step(situation.actions[-1])
        frames.append(bench.reality.frame(env))
        rewards.append(float(reward))
        ended.append(bool(terminated))
    return Draws(np.stack(frames), np.array(rewards), np.array(ended))


def _dreamt(bench: Bench, situation: Situation, count: int, seed: int) -> Draws:
    simulator = DreamSimulator(bench.dream, count, horizon=0)
    state = heard_states(bench, [situation])
    simulator.reset(states=state.repeat(count, 1, 1, 1), generator=torch.Generator().manual_seed(seed))
    result = simulator.step(bench.actions([situation.actions[-1]] * count))
    frames = bench.draw(simulator, np.arange(count))
    return Draws(frames, result.reward.cpu().numpy().astype(np.float64), result.terminated.cpu().numpy())


class _Tally:
    """Collects the figures of one situation after the other."""

    def __init__(self, dream: Dream) -> None:
        self.dream, self.cell = dream, dream.world_model.config.cell
        self.wholes: list[_Unit] = []
        self.cells: list[_Unit] = []
        self.endings: list[tuple[float, float]] = []
        self.rewards: list[tuple[float, float]] = []

    def add(self, situation: Situation, real: Draws, dreamt: Draws, draws: int) -> None:
        """Adds one step: the first `draws` of reality are what it is compared with, the others `reality again`."""
        first_of, which = _different(real.frames)
        shown = drawn(self.dream, np.concatenate([real.frames[first_of], situation.before[None]]))
        pictures, before = shown[:-1][which], shown[-1]
        self.wholes.append(_Unit.of(pictures[:draws], pictures[draws:], dreamt.frames, before))
        rows, cols = (side // pixels for side, pixels in zip(before.shape[:2], self.cell, strict=True))
        for r in range(rows if rows * cols > 1 else 0):
            for c in range(cols):
                cut = np.s_[
                    ..., r * self.cell[0] : (r + 1) * self.cell[0], c * self.cell[1] : (c + 1) * self.cell[1], :
                ]
                parts = pictures[cut]
                if np.ptp(parts[:draws], axis=0).any():
                    self.cells.append(_Unit.of(parts[:draws], parts[draws:], dreamt.frames[cut], before[cut]))
        first, again = slice(None, draws), slice(draws, None)
        ended = real.ended[first].mean()
        self.endings.append((abs(dreamt.ended.mean() - ended), abs(real.ended[again].mean() - ended)))
        distance = lambda others: float(wasserstein_distance(others, real.rewards[first]))  # noqa: E731
        self.rewards.append((distance(dreamt.rewards), distance(real.rewards[again])))

    def report(self, settings: dict[str, Any]) -> Futures:
        """All figures."""
        several = sum(len(unit.shares) > 1 for unit in self.wholes)
        settings |= {"repeated exactly": len(self.wholes), "with several outcomes": several}
        found = Futures(settings)
        if not self.wholes:
            settings["note"] = (
                "the same seed and actions do not lead to the same frame again, so no step can be repeated"
            )
            return found
        if not several:
            settings["note"] = (
                "reality has one outcome in every situation: nothing is random there, or its chance is not drawn from "
                "env.unwrapped.np_random"
            )
        usual = _usual(self.wholes)
        judged = [unit.judged(usual) for unit in self.wholes]
        found.measures["total variation"] = _both([each.variation for each in judged])
        found.measures["none of the real outcomes"] = _both([each.none for each in judged])
        cells = [unit.judged(_usual(self.cells)) for unit in self.cells]
        if cells:
            found.measures["total variation, a cell"] = _both([each.variation for each in cells])
        found.measures["endings"], found.measures["rewards"] = _both(self.endings), _both(self.rewards)
        found.calibration, found.calibration_error = _calibration(cells or judged)
        most_even = np.argsort([each.real.max() for each in judged], kind="stable")[:EXAMPLES]
        for each in (judged[i] for i in most_even if len(judged[i].real) > 1):
            order = np.argsort(-each.real, kind="stable")
            found.examples.append({"reality": each.real[order].tolist(), "dream": each.dream[order].tolist()})
        return found


def _different(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the pictures (n, …) differ: (k,) int64, where each is first; (n,) int64, which of these k each one is.

    They are told apart by their bytes, since `numpy.unique` of rows as long as pictures takes far longer.
    """
    known: dict[bytes, int] = {}
    which = np.array([known.setdefault(picture.tobytes(), len(known)) for picture in pictures])
    return np.unique(which, return_index=True)[1], which


@dataclass
class _Judged:
    """A unit, judged: shares of its outcomes in reality and the dream; measures of the dream and of reality again."""

    real: np.ndarray
    dream: np.ndarray
    variation: tuple[float, float]
    none: tuple[float, float]


@dataclass
class _Unit:
    """Outcomes of a frame or of a cell.

    Attributes:
        shares: (k,) of the outcomes in reality.
        apart: (k,) how far each outcome is from the next one, or from how it was before; infinite if from none.
        nearest, far: for the dream's draws and for those of reality again: the nearest outcome, and how far that is.
    """

    shares: np.ndarray
    apart: np.ndarray
    nearest: tuple[np.ndarray, np.ndarray]
    far: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, real: np.ndarray, again: np.ndarray, dreamt: np.ndarray, before: np.ndarray) -> _Unit:
        """Of pictures (n, …) each; `before` is one picture."""
        flat = lambda pictures: pictures.reshape(len(pictures), -1)  # noqa: E731
        first_of, which = _different(real + 0.0)  # -0 is 0
        outcomes, counts = flat(real)[first_of], np.bincount(which)
        others = cdist(outcomes, np.concatenate([outcomes, flat(before[None])]))
        others[others == 0] = np.inf
        distances = [cdist(flat(pictures), outcomes) for pictures in (dreamt, again)]
        nearest = tuple(distance.argmin(1) for distance in distances)
        return cls(counts / len(real), others.min(1), nearest, tuple(distance.min(1) for distance in distances))

    def judged(self, usual: float) -> _Judged:
        """The shares of draws; `usual` is how far apart outcomes are where nothing else says it."""
        apart = np.where(np.isfinite(self.apart), self.apart, usual)
        shares, variation, none = [], [], []
        for nearest, far in zip(self.nearest, self.far, strict=True):
            fits = far <= NEARER * apart[nearest]
            shares.append(np.bincount(nearest[fits], minlength=len(self.shares)) / len(nearest))
            none.append(float(1 - fits.mean()))
            variation.append(float(np.abs(shares[-1] - self.shares).sum() + none[-1]) / 2)
        return _Judged(self.shares, shares[0], tuple(variation), tuple(none))


def _usual(units: list[_Unit]) -> float:
    """The median distance between outcomes; 0 where none is known."""
    known = np.concatenate([unit.apart[np.isfinite(unit.apart)] for unit in units])
    return float(np.median(known)) if len(known) else 0.0


def _both(pairs: list[tuple[float, float]]) -> dict[str, Estimate | None]:
    values = np.asarray(pairs, np.float64).reshape(-1, 2)
    return {"dream": mean(values[:, 0]), "reality again": mean(values[:, 1])}


def _calibration(judged: list[_Judged]) -> tuple[list[dict[str, float]], float | None]:
    """Of all outcomes together, where there are several: how often what has a predicted probability comes."""
    several = [each for each in judged if len(each.real) > 1]
    if not several:
        return [], None
    predicted, seen = (np.concatenate([getattr(each, name) for each in several]) for name in ("dream", "real"))
    bins = np.minimum((predicted * BINS).astype(int), BINS - 1)
    rows, error = [], 0.0
    for b in np.unique(bins):
        inside = bins == b
        row = {"predicted": float(predicted[inside].mean()), "seen": float(seen[inside].mean()), "n": int(inside.sum())}
        rows.append(row)
        error += predicted[inside].sum() * abs(row["predicted"] - row["seen"])
    return rows, float(error / predicted.sum()) if predicted.sum() else None
