"""Pictures of dreams that go on by themselves, and of learned actions, for `nova_gym.benchmarks.gallery`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nova_gym import Dream, DreamSimulator
from nova_gym.benchmarks.codebook import measure, walk_at_random
from nova_gym.benchmarks.generation import CONTEXT
from nova_gym.data.moving_digits import moving_digits
from nova_gym.envs.adapter import encode_frames, reality_of
from nova_gym.pictures import film, save_gif, save_png, strip

_SEED = 5
#: Steps that are shown of a dream that goes on by itself.
_STEPS = 11
#: Learned actions that are shown.
_CODES = 12


def digits_go_on(folder: Path) -> list[str]:
    """Two clips of digits never seen: the truth, and what follows the context in the dream, near and far."""
    dream, rows = Dream.load("digits"), {}
    times = [*range(CONTEXT - 2, 20), 50, 100, 500, 1000]
    truth = moving_digits(2, _SEED, test=True, length=max(times) + 1)
    context = torch.from_numpy(truth[:, :CONTEXT])[:, :, None].float() / 255.0
    steps = max(times)
    states, _ = DreamSimulator(dream, 2, horizon=0).generate(context, (CONTEXT - 1) / steps, steps)
    for clip in range(2):
        rows[f"truth {clip + 1}"] = truth[clip, times, :, :, None]
        rows[f"dream {clip + 1}"] = _render(dream, states[clip, times])
    columns = [f"context {t + 1}" if t < CONTEXT else str(t + 1) for t in times]
    save_png(folder / "digits.png", strip(rows, columns))
    near = {"truth": truth[0, :40, :, :, None], "dream": _render(dream, states[0, :40])}
    save_gif(folder / "digits.gif", film(near, enlarge=2))
    return ["digits.png", "digits.gif"]


@torch.no_grad()
def goes_on_by_itself(folder: Path) -> list[str]:
    """The control model on three layouts that no recording holds, until the episode ends."""
    dream = Dream.load("minigrid")
    reality = reality_of(dream)
    env, rng, rows = reality.make(), np.random.default_rng(_SEED), {}
    for number in range(3):
        while True:
            env.reset(seed=int(rng.integers(2**31)))
            reality.scatter(env, rng)
            if reality.is_held_out(env):
                break
        simulator = DreamSimulator(dream, horizon=0)
        states = [simulator.reset(states=encode_frames(dream, reality.frame(env)[None]))[0]]
        states += [transition.state[0] for transition in islice(_until_the_end(simulator), _STEPS)]
        rows[f"layout {number + 1}"] = _render(dream, torch.stack(states))
    env.close()
    save_png(folder / "autopilot.png", strip(rows, ["given", *map(str, range(1, _STEPS + 1))]))
    return ["autopilot.png"]


def _until_the_end(simulator: DreamSimulator):
    for transition in simulator.autopilot(_STEPS):
        yield transition
        if transition.terminated.any():
            return


@torch.no_grad()
def learned_actions(folder: Path) -> list[str]:
    """What a dozen codes do to two pictures, in one step: each names a place to go to."""
    dream = Dream.load("minigrid")
    walks = walk_at_random(dream, 32, _SEED)
    rows_of_table = measure(dream, walks)["meaning"][:_CODES]
    codes, rows = torch.tensor([row["code"] for row in rows_of_table]), {}
    for number, frame in enumerate(walks.frames[:2, 0]):
        simulator = DreamSimulator(dream, len(codes), horizon=0)
        simulator.reset(states=encode_frames(dream, frame[None]).expand(len(codes), -1))
        after = simulator.step_code(codes).state
        rows[f"picture {number + 1}"] = np.concatenate([frame[None], _render(dream, after)])
    save_png(folder / "codes.png", strip(rows, ["given", *(f"code {int(code)}" for code in codes)]))
    return ["codes.png"]


@torch.no_grad()
def _render(dream: Dream, states: Tensor) -> np.ndarray:
    """(T, K) → (T, H, W, C) uint8."""
    return dream.world_model.render(states, as_bytes=True).numpy()
