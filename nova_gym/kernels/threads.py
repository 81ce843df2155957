"""Work in parts on threads of our own, for compiled functions that let go of the interpreter's lock.

Numba's own parallel loops may not be entered from two threads at once, as the player and its painter would. PyTorch's
threads go on spinning after each operation, for milliseconds, or 0.1 where `nova_gym` was imported before it, and
hold back whatever else wants their core: what steps and draws few dreams keeps away from both.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

_PYTORCH_WAS_THERE = "torch" in sys.modules

import torch  # noqa: E402


def in_parts(work: Callable[[int, int], None], total: int, multiple: int = 1, most: int | None = None) -> None:
    """Calls `work(start, stop)` for parts that make up 0 to `total`, on as many threads as PyTorch has, alike for each.

    Args:
        work: thread-safe; what it raises is raised here.
        total: 0 or more.
        multiple: what the size of a part, but for the last, is a multiple of.
        most: size of a part at most, a multiple of that; None for no limit.
    """
    if not total:
        return
    threads = torch.get_num_threads()
    count = threads if most is None else threads * -(-total // (threads * most))
    size = -(-total // (count * multiple)) * multiple
    parts = [(start, min(start + size, total)) for start in range(0, total, size)]

    def run(first: int) -> None:
        for part in parts[first::threads]:
            work(*part)

    waiting = [_pool(threads).submit(run, first) for first in range(1, min(threads, len(parts)))]
    try:
        run(0)
    finally:  # what was begun writes into the caller's arrays until it is done
        for future in waiting:
            future.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="nova-gym")


def _after_fork() -> None:
    """A forked process has all pools of threads, but none of the threads: whoever gives them work waits for ever.

    Ours is made anew. PyTorch's cannot be (GNU OpenMP keeps it out of reach), so PyTorch computes on the one thread
    that there is. A child whose parent has not computed with PyTorch may choose more, by `torch.set_num_threads`.
    """
    _pool.cache_clear()
    torch.set_num_threads(1)


def _forked_with_pytorch() -> bool:
    """Whether this process was forked from one that had loaded PyTorch, and perhaps computed, but not this module.

    `multiprocessing` gives the main module another name in processes that it spawns. What a bare `os.fork` made looks
    like any other process.
    """
    child = multiprocessing.parent_process() is not None and sys.modules["__main__"].__name__ == "__main__"
    return _PYTORCH_WAS_THERE and child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
if _forked_with_pytorch():
    _after_fork()
