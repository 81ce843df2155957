"""Dreams in processes and threads of every kind, and copies in the middle of an episode: all come to the same."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.vec_env import SubprocVecEnv

import nova_gym  # noqa: F401  registers the ids
from nova_gym.agents import DreamVecEnv
from nova_gym.dream import Dream
from nova_gym.envs import NovaDreamEnv, NovaDreamVectorEnv
from nova_gym.simulator import DreamSimulator

#: Seconds after which a way counts as one that hangs, and steps of each.
PATIENCE, STEPS = 300.0, 60
#: Ways of making processes.
METHODS = ("fork", "forkserver", "spawn")
_ACTIONS = np.random.default_rng(0).integers(7, size=(STEPS, 2))


def processes(count: int, work: Path, known: dict[str, Any], only: str | None = None) -> Iterator[dict[str, Any]]:
    """Does all of it so often; gives what was found so far after each part.

    Args:
        count: rounds of each.
        work: not used.
        known: what an earlier call with the same count gave, to continue.
        only: the name of one part; None for all.
    """
    parts = dict(known.get("parts", {})) if known.get("count") == count else {}
    for name, (work_of, arguments) in _ways().items():
        if name in parts or (only and only != name):
            continue
        began, kinds, faults = time.monotonic(), {}, []
        for _ in range(count):
            if said := _alone(work_of, arguments):
                kinds[said.splitlines()[-1][:100]] = kinds.get(said.splitlines()[-1][:100], 0) + 1
                faults.append({"kind": said.splitlines()[-1][:100], "input": name, "where": said[-500:]})
        parts[name] = {"tried": count, "kinds": kinds, "faults": faults, "seconds": round(time.monotonic() - began, 1)}
        yield {"count": count, "parts": parts}


def _ways() -> dict[str, tuple[Callable[..., None], tuple[Any, ...]]]:
    return {
        **{f"AsyncVectorEnv, {method}": (_gymnasium_s, (method,)) for method in METHODS},
        **{f"SubprocVecEnv, {method}": (_sb3_s, (method,)) for method in METHODS},
        **{f"a pool of processes, {method}": (_pool, (method,)) for method in METHODS},
        "two simulators in two threads": (_threads, ()),
        "deepcopy in the middle of an episode": (_copied, (copy.deepcopy,)),
        "pickle in the middle of an episode": (_copied, (_pickled,)),
    }


def _alone(work: Callable[..., None], arguments: tuple[Any, ...]) -> str:
    """Does something in a process of its own, whose parent has only imported; what went wrong, "" for nothing."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_tell, args=(work, arguments, there))
    process.start()
    there.close()
    try:
        said = here.recv() if here.poll(PATIENCE) else "hangs"
    except EOFError:
        process.join()
        said = f"ends with {process.exitcode}"
    if said == "hangs":
        process.kill()
    process.join(30)
    return said


def _tell(work: Callable[..., None], arguments: tuple[Any, ...], there: Connection) -> None:
    try:
        torch.set_num_threads(2)
        (torch.randn(500, 500) @ torch.randn(500, 500)).exp().sum()  # its threads are used before it makes processes
        work(*arguments)
        there.send("")
    except BaseException:
        there.send(traceback.format_exc())


def _make() -> gym.Env:
    return gym.make("NovaDream-MiniGrid-v0", device="cpu")


def _expected(number: int) -> np.ndarray:
    """The last observation of one environment by itself."""
    env = _make()
    seen, _ = env.reset(seed=number)
    for actions in _ACTIONS:
        seen, _, terminated, truncated, _ = env.step(actions[number])
        if terminated or truncated:
            seen, _ = env.reset()
    return seen


def _same(seen: np.ndarray) -> None:
    expected = np.stack([_expected(0), _expected(1)])
    assert np.array_equal(seen, expected), f"another observation, by {np.abs(seen - expected).max()}"


def _gymnasium_s(method: str) -> None:
    envs = gym.vector.AsyncVectorEnv([_make, _make], context=method, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    envs.reset(seed=[0, 1])
    for actions in _ACTIONS:
        seen = envs.step(actions)[0]
    envs.close()
    _same(seen)


def _sb3_s(method: str) -> None:
    envs = SubprocVecEnv([_make, _make], start_method=method)
    envs.seed(0)
    envs.reset()
    for actions in _ACTIONS:
        seen = envs.step(actions)[0]
    envs.close()
    _same(seen)


def _pool(method: str) -> None:
    with multiprocessing.get_context(method).Pool(2) as workers:
        _same(np.stack(workers.map(_expected, range(2))))


def _threads() -> None:
    """Two simulators of one dream, and of two, at the same time."""
    for dreams in ((Dream.load("minigrid"),) * 2, (Dream.load("minigrid"), Dream.load("minigrid"))):
        alone = [_rolled(dream, seed) for seed, dream in enumerate(dreams)]
        together: dict[int, torch.Tensor] = {}

        def roll(seed: int, dream: Dream, into: dict[int, torch.Tensor] = together) -> None:
            into[seed] = _rolled(dream, seed)

        threads = [threading.Thread(target=roll, args=(seed, dream)) for seed, dream in enumerate(dreams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(torch.equal(alone[seed], together[seed]) for seed in range(2)), "threads disturb each other"


def _rolled(dream: Dream, seed: int) -> torch.Tensor:
    generator, simulator = torch.Generator().manual_seed(seed), DreamSimulator(dream, 64)
    simulator.reset(generator=generator)
    for _ in range(20 * STEPS):
        simulator.step(torch.randint(7, (64,), generator=generator))
    return torch.cat([simulator.state.flatten(), simulator.render(36).flatten()])


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def _copied(way: Callable[[Any], Any]) -> None:
    """A copy goes on as the original does, and neither disturbs the other."""
    all_of_them = {
        "scalar": lambda: NovaDreamEnv(device="cpu"),
        "vector": lambda: NovaDreamVectorEnv(4, device="cpu"),
        "SB3": lambda: DreamVecEnv(num_dreams=4, device="cpu"),
        "simulator": lambda: DreamSimulator(Dream.load("minigrid"), 4),
    }
    for what, make in all_of_them.items():
        made = make()
        _begin(made, what)
        _goes_on(made, what)
        other = way(made)
        first = [_goes_on(each, what) for each in (made, other)]
        second = [_goes_on(each, what) for each in (other, made)]
        assert np.array_equal(*first), f"{what}: a copy goes on otherwise"
        assert np.array_equal(*second), f"{what}: a copy disturbs the original"


def _begin(made: Any, what: str) -> None:
    if what == "SB3":
        made.seed(0)
        made.reset()
    elif what == "simulator":
        made.reset(generator=torch.Generator().manual_seed(0))
    else:
        made.reset(seed=0)


def _goes_on(made: Any, what: str) -> np.ndarray:
    """Some steps, with a reset where an episode ends, so that generators are copied too."""
    rng, seen = np.random.default_rng(1), []
    for _ in range(STEPS):
        actions = rng.integers(7, size=4)
        if what == "simulator":
            seen.append(made.step(torch.from_numpy(actions)).state.numpy().copy())
        elif what == "scalar":
            observation, _, terminated, truncated, _ = made.step(actions[0])
            seen.append(made.reset()[0] if terminated or truncated else observation)
        else:
            seen.append(made.step(actions)[0])
    return np.stack(seen)
