"""A long run of many dreams: no number is lost, memory stays, and a fresh process comes to the same.

Scalar environments, the vector environment and SB3's are compared dream by dream.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from nova_gym.agents import DreamVecEnv
from nova_gym.dream import Dream
from nova_gym.envs import NovaDreamEnv, NovaDreamVectorEnv
from nova_gym.simulator import DreamSimulator

#: Dreams that are stepped together, and how often some of them are reset.
DREAMS, RESETS = 256, 10_000
#: Results are noted so often over the run, and memory is compared from this share of it on.
NOTED, WARM = 20, 0.1
#: Dreams and steps of the comparison of scalar, vector and SB3.
COMPARED, STEPS = 64, 400
#: Growth of memory that is allowed.
GROWTH = 0.01


def soak(count: int, work: Path, known: dict[str, Any], only: str | None = None) -> Iterator[dict[str, Any]]:
    """Runs so many steps in two fresh processes, then compares environments; gives what was found so far.

    Args:
        count: steps, all dreams together.
        work: not used.
        known: what an earlier call with the same count gave, to continue.
        only: the name of one part; None for all.
    """
    parts = dict(known.get("parts", {})) if known.get("count") == count else {}
    both = ("a process", "a fresh process")
    if only in (None, *both) and not set(both) <= parts.keys():
        with ThreadPoolExecutor(2) as pool:  # at the same time, on two cores
            found = list(pool.map(_in_a_process, [count] * 2))
        same = found[0]["results"] == found[1]["results"]
        found[1] |= {"same as the first": same}
        found[1]["kinds"] |= {} if same else {"another result in a fresh process": 1}
        parts |= dict(zip(both, found, strict=True))
        yield {"count": count, "parts": parts}
    name = "scalar, vector, SB3"
    if name not in parts and only in (None, name):
        parts[name] = _compared()
        yield {"count": count, "parts": parts}


def _in_a_process(count: int) -> dict[str, Any]:
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(count, there))
    process.start()
    there.close()
    try:
        return here.recv()
    finally:
        process.join()


def _run(count: int, there: Connection) -> None:
    torch.set_num_threads(1)
    dream, generator = Dream.load("minigrid"), torch.Generator().manual_seed(0)
    simulator = DreamSimulator(dream, DREAMS)
    simulator.reset(generator=generator)
    rounds = -(-count // DREAMS)
    every, note = max(1, rounds // RESETS), max(1, rounds // NOTED)
    ended, resets, episodes = torch.zeros(DREAMS, dtype=torch.bool), 0, 0
    began, kinds, results, warm = time.monotonic(), {}, [], 0
    digest = hashlib.sha256()
    for number in range(rounds):
        actions = torch.randint(dream.world_model.config.actions, (DREAMS,), generator=generator)
        step = simulator.step(actions)
        ended |= step.terminated | step.truncated
        if not (step.state.isfinite().all() and step.reward.isfinite().all()):
            kinds["a number that is not finite"] = kinds.get("a number that is not finite", 0) + 1
        if number % every == 0:
            chosen = ended | (torch.rand(DREAMS, generator=generator) < 0.01)
            episodes += int(chosen.sum())
            simulator.reset(mask=chosen, generator=generator)
            ended.zero_()
            resets += 1
        if number % note == 0 or number == rounds - 1:
            digest.update(step.state.contiguous().numpy().tobytes() + step.reward.numpy().tobytes())
            results.append(digest.hexdigest()[:16])
        if not warm and number >= WARM * rounds:
            warm = _resident()
    seconds, growth = time.monotonic() - began, _resident() / warm - 1.0
    if growth > GROWTH:
        kinds["memory grows"] = 1
    there.send(
        {
            "steps": rounds * DREAMS,
            "resets": resets,
            "episodes": episodes,
            "lost": int(simulator.lost.sum()),
            "growth of memory": round(growth, 5),
            "megabytes": round(_resident() / 1e6, 1),
            "seconds": round(seconds, 1),
            "results": results,
            "kinds": kinds,
        }
    )


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def _compared() -> dict[str, Any]:
    """Steps the same dreams in three ways; counts the steps of a dream in which any number differs."""
    torch.set_num_threads(1)
    dream, began = Dream.load("minigrid"), time.monotonic()
    rng, limit = np.random.default_rng(0), 40
    same = {"dream": dream, "device": "cpu", "max_episode_steps": limit}
    scalars = [NovaDreamEnv(**same) for _ in range(COMPARED)]
    vector = NovaDreamVectorEnv(COMPARED, autoreset_mode=AutoresetMode.SAME_STEP, **same)
    sb3 = DreamVecEnv(num_dreams=COMPARED, **same)
    sb3.seed(0)
    first = [env.reset(seed=number)[0] for number, env in enumerate(scalars)]
    differing = _differing(first, vector.reset(seed=0)[0], sb3.reset())
    largest, ends = 0.0, 0
    for _ in range(STEPS):
        actions = rng.integers(dream.world_model.config.actions, size=COMPARED)
        seen, paid, over = [], [], []
        for env, action in zip(scalars, actions, strict=True):
            observation, reward, terminated, truncated, _ = env.step(action)
            over.append(terminated or truncated)
            seen.append(env.reset()[0] if over[-1] else observation)
            paid.append(reward)
        by_vector, by_sb3 = vector.step(actions), sb3.step(actions)
        differing += _differing(seen, by_vector[0], by_sb3[0])
        differing += _differing(np.float32(paid), np.float32(by_vector[1]), by_sb3[1])
        differing += _differing(over, by_vector[2] | by_vector[3], by_sb3[2])
        largest = max(largest, float(np.abs(np.stack(seen) - by_vector[0]).max()))
        ends += sum(over)
    return {
        "dreams": COMPARED,
        "steps": STEPS * COMPARED,
        "episodes": ends,
        "differing": differing,
        "largest difference": largest,
        "seconds": round(time.monotonic() - began, 1),
        "kinds": {"a dream that differs": differing} if differing else {},
    }


def _differing(*ways: Any) -> int:
    first, *others = (np.asarray(way).reshape(COMPARED, -1) for way in ways)
    return sum(int((first != other).any(1).sum()) for other in others)
