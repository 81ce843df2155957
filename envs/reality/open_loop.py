"""Open loop in any environment: the dream hears a few true steps, then goes on by actions alone, beside reality."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from nova_gym.data.actions import ActionMap
from nova_gym.dream import Dream
from nova_gym.envs.frames import encode_frames, first_states, next_states
from nova_gym.envs.reality.base import ATTEMPTS
from nova_gym.envs.reality.lockstep import Bench
from nova_gym.errors import BadInputError
from nova_gym.measures import FOREGROUND, PSNR_CAP, Estimate, mean, share
from nova_gym.simulator import DreamSimulator

#: True steps that the dream hears first, and steps after them at which frames are compared.
CONTEXT, CHECKPOINTS = 5, (1, 10, 50)
#: Steps after the context that a picture shows.
FILMED = (0, 1, 2, 5, 10, 20, 50)
#: An end that comes at most so many steps sooner or later than the true one is right.
NEAR = 2
#: Steps after which an episode is stopped, if its time limit does not come sooner.
LONGEST = 1000
#: A random action is repeated for up to so many steps in half of the episodes, as recordings do.
HELD = 8
#: Pictures of an episode, and in all, that the median frame is taken over.
SAMPLES, MOST_SAMPLES = 32, 512
#: Recordings seed their episodes below this number.
FIRST_SEED = 2**31

#: Chooses an action by what the environment itself observes, and the environment.
Policy = Callable[[Any, gym.Env], Any]
Progress = Callable[[str, int, int], None]


@dataclass
class OpenLoop:
    """How far a dream keeps up with reality without seeing it.

    Attributes:
        settings: the arguments, and the spread (standard deviation) of the true returns.
        frames: by step after the context, then by what is compared with the true frame: the `dream`, `standing still`
            (the last frame of the context), `drawn` (the true frame, encoded and drawn by the dream). Each is a PSNR in
            dB over the pixels that move: those that differ from the environment's median frame in either picture.
        endings: `near`, the share of episodes whose end comes within `NEAR` steps of the true one, or that go on where
            the true one does; `near, of those that end`, the same share of the episodes that reality ends.
        returns: `absolute error` of the return after the context, and `relative error`, the same divided by the spread
            of the true returns; None where these are all equal.
        film: (n, H, W, C) uint8 each, of one episode after `FILMED` steps: reality, and the dream.
    """

    settings: dict[str, Any]
    frames: dict[int, dict[str, Estimate | None]] = field(default_factory=dict)
    endings: dict[str, Estimate | None] = field(default_factory=dict)
    returns: dict[str, Estimate | None] = field(default_factory=dict)
    film: tuple[np.ndarray, np.ndarray] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All numbers, JSON-ready."""
        plain = lambda row: {key: value.to_dict() for key, value in row.items() if value is not None}  # noqa: E731
        return {
            "settings": self.settings,
            "frames": {str(step): plain(row) for step, row in self.frames.items()},
            "endings": plain(self.endings),
            "returns": plain(self.returns),
        }

    def picture(self) -> np.ndarray | None:
        """(2 H + 2, n W, C) uint8: an episode in reality, and below it in the dream."""
        if self.film is None:
            return None
        rows = [np.concatenate(list(row), axis=1) for row in self.film]
        return np.concatenate([rows[0], np.full((2, *rows[0].shape[1:]), 255, np.uint8), rows[1]])


@dataclass
class _Episode:
    """An episode of reality.

    Attributes:
        heard: steps of context.
        frames: (H, W, C) uint8 by step, those that are looked at.
        actions: of all its steps, and more for a dream that goes on longer.
        rewards: of its steps, as many as it had.
        ended: whether reality ended it, rather than a limit.
    """

    heard: int
    frames: dict[int, np.ndarray]
    actions: list[Any]
    rewards: list[float]
    ended: bool


def open_loop(
    dream: Dream,
    episodes: int = 64,
    steps: int = max(CHECKPOINTS),
    context: int = CONTEXT,
    seed: int = 0,
    policy: Policy | None = None,
    make: Callable[[], gym.Env] | None = None,
    progress: Progress = lambda part, done, total: None,
) -> OpenLoop:
    """Compares a dream with real episodes that no recording holds.

    The dream's memory hears the first true steps. Then it goes on by the same actions, until it ends the episode
    itself. Episodes last until reality ends them, or to the time limit, at most `LONGEST` steps after the context.

    Args:
        dream: with a real counterpart.
        episodes: how many, at least 1.
        steps: after the context, at which frames are compared for the last time, at least 1.
        context: true steps that the dream hears first; one less than an episode has, if that is shorter.
        seed: of starts and actions.
        policy: chooses the actions, as `record` has it; random actions follow where reality has ended. None for random
            actions, repeated for some steps in half of the episodes.
        make: makes the environment that the policy observes in the place of `Reality.make`, such as a `RealityEnv`.
        progress: called as `progress(part, done, total)`.

    Raises:
        BadInputError: an argument is out of range, or the dream has no real counterpart.
    """
    if episodes < 1 or steps < 1 or context < 0:
        raise BadInputError(f"at least 1 episode of 1 step is needed, not {episodes} of {steps} after {context}")
    bench, rng = Bench(dream, "official", seed), np.random.default_rng([seed, 0x0BE2])
    checkpoints = sorted({*(t for t in CHECKPOINTS if t <= steps), steps})
    longest = min(dream.card.horizon - context if dream.card.horizon else LONGEST, LONGEST)
    plan = _Plan(context, {*checkpoints, *(t for t in FILMED if t <= steps)}, max(longest, 1))
    played, samples = [], []
    with closing((make or bench.reality.make)()) as env:
        starts = unseen_starts(bench, env, seed)
        for done in range(episodes):
            _, observation = next(starts)
            played.append(_play(bench, env, observation, plan, policy, rng, samples))
            progress("real episodes", done + 1, episodes)
    chosen = rng.permutation(len(samples))[:MOST_SAMPLES]
    found = OpenLoop({"episodes": episodes, "context": context, "actions": "policy" if policy else "random"})
    _Comparison(bench, played, plan, seed, Still.of(np.stack([samples[i] for i in chosen]))).fill(found, checkpoints)
    progress("open loop", 1, 1)
    return found


@dataclass(frozen=True)
class _Plan:
    """Steps of context, steps after it whose frames are kept, and steps after it at most."""

    context: int
    kept: set[int]
    longest: int


@dataclass(frozen=True)
class Still:
    """What tells the pixels that move from the others.

    Attributes:
        median: (H, W, C) float32 in [0, 1], the median frame of an environment.
        threshold: a pixel that differs from it by more than this, in any channel, moves.
    """

    median: np.ndarray
    threshold: float

    @classmethod
    def of(cls, frames: np.ndarray) -> Still:
        """Of frames (n, H, W, C) uint8. Where nothing differs by much, the threshold is half of what differs most."""
        median = np.median(frames, axis=0).astype(np.float32) / 255.0
        most = max(float(np.abs(frame / 255.0 - median).max()) for frame in frames)
        return cls(median, min(FOREGROUND, most / 2))

    def psnr(self, truth: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """PSNR of each pair over the pixels that move in either picture: (n,) in dB, NaN where none moves.

        Args:
            truth, frames: (n, H, W, C) floating point in [0, 1].
        """
        ratios = np.full(len(truth), np.nan)
        for i, pair in enumerate(zip(truth, frames, strict=True)):
            moves = np.logical_or(*((np.abs(picture - self.median) > self.threshold).any(-1) for picture in pair))
            if moves.any():
                error = np.square(pair[0][moves].astype(np.float64) - pair[1][moves]).mean()
                ratios[i] = PSNR_CAP if error == 0 else min(-10 * np.log10(error), PSNR_CAP)
        return ratios


def unseen_starts(bench: Bench, env: gym.Env, seed: int) -> Iterator[tuple[int, Any]]:
    """Resets to one start after the other that no recording holds; yields the seed of the reset and the observation.

    Raises:
        BadInputError: starts are chosen by held-out layouts, and `ATTEMPTS` resets in a row gave none.
    """
    misses = 0
    for number in itertools.count(FIRST_SEED + 100_000 * seed):
        observation, _ = env.reset(seed=number)
        misses = misses + 1 if bench.holds_out and not bench.reality.is_held_out(env) else 0
        if misses > ATTEMPTS:
            raise BadInputError(f"{misses} resets of {bench.reality.spec.env_id} gave no layout that is held out")
        if not misses:
            yield number, observation


def random_play(known: ActionMap, rng: np.random.Generator) -> Iterator[Any]:
    """Random actions without end, in half of the cases held for some steps each."""
    patience = int(rng.integers(2, HELD + 1)) if rng.random() < 0.5 else 1
    while True:
        action = known.sample(rng)
        yield from itertools.repeat(action, 1 + int(rng.integers(patience)))


def _play(
    bench: Bench,
    env: gym.Env,
    observation: Any,
    plan: _Plan,
    policy: Policy | None,
    rng: np.random.Generator,
    samples: list[np.ndarray],
) -> _Episode:
    """Plays one episode from where `env` is, and adds pictures of it to `samples`."""
    wanted = {*range(plan.context + 1), *(plan.context + t for t in plan.kept)}
    often, chance = max(1, plan.longest // SAMPLES), random_play(bench.known, rng)
    frames, actions, rewards, ended = {0: bench.reality.frame(env)}, [], [], False
    for t in range(1, plan.context + plan.longest + 1):
        actions.append(policy(observation, env) if policy else next(chance))
        observation, reward, ended, truncated, _ = env.step(actions[-1])
        rewards.append(float(reward))
        if t in wanted or t % often == 0:
            frame = bench.reality.frame(env)
            if t in wanted:
                frames[t] = frame
            if t % often == 0:
                samples.append(frame)
        if ended or truncated:
            break
    samples.append(frames[0])
    heard = min(plan.context, len(rewards) - 1)
    more = heard + plan.longest - len(actions)
    return _Episode(heard, frames, [*actions, *itertools.islice(chance, max(0, more))], rewards, bool(ended))


def heard_states(bench: Bench, episodes: list[Any]) -> Tensor:
    """The states after the context of each episode, (n, K + M, rows, cols).

    Args:
        bench: whose dream hears them.
        episodes: with `heard` steps, `frames` by step and `actions`.
    """
    states = first_states(bench.dream, np.stack([each.frames[0] for each in episodes]), official=True)
    for t in range(1, max(each.heard for each in episodes) + 1):
        rows = [i for i, each in enumerate(episodes) if each.heard >= t]
        frames = np.stack([episodes[i].frames[t] for i in rows])
        actions = bench.actions([episodes[i].actions[t - 1] for i in rows])
        states[rows] = next_states(bench.dream, states[rows], frames, actions)
    return states


def drawn(dream: Dream, frames: np.ndarray) -> np.ndarray:
    """Frames (n, H, W, C) uint8 as the dream draws them, once encoded: (n, H, W, C) float32 in [0, 1]."""
    parts = np.array_split(frames, -(-len(frames) // 64))
    shown = [dream.world_model.render(encode_frames(dream, part)) for part in parts]
    return torch.cat(shown).permute(0, 2, 3, 1).cpu().numpy()


class _Comparison:
    """Dreams beside real episodes that have been played."""

    def __init__(self, bench: Bench, played: list[_Episode], plan: _Plan, seed: int, still: Still) -> None:
        self.bench, self.played, self.still = bench, played, still
        self.frames: dict[int, np.ndarray] = {}  # by step, (n, H, W, C) in [0, 1]
        self.ended_at, self.returned = np.zeros(len(played), np.int64), np.zeros(len(played))  # 0 for not ended
        self._dream(plan, seed)

    def _dream(self, plan: _Plan, seed: int) -> None:
        """Goes on in the dream from the context, until all dreams have ended or the limit is reached."""
        simulator = DreamSimulator(self.bench.dream, len(self.played), horizon=0)
        states = heard_states(self.bench, self.played)
        simulator.reset(states=states, generator=torch.Generator().manual_seed(seed))
        every = np.arange(len(self.played))
        if 0 in plan.kept:
            self.frames[0] = self.bench.draw(simulator, every)
        for t in range(1, plan.longest + 1):
            result = simulator.step(self.bench.actions([each.actions[each.heard + t - 1] for each in self.played]))
            alive = self.ended_at == 0
            self.returned += result.reward.cpu().numpy() * alive
            self.ended_at[alive & (result.terminated | result.truncated).cpu().numpy()] = t
            if t in plan.kept:
                self.frames[t] = self.bench.draw(simulator, every)
            if self.ended_at.all() and t >= max(plan.kept):
                break

    def fill(self, found: OpenLoop, checkpoints: list[int]) -> None:
        """Puts the figures into a report."""
        for t in checkpoints:
            rows = [i for i, each in enumerate(self.played) if each.heard + t <= len(each.rewards)]
            if rows and t in self.frames:
                found.frames[t] = self._of_frames(t, rows)
        ends = np.array([len(each.rewards) - each.heard if each.ended else 0 for each in self.played])
        near = np.where((ends > 0) & (self.ended_at > 0), np.abs(ends - self.ended_at) <= NEAR, ends == self.ended_at)
        found.endings = {"near": share(near), "near, of those that end": share(near[ends > 0])}
        paid = np.array([sum(each.rewards[each.heard :]) for each in self.played])
        error, spread = np.abs(paid - self.returned), float(paid.std())
        found.returns = {"absolute error": mean(error), "relative error": mean(error / spread) if spread else None}
        found.settings["spread of returns"] = spread
        found.film = self._film()

    def _of_frames(self, t: int, rows: list[int]) -> dict[str, Estimate | None]:
        after = np.stack([self.played[i].frames[self.played[i].heard + t] for i in rows])
        last = np.stack([self.played[i].frames[self.played[i].heard] for i in rows])
        truth = after.astype(np.float32) / 255.0
        others = {
            "dream": self.frames[t][rows],
            "standing still": last.astype(np.float32) / 255.0,
            "drawn": drawn(self.bench.dream, after),
        }
        ratios = {name: self.still.psnr(truth, frames) for name, frames in others.items()}
        return {name: mean(ratio[~np.isnan(ratio)]) for name, ratio in ratios.items()}

    def _film(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the first of those episodes that last longest, as far as a picture goes."""
        lasted = [min(len(each.rewards) - each.heard, max(FILMED)) for each in self.played]
        i = int(np.argmax(lasted))
        each = self.played[i]
        steps = [t for t in FILMED if t in self.frames and each.heard + t in each.frames and t <= lasted[i]]
        dreamt = np.stack([self.frames[t][i] for t in steps])
        return np.stack([each.frames[each.heard + t] for t in steps]), (dreamt.clip(0, 1) * 255).astype(np.uint8)
