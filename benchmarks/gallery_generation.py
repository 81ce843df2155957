"""Draws dreams that go on by themselves, and learned actions, for `nova_gym.benchmarks.gallery`."""

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
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.envs.reality.lockstep import Bench
from nova_gym.pictures import film, save_gif, save_png, strip

_SEED = 5
#: The last step of moving digits that is shown.
LATEST = 1000
#: Steps to show of a dream that goes on by itself.
_STEPS = 11
#: Number of learned actions to show.
_CODES = 12
#: Levels that the dream never saw, the names of their pictures, and how much these are enlarged.
LEVELS = (("MiniGrid-SimpleCrossingS9N3-v0", "three-walls", 2), ("MiniGrid-FourRooms-v0", "four-rooms", 1))
#: Steps after which reality and dream are shown.
_LOOKS = (1, 10, 50, 100)


def digits_go_on(folder: Path) -> list[str]:
    """Two clips of test digits: the truth, and the dream's continuation after some steps and after many."""
    dream, rows = Dream.load("digits"), {}
    times = [*range(CONTEXT - 2, 20), *(time for time in (50, 100, 500) if time < LATEST), LATEST]
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


def other_levels(folder: Path) -> list[str]:
    """Reality and dream on levels that the dream never saw, with the same random actions."""
    names = []
    for level, name, enlarge in LEVELS:
        dream = dream_at(Dream.load("minigrid"), level)
        bench = Bench(dream, "official", _SEED)
        env = bench.environment()
        simulator = bench.simulator(bench.frames([env]))
        shown = [(bench.frames([env])[0], simulator.state[0])]
        for step in range(1, max(_LOOKS) + 1):
            action = bench.harmless_action(env)
            env.step(action)
            simulator.step(bench.actions([action]))
            if step in _LOOKS:
                shown.append((bench.frames([env])[0], simulator.state[0]))
        env.close()
        real, dreamt = zip(*shown, strict=True)
        rows = {"MiniGrid": np.stack(real), "dream": _render(dream, torch.stack(dreamt))}
        save_png(folder / f"{name}.png", strip(rows, ["given", *(f"step {step}" for step in _LOOKS)], enlarge))
        names.append(f"{name}.png")
    return names


@torch.no_grad()
def goes_on_by_itself(folder: Path) -> list[str]:
    """The control model on three layouts that the recording does not hold, until the episode ends."""
    dream = Dream.load("minigrid")
    bench, rows = Bench(dream, "random", _SEED), {}
    for number in range(3):
        env = bench.environment()
        simulator = bench.simulator(bench.frames([env]))
        states = [simulator.state[0]]
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
    """The effect of a dozen codes on two pictures, each in one cell, after one step."""
    dream = Dream.load("minigrid")
    walks = walk_at_random(dream, 32, _SEED)
    codes, rows = [row["code"] for row in measure(dream, walks)["meaning"][:_CODES]], {}
    height, width = dream.world_model.config.cell
    for number, (frames, poses) in enumerate(zip(walks.frames[:2], walks.poses[:2], strict=True)):
        column, row = poses[-1, :2]
        simulator = DreamSimulator(dream, len(codes), horizon=0)
        simulator.reset(states=encode_frames(dream, frames[:1]).expand(len(codes), -1, -1, -1))
        field = torch.zeros(len(codes), *simulator.cells, dtype=torch.int64)
        field[:, row * walks.tile // height, column * walks.tile // width] = torch.tensor(codes)
        after = simulator.step_code(field).state
        rows[f"picture {number + 1}"] = np.concatenate([frames[:1], _render(dream, after)])
    save_png(folder / "codes.png", strip(rows, ["given", *(f"code {code}" for code in codes)]))
    return ["codes.png"]


@torch.no_grad()
def _render(dream: Dream, states: Tensor) -> np.ndarray:
    """(T, K, rows, cols) → (T, H, W, C) uint8."""
    return dream.world_model.render(states, as_bytes=True).numpy()
