"""Time and memory until a dream can be stepped and drawn, each round in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from nova_gym.benchmarks.figures import Figure, figures_beside
from nova_gym.errors import BadInputError

#: Code that a fresh process runs, in this order; `{dream}` stands for the dream.
_STEPS = {
    "import torch": "import torch",
    "import nova_gym, beyond that": "import nova_gym",
    "import gymnasium and nova_gym.envs, beyond that": "import gymnasium, nova_gym.envs",
    "gym.make": "env = gymnasium.make('nova_gym:NovaDream-v0', dream={dream!r}, render_mode='rgb_array')",
    "first reset and step": "env.reset(seed=0); env.step(env.action_space.sample())",
    "first picture": "env.render()",
}

#: Peak memory in KiB. On Linux a fresh process inherits `ru_maxrss` of its parent, but not `VmHWM`.
_MEMORY = """
import resource, time
from pathlib import Path

def peak_memory():
    status = Path("/proc/self/status")
    if status.exists():
        return next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

"""

Progress = Callable[[int, int], None]


def measure_loading(dream: str, rounds: int, progress: Progress) -> dict[str, list[Figure]]:
    """Seconds of each step towards the first picture, and peak memory after importing torch and after all steps.

    Raises:
        BadInputError: the dream cannot be loaded in a fresh process.
    """
    seconds: dict[str, list[float]] = {name: [] for name in _STEPS}
    memory: dict[str, list[float]] = {"torch imported": [], "a dream stepped and drawn": []}
    for done in range(rounds):
        script = _MEMORY
        for code in _STEPS.values():
            script += f"began = time.perf_counter()\n{code.format(dream=dream)}\nprint(time.perf_counter() - began)\n"
            script += "print(peak_memory())\n"
        child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        if child.returncode:
            raise BadInputError(f"{dream} cannot be loaded in a fresh process: {child.stderr.strip().splitlines()[-1]}")
        numbers = [float(line) for line in child.stdout.split()]
        for values, value in zip(seconds.values(), numbers[::2], strict=True):
            values.append(value)
        for values, value in zip(memory.values(), (numbers[1], numbers[-1]), strict=True):
            values.append(value / 1024)
        progress(done + 1, rounds)
    return {
        "seconds until the first picture": figures_beside(seconds, "s"),
        "peak memory": figures_beside(memory, "MiB"),
    }
