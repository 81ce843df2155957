"""Compiled code is kept on disk for the next process, and never outlives the sources that it was made from.

By itself Numba compiles a function anew when the function's own file changes. Kernels are put together from several
files, so here what is kept belongs to the sources of all kernels as they stand: whoever edits one of them, or pulls
another version, runs the new code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache


def stamp_of(folder: Traversable) -> str:
    """A name for the Python sources in a folder: other sources have another one."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            content = file.read_bytes()
            digest.update(f"{file.name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


_FOLDER = resources.files("nova_gym.kernels")
_STAMP = stamp_of(_FOLDER)


def compiled(inner: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a function of a kernel: Numba compiles it, and keeps the code where it can.

    That is in the folder `NUMBA_CACHE_DIR`, beside the sources, or else in the user's own cache. Where none of them can
    be written to, every process compiles.

    Args:
        inner: whether compiled functions alone call it. Then nothing is made that Python could call it by, which takes
            Numba about as long as a short function does.
        options: of `numba.njit`.

    Raises:
        RuntimeError: Numba was told not to compile.
    """
    if config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT is set")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        dispatcher = njit(no_cfunc_wrapper=True, no_cpython_wrapper=inner, **options)(function)
        if stamp_of(_FOLDER) == _STAMP:  # else this process runs sources that are not there any more
            with suppress(RuntimeError):  # no folder can be written to
                dispatcher._cache = _Kept(function)
        return dispatcher

    return decorate


class _Names(CompileResultCacheImpl):
    """Names files after the function and the stamp."""

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return super().get_filename_base(f"{fullname}-{_STAMP}", abiflags)


class _Kept(FunctionCache):
    """The compiled code of one function on disk; a disk that is full or spoilt costs time and raises nothing."""

    _impl_class = _Names

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a file that was cut short raises anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps new code, and removes what other sources left of this function."""
        with suppress(OSError):
            super().save_overload(sig, data)
            name, _, _ = self._impl.filename_base.partition(_STAMP)
            for file in Path(self.cache_path).iterdir():
                if file.name.startswith(name) and _STAMP not in file.name and ".nb" in file.suffix:
                    file.unlink(missing_ok=True)
