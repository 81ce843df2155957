"""The kernels: the formulas of `nova_gym.model` compiled, by Numba for the CPU and by Triton for CUDA.

`find` is the one place that chooses them, and nothing needs them: where there is none PyTorch does the same, slower.
"""

from __future__ import annotations

import importlib
import textwrap
import warnings
from functools import cache
from types import ModuleType

__all__ = ["find"]

#: What is compiled, by device: the compiler and the module. Each module has a `probe`.
_KERNELS = {
    ("render", "cpu"): ("Numba", "nova_gym.kernels.render"),
    ("points", "cpu"): ("Numba", "nova_gym.kernels.points"),
    ("step", "cpu"): ("Numba", "nova_gym.kernels.step"),
    ("doubt", "cpu"): ("Numba", "nova_gym.kernels.doubt"),
    ("render", "cuda"): ("Triton", "nova_gym.kernels.render_cuda"),
}


@cache
def find(kernel: str, device: str) -> ModuleType | None:
    """The module of a kernel, None where PyTorch does without.

    A compiler that is missing, or breaks in any way on the smallest example, is one warning a process with its cause.
    It is imported here, and so late, since that takes a while.

    Args:
        kernel: `render` draws frames on a grid, `points` draws any points with gradients, `step` steps dreams,
            `doubt` follows how far they are to be trusted.
        device: type of the device, as PyTorch names it.
    """
    if (kernel, device) not in _KERNELS:
        return None
    compiler, name = _KERNELS[kernel, device]
    try:
        module = importlib.import_module(name)
        module.probe()
    except Exception as error:
        _warn(compiler, f"{type(error).__name__}: {error}")
        return None
    return module


_warned: set[str] = set()


def _warn(compiler: str, cause: str) -> None:
    """Says once for all kernels of a compiler that it cannot be used."""
    if compiler not in _warned:
        _warned.add(compiler)
        cause = textwrap.shorten(cause, 400)
        text = f"{compiler} cannot be used, so that nova-gym computes with PyTorch alone, several times slower: {cause}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
