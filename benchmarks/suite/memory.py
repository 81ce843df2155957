"""The most memory that a process needs while it does something."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Its name in figures, and that in older ones, which count all pages of mapped files.
MEMORY, OLDER_MEMORY = "peak memory without mapped files in MB", "peak memory in MB"
#: Seconds between two looks.
APART = 0.05
#: Where Linux says of a process how many pages it holds, and how many of these are a file's.
_STATM = Path("/proc/self/statm")


class Peak:
    """The most memory so far, in MB of 10⁶ bytes.

    Pages of a file that is mapped are not counted, where the system tells them apart (Linux): it takes them back when
    it needs them, so a recording that is larger than the memory may be read through them.
    """

    def __init__(self) -> None:
        self.megabytes = 0.0
        self.look()

    def look(self) -> None:
        """Counts what the process holds now."""
        if _STATM.exists():
            held, of_files = (int(number) for number in _STATM.read_text(encoding="ascii").split()[1:3])
            now = (held - of_files) * os.sysconf("SC_PAGESIZE") / 1e6
        else:  # the most since the process began
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            now = most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
        self.megabytes = max(self.megabytes, now)


@contextmanager
def watched_memory() -> Iterator[Peak]:
    """Watches the memory of this process from a thread of its own, until it is left."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(APART):
            peak.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
        peak.look()
