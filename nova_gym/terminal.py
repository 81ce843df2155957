"""What all commands share: options, progress bars, one-line errors."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nova_gym.errors import BadInputError

console = Console()

DreamArgument = Annotated[
    str,
    typer.Argument(help="Shipped dream (minigrid or digits), path of a dream file, or hf://user/name on the hub."),
]
DeviceOption = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, cuda …")]
#: The largest number that an option takes where it counts something, or seeds PyTorch and NumPy.
LARGEST = 2**31 - 1
#: Bounds of options that count from 1 on, and from 0 on.
COUNT: dict[str, Any] = {"min": 1, "max": LARGEST}
NUMBER: dict[str, Any] = {"min": 0, "max": LARGEST}
SeedOption = Annotated[int, typer.Option(help="Seed of everything random.", min=0, max=LARGEST)]


def one_line_errors(command: Callable) -> Callable:
    """Decorator of commands: what they cannot use or write ends them with one line and exit code 2.

    So do a full memory and what the system refuses. Ctrl-C ends them with exit code 130.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (BadInputError, OSError, MemoryError) as error:
            said = " ".join(str(error).split()) or "there is not enough memory"
            print(f"nova-gym: {said.encode(errors='backslashreplace').decode()}", file=sys.stderr)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            print("nova-gym: stopped", file=sys.stderr)
            raise typer.Exit(130) from None

    return wrapped


class Bars:
    """Progress bars with the time left, one for each part of a command; plain lines if there is no terminal.

    Called as `bars(part, done, total, text)`.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress, self.tasks, self.over, self.printed = progress, {}, set(), time.monotonic()

    def __call__(self, part: str, done: int, total: int, text: str = "") -> None:
        """Reports that `done` of `total` units of a part are finished; `text` stands beside the bar."""
        if part not in self.tasks:
            self.tasks[part] = self.progress.add_task(part, total=total, text="")
        self.progress.update(self.tasks[part], completed=done, total=total, text=text)
        over = done >= total and part not in self.over
        if not console.is_terminal and (over or time.monotonic() - self.printed > 30):
            self.printed = time.monotonic()
            self.over |= {part} if over else set()
            print(f"{part}: {done}/{total}  {text}".rstrip(), flush=True)


@contextmanager
def progress_bars() -> Iterator[Bars]:
    """Shows progress bars during a `with` block."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bars(progress)


def cell(estimate: Any, decibel: bool = False) -> str:
    """An `Estimate` (or None) as a table cell: `value [low, high]`, or `–`; with one digit for decibels."""
    if estimate is None:
        return "–"
    digits = 1 if decibel else 4
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
