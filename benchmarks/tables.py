"""Measured numbers as text and as tables, the same in a terminal and on a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], padded: bool = False) -> str:
    """A Markdown table.

    Args:
        columns: headings.
        rows: cells, as many as there are columns.
        padded: fill cells with blanks, so that columns stand below each other in a terminal too.
    """
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (columns, *rows)]
    widths = [max(3, *map(len, column)) if padded else 3 for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    width_of = widths if padded else [0] * len(widths)
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, width_of, strict=True))} |" for line in lines
    )


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table below its title."""
    print(f"\n{title}\n{table(columns, rows, padded=True)}", flush=True)


def number(value: float, form: str = ".3f") -> str:
    """A number in a format such as `.3f`, without a minus before a zero."""
    text = format(value, form)
    return text if text.strip("-0.,") else text.removeprefix("-")


def short(value: float, figures: int = 4) -> str:
    """A number of any size, with so many figures."""
    behind = figures - 1 - math.floor(math.log10(abs(value))) if value else 0
    return number(value, f",.{max(0, behind)}f")


def interval(figure: dict[str, Any] | None, form: str = ".3f", unit: str = "") -> str:
    """A figure `{"value", "low", "high", …}` as `value [low, high] unit`, `–` where there is none."""
    if figure is None:
        return "–"
    value, low, high = (number(figure[key], form) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]{' ' * bool(unit)}{unit}"
