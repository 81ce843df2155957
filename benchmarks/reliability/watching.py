"""Bad inputs are tried in a process that is watched: what it raises, how long it takes, how much memory it needs."""

from __future__ import annotations

import ctypes
import faulthandler
import hashlib
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gymnasium.error import ResetNeeded

from nova_gym.errors import BadInputError

#: Seconds of the processor that a refusal may take, and the work of what is not refused. They are looked at after so
#: many seconds of the clock, and after so many looks it is a hang, whatever it took: a busy machine makes many of few.
SECONDS, WORK, CLOCK, RINGS = 10.0, 60.0, 15.0, 12
#: Bytes that it may need beyond what the process had, and at which the process cannot have more.
MEMORY, MOST = 10**9, 6 * 10**9
#: Exceptions that are documented: a message of one line, of at most so many characters.
DOCUMENTED, LINE = (BadInputError, ResetNeeded), 1000
#: A user without rights, and the option by which Linux lets a process look at itself.
NOBODY, PR_SET_DUMPABLE = 65534, 4
#: Faults of one kind that are written down, of all that are counted.
SHOWN = 3


class Hang(BaseException):
    """Raised by the alarm within a bad input that takes too long."""


@dataclass
class Found:
    """What some bad inputs led to.

    Attributes:
        tried: how many.
        refused: by a documented exception, or exit code 2.
        accepted: that did no harm, such as a flipped bit that nothing depends on.
        kinds: of faults, how many of each.
        faults: some of each kind: the input, and what it led to.
        slowest: seconds of the processor.
        largest: bytes beyond what the process had.
    """

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    faults: list[dict[str, str]] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def add(self, other: Found) -> None:
        """Adds what others led to."""
        for name in ("tried", "refused", "accepted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest, self.largest = max(self.slowest, other.slowest), max(self.largest, other.largest)
        counts = Counter(self.kinds)
        for fault in other.faults:
            if counts[fault["kind"]] < SHOWN:
                self.faults.append(fault)
            counts[fault["kind"]] += 1
        self.kinds = dict(Counter(self.kinds) + Counter(other.kinds))

    def fault(self, kind: str, given: str, where: str = "") -> None:
        """Notes a fault."""
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] <= SHOWN:
            self.faults.append({"kind": kind, "input": given[:300], "where": where})

    @contextmanager
    def watch(self, given: str) -> Iterator[None]:
        """The code under it is given a bad input; what becomes of that is counted.

        Args:
            given: the input, in words.
        """
        before, began, refused = _peak(reset=True), time.process_time(), self.refused
        signal.signal(signal.SIGALRM, _Alarm(began))
        signal.setitimer(signal.ITIMER_REAL, CLOCK, CLOCK)
        try:
            yield
            self.accepted += 1
        except DOCUMENTED as error:
            self._said(str(error), given)
        except SystemExit as error:  # a command's
            self.fault(f"exit code {error.code}", given)
        except Hang:
            self.fault("hang", given, _where(traceback.format_exc()))
        except BaseException as error:
            words = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
            self.fault(f"{type(error).__name__} at {_where(traceback.format_exc())}", given, words)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.tried += 1
            took, needed = time.process_time() - began, _peak() - before
            self.slowest, self.largest = max(self.slowest, took), max(self.largest, needed)
            if took > SECONDS and self.refused > refused:
                self.fault("refused after more than 10 s", given, f"{took:.0f} s")
            if needed > MEMORY:
                self.fault("more than 1 GB", given, f"{needed / 1e9:.1f} GB")

    def _said(self, message: str, given: str) -> None:
        self.refused += 1
        if not message.strip() or "\n" in message.strip() or len(message) > LINE:
            self.fault("not one clear line", given, message[:200])


def _where(trace: str) -> str:
    """The last place of this project in a traceback."""
    places = [line.strip() for line in trace.splitlines() if line.strip().startswith("File ")]
    own = [place for place in places if "/reliability/" not in place and "site-packages" not in place]
    file, line, *_ = (own or places)[-1].split(", ")
    return f"{Path(file.removeprefix('File ').strip(chr(34))).name}:{line.removeprefix('line ')}"


def _peak(reset: bool = False) -> int:
    """Largest bytes in memory since the last reset; with a reset, those of now."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):  # not Linux
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def digest(content: bytes) -> str:
    """A hash of a file's content."""
    return hashlib.sha256(content).hexdigest()


def contents(folder: Path) -> dict[str, str]:
    """A hash of each file below a folder, but of those that Numba keeps there."""
    return {
        str(path.relative_to(folder)): digest(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "numba" not in path.parts
    }


Cases = Callable[[int, Found], None]


def in_its_own_process(cases: Cases, indices: range, folder: Path, patience: float = 2 * RINGS * CLOCK) -> Found:
    """Tries the cases of some indices in a process; one that hangs or dies costs its index, and the rest goes on.

    The process has no rights but in the folder: an odd name of a file must not be one of the system's.

    Args:
        cases: called with each index, and where to note what was found.
        indices: which.
        folder: of all files.
        patience: seconds without a word after which the process is killed.
    """
    found, todo = Found(), list(indices)
    context = multiprocessing.get_context("fork")
    while todo:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_try, args=(cases, todo, folder, there))
        process.start()
        there.close()
        while todo:
            try:
                if not here.poll(patience):
                    raise EOFError
                found.add(Found(**here.recv()))
            except EOFError:
                process.kill()
                process.join()
                found.add(_lost(todo[0], process.exitcode))
                todo.pop(0)
                break
            todo.pop(0)
        process.join(10)
        if process.is_alive():
            process.kill()
        here.close()
    return found


def _lost(index: int, code: int | None) -> Found:
    lost = Found(tried=1)
    lost.fault(f"the process ended with {code}", f"index {index}")
    return lost


def _try(cases: Cases, indices: list[int], folder: Path, there: Connection) -> None:
    faulthandler.enable()
    _give_up_rights(folder)
    resource.setrlimit(resource.RLIMIT_AS, (_virtual() + MOST, -1))
    for index in indices:
        found = Found()
        cases(index, found)
        there.send(asdict(found))
    there.close()


def _give_up_rights(folder: Path) -> None:
    """Where this process is the system's administrator, it becomes a user who owns the folder alone."""
    os.environ |= {"HOME": str(folder), "NUMBA_CACHE_DIR": str(folder / "numba"), "TMPDIR": str(folder)}
    os.chdir(folder)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # or its own memory could not be looked at


def _virtual() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmSize:")[1].split()[0])


class _Alarm:
    """Ends what has had its seconds of the processor, or has waited long for nothing: a busy machine is no hang."""

    def __init__(self, began: float) -> None:
        self.began, self.rings = began, 0

    def __call__(self, *_: Any) -> None:
        """Called after each `CLOCK` seconds."""
        self.rings += 1
        if time.process_time() - self.began > WORK or self.rings == RINGS:
            raise Hang
