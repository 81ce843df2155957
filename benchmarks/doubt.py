"""Does a dream know where it is wrong? Doubt of each step, against what reality shows.

Dreams and real environments take the same actions from the same starts. A step is wrong where the frame, the reward or
the ending differs. Parts: (a) the dream's own official levels; (b) levels with things that its recording did not show;
(c) frames with noise, shifted, recoloured and half covered, as reality would look through the same glasses; (d) dreams
of a tenth and of a hundredth of the recording; (e) long roll-outs of a dream that trained far too briefly; (f) a dream
of another environment; (g) steps that are left to chance, where a step is wrong if reality never leads there.

    python -m nova_gym.benchmarks.doubt minigrid/layouts-v0 --work runs/doubt --json benchmarks/results/doubt.json

Dreams of (d) and (e) are trained into the work folder, if they are not there; (f) and (g) are measured on dreams that
`--other` and `--random` name. Doubts and truth of each row are kept in the work folder, and rows that are there already
are not measured again, unless a dream or its doubt is another; a training that was cut short goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nova_gym import Dream
from nova_gym.benchmarks.provenance import fingerprint, write_results
from nova_gym.benchmarks.speed import in_turns, repeat
from nova_gym.benchmarks.tables import show
from nova_gym.data import load_clips
from nova_gym.envs import dream_at
from nova_gym.envs.frames import drawing_errors, first_states
from nova_gym.envs.reality.futures import real_draws, situations_of
from nova_gym.envs.reality.lockstep import REWARD_TOLERANCE, Bench
from nova_gym.envs.reality.open_loop import heard_states
from nova_gym.errors import BadInputError
from nova_gym.files import write_atomically
from nova_gym.measures import agreement, alike
from nova_gym.model.doubt import VERSION
from nova_gym.simulator import DreamSimulator
from nova_gym.terminal import progress_bars
from nova_gym.training import PRESETS, Run, train

STRANGE = tuple(
    f"MiniGrid-{name}-v0"
    for name in ("LavaCrossingS9N1", "DoorKey-8x8", "KeyCorridorS3R1", "Fetch-8x8-N3", "MultiRoom-N2-S4")
)
OFFICIAL = tuple(
    f"MiniGrid-{name}-v0"
    for name in ("SimpleCrossingS9N1", "SimpleCrossingS9N2", "SimpleCrossingS9N3", "Empty-8x8", "FourRooms")
)
#: Shares of the recording that the dreams of (d) are trained on, and that of (e).
TENTH, HUNDREDTH, THIRD = 0.1, 0.01, 1 / 3
#: Optimiser steps of representation, dynamics and tuning of the dreams of (d), which are right nevertheless, and of
#: that of (e), which has flaws.
SHORT, BRIEF = (700, 1200, 300), (800, 100, 20)
#: How often the same step is taken in reality, to see where it can lead.
DRAWS = 24

Glasses = Callable[[np.ndarray], np.ndarray]


def follow(
    dream: Dream, episodes: int, steps: int, seed: int = 0, starts: str | None = None, glasses: Glasses | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Lets dreams and reality go on side by side by random actions that end nothing.

    Args:
        dream: with doubt and a real counterpart.
        episodes, steps: how many, and how long.
        seed: of starts and actions.
        starts: as in `Bench`.
        glasses: through which all real frames are seen, (n, H, W, C) uint8 each; None for none.

    Returns:
        (m,) float32 doubts and (m,) bool, whether that step is wrong; starts count as steps.
    """
    bench, glasses = Bench(dream, starts, seed), glasses or (lambda frames: frames)
    envs = [bench.environment() for _ in range(episodes)]
    frames = glasses(bench.frames(envs))
    states = first_states(dream, frames, bench.starts == "official")
    simulator = DreamSimulator(dream, episodes, horizon=0, doubt=True)
    simulator.reset(states=states, errors=drawing_errors(dream, states, frames))
    alive, doubts, wrong = np.ones(episodes, bool), [], []

    def note(real: np.ndarray, shown: np.ndarray, off: np.ndarray) -> None:
        rows = np.flatnonzero(shown)
        same = alike(real[rows].astype(np.float32) / 255.0, bench.draw(simulator, rows), bench.tile)
        doubts.append(simulator.doubt.cpu().numpy()[rows])
        wrong.append(~same | off[rows])

    note(frames, alive, np.zeros(episodes, bool))
    for _ in range(steps):
        actions = [bench.harmless_action(env) for env in envs]
        result, shown, off = simulator.step(bench.actions(actions)), alive.copy(), np.zeros(episodes, bool)
        for i in np.flatnonzero(alive):
            _, reward, ended, _, _ = envs[i].step(actions[i])
            paid = abs(float(result.reward[i]) - float(reward)) > REWARD_TOLERANCE if bench.sparse else False
            off[i], alive[i] = paid or bool(result.terminated[i]) != bool(ended), not ended
        note(glasses(bench.frames(envs)), shown, off)
        if not alive.any():
            break
    for env in envs:
        env.close()
    return np.concatenate(doubts), np.concatenate(wrong)


def by_chance(dream: Dream, situations: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One step each from real situations; it is wrong where none of `DRAWS` real steps by that action look like it."""
    bench, rng, doubts, wrong = Bench(dream, "official", seed), np.random.default_rng([seed, 0xC4A]), [], []
    with closing(bench.reality.make()) as env:
        for number, situation in enumerate(situations_of(bench, env, situations, rng, seed)):
            real = real_draws(bench, env, situation, DRAWS)
            if real is None:
                raise BadInputError(f"{dream.card.env_id} does not come to the same place by the same seed and actions")
            states = heard_states(bench, [situation])
            simulator = DreamSimulator(dream, 1, horizon=0, doubt=True)
            errors = drawing_errors(dream, states, situation.before[None])
            simulator.reset(states=states, errors=errors, generator=torch.Generator().manual_seed(seed + number))
            simulator.step(bench.actions([situation.actions[-1]]))
            seen = np.repeat(bench.draw(simulator, np.zeros(1, int)), DRAWS, 0)
            doubts.append(float(simulator.doubt[0]))
            wrong.append(not alike(real.frames.astype(np.float32) / 255.0, seen, bench.tile).any())
    return np.array(doubts), np.array(wrong)


def cost(dream: Dream, batch: int, rounds: int, seconds: float) -> dict[str, float]:
    """How much longer a step of a batch takes where doubt is followed; both are stepped in turns."""
    contestants = {}
    for doubt in (False, True):
        simulator = DreamSimulator(dream, batch, horizon=0, doubt=doubt)
        simulator.reset(generator=torch.Generator().manual_seed(0))
        actions = torch.from_numpy(np.random.default_rng(0).integers(0, dream.world_model.config.actions, (97, batch)))
        each = cycle(actions)
        contestants[str(doubt)] = repeat(lambda simulator=simulator, each=each: simulator.step(next(each)))
    without, followed = in_turns(contestants, rounds, seconds)
    slower = 1.0 / followed.ratios - 1.0
    low, middle, high = (float(each) for each in np.quantile(slower, (0.25, 0.5, 0.75)))
    return {"batch": batch, "ms without": 1000.0 / without.median, "slower by": middle, "low": low, "high": high}


def all_glasses(seed: int) -> dict[str, Glasses]:
    """Ways to see frames (n, H, W, C) uint8 that no recording was made through."""
    rng, noise = np.random.default_rng([seed, 0x61A5]), {}

    def noisy(strength: float) -> Glasses:
        def see(frames: np.ndarray) -> np.ndarray:
            key = (strength, frames.shape)
            noise.setdefault(key, rng.normal(0.0, 255.0 * strength, frames.shape))
            return (frames + noise[key]).clip(0, 255).astype(np.uint8)

        return see

    def covered(frames: np.ndarray) -> np.ndarray:
        frames = frames.copy()
        frames[:, :, frames.shape[2] // 2 :] = 128
        return frames

    return {
        "faint noise": noisy(0.03),
        "noise": noisy(0.15),
        "shifted": lambda frames: np.roll(frames, 4, 2),
        "recoloured": lambda frames: np.roll(frames, 1, 3),
        "half covered": covered,
    }


def flawed_file(work: Path, share: float, steps: tuple[int, int, int]) -> Path:
    """Where such a dream is kept."""
    return work / f"of-{round(1.0 / share)}-{sum(steps)}.safetensors"


def flawed(dataset: str, work: Path, share: float, steps: tuple[int, int, int]) -> Dream:
    """A dream of a share of a recording, trained for few steps; kept in the work folder."""
    path = flawed_file(work, share, steps)
    checkpoint = path.with_suffix(".ckpt")
    if path.exists() and (kept := Dream.load(path)).world_model.has_doubt:
        return kept
    chosen = PRESETS["cpu"]
    recipes = {
        stage: replace(getattr(chosen.training, stage), steps=count)
        for stage, count in zip(("representation", "dynamics", "tuning"), steps, strict=True)
    }
    chosen = replace(
        chosen,
        model=replace(chosen.model, codes=0, control=None),
        training=replace(chosen.training, **recipes),
    )
    work.mkdir(parents=True, exist_ok=True)
    with progress_bars() as bars:
        clips = load_clips(dataset, lambda done, total: bars("reading", done, total))
        every = round(1.0 / share)
        part = clips.part(torch.arange(len(clips.lengths)) % every == every // 2)
        dream = train(part, dataset, chosen, Run(checkpoint, resume=checkpoint.exists(), progress=bars))
    dream_at(dream, OFFICIAL[0]).save(path)
    return dream_at(dream, OFFICIAL[0])


def parts(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], tuple[np.ndarray, np.ndarray]]]]:
    """Part, what it is of, and how it is measured."""
    episodes, steps, seed = arguments.episodes, arguments.steps, arguments.seed
    dream = Dream.load(arguments.dream)
    for part, levels in (("a", OFFICIAL), ("b", STRANGE)):
        for level in levels:
            yield part, level, lambda level=level: follow(dream_at(dream, level), episodes, steps, seed, "official")
    for name, glasses in all_glasses(seed).items():
        yield "c", name, lambda glasses=glasses: follow(dream, episodes, steps, seed, glasses=glasses)
    for part, share, how in (("d", TENTH, SHORT), ("d", HUNDREDTH, SHORT), ("e", THIRD, BRIEF)):
        made = lambda share=share, how=how: flawed(arguments.dataset, arguments.work, share, how)  # noqa: E731
        long = 2 * steps if part == "e" else steps
        of = f"{share:.0%} of the recording, {sum(how):,} steps of training"
        yield part, of, lambda made=made, long=long: follow(made(), episodes, long, seed)
    if arguments.other:
        other = Dream.load(arguments.other)
        yield "f", other.card.env_id, lambda: follow(other, episodes, steps, seed)
    if arguments.random:
        random = Dream.load(arguments.random)
        yield "g", random.card.env_id, lambda: by_chance(random, 4 * episodes, seed)


def main() -> None:
    """Measures the parts that are missing, prints a table and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="Minari id of the recording that (d) and (e) are trained on")
    parser.add_argument("--dream", default="minigrid", help="dream of (a) to (c) (default: the one that ships)")
    parser.add_argument("--other", help="dream of another environment, for (f)")
    parser.add_argument("--random", help="dream of an environment with chance, for (g)")
    parser.add_argument("--work", type=Path, default=Path("runs/doubt"), help="folder of the dreams of (d) and (e)")
    parser.add_argument("--episodes", type=int, default=32, help="episodes of each row (default: 32)")
    parser.add_argument("--steps", type=int, default=75, help="steps of an episode (default: 75)")
    parser.add_argument("--seed", type=int, default=0, help="of starts and actions (default: 0)")
    parser.add_argument("--json", type=Path, required=True, help="write the figures to this file")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*never seen.*")
    arguments.work.mkdir(parents=True, exist_ok=True)
    kept = arguments.work / f"doubt-{_measured(arguments)}.npz"
    raw = dict(np.load(kept)) if kept.exists() else {}
    try:
        for part, of, measure in parts(arguments):
            key = f"{part}|{of}"
            if key not in raw:
                began = time.monotonic()
                raw[key] = np.stack([np.asarray(values, np.float32) for values in measure()])
                with write_atomically(kept) as temporary, temporary.open("wb") as file:
                    np.savez_compressed(file, **raw)
                print(f"{key} ({time.monotonic() - began:.0f} s)", agreement(raw[key][0], raw[key][1] > 0), flush=True)
    except BadInputError as error:
        parser.error(str(error))
    figures = summary(raw)
    names = ("steps", "wrong", "doubt", "auroc", "calibration error", "false alarms")
    rows = [(key, *(f"{row[name]:.4g}" if name in row else "–" for name in names)) for key, row in figures.items()]
    show("doubt against truth", ("", *names), rows)
    takes = cost(Dream.load(arguments.dream), 256, 40, 0.25)
    print(f"a step of {takes['batch']} dreams takes {takes['slower by']:.1%} longer with doubt")
    write_results(arguments.json, {"doubt": figures, "cost": takes}, arguments.dream, doubts=True)


def _measured(arguments: argparse.Namespace) -> str:
    """A name for the dreams that are measured, with their doubt, and for how that is done."""
    dreams = [arguments.dream, *filter(None, (arguments.other, arguments.random))]
    told = [*(fingerprint(dream, doubts=True) for dream in dreams), VERSION, arguments.dataset]
    told += [arguments.episodes, arguments.steps, arguments.seed]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def summary(raw: dict[str, np.ndarray]) -> dict[str, Any]:
    """Figures of each row, of each part, and of all but (g), whose truth is of another kind, together."""
    groups = {key: [key] for key in raw}
    groups |= {part: [key for key in raw if key.startswith(f"{part}|")] for part in "abcdefg"}
    groups["pooled"] = [key for key in raw if not key.startswith("g|")]
    together = {name: np.concatenate([raw[key] for key in keys], axis=1) for name, keys in groups.items() if keys}
    return {name: agreement(both[0], both[1] > 0) for name, both in together.items()}


if __name__ == "__main__":
    main()
