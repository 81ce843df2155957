"""Dreams in processes of every kind: none may hang, however much its parent has computed before."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("processes.py")
#: What makes the processes, for each method: forking is where threads are lost.
WAYS = {
    "fork": ("make_vec", "gymnasium_s", "sb3_s", "pool", "data_loader", "by_hand"),
    "forkserver": ("gymnasium_s",),
    "spawn": ("pool",),
}


def run(*arguments, limit, script=(SCRIPT,)):
    """Runs it with all its children in a group of its own, so that none is left if it hangs."""
    command = [sys.executable, *script, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            return process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"hangs: {process.communicate()[0]}"


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(way, marks=pytest.mark.slow) for way in WAYS if way != "fork")]
)
def test_no_way_of_making_processes_hangs(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    said = run(method, *WAYS[method], limit=240)
    parts = [*WAYS[method], "done"]
    assert [line for line in said.splitlines() if line in parts] == parts, said  # PyTorch may warn of few cores


LATE = """
import multiprocessing
import torch

def child():
    import gymnasium as gym
    import nova_gym
    gym.make("NovaDream-MiniGrid-v0", observation="pixels").reset(seed=0)

if __name__ == "__main__":
    torch.set_num_threads(2)
    (torch.randn(2000, 2000) @ torch.randn(2000, 2000)).sum()
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    print("done" if process.exitcode == 0 else process.exitcode)
"""


def test_a_child_that_is_the_first_to_import_the_package_does_not_hang(tmp_path):
    """Its parent has used PyTorch alone, as a script does that makes its environments in processes."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    script = tmp_path / "late.py"
    script.write_text(LATE)
    assert run(script, limit=60, script=()).split() == ["done"]
