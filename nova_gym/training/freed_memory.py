"""What the process does with memory that training frees."""

from __future__ import annotations

import ctypes
import platform


def keep_freed_memory() -> None:
    """Asks glibc to reuse large freed blocks instead of returning them, which saves page faults at every step.

    It holds for the rest of the process; on systems without glibc it does nothing.
    """
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((-3, 32 << 20), (-1, 1 << 30), (-2, 64 << 20)):  # mmap, trim, top pad
            libc.mallopt(option, value)
