"""Reads docstrings as they are written here, which napoleon alone does not.

- Gymnasium's `## Section` headings become rubrics.
- "Returns:" is prose: a colon in it does not end a type. The same holds for attributes and properties.
- `num_dreams: N.` says how many, and begins no list.
- A default that is made anew for each object is shown as `...`.
"""

import re
from typing import Any

from sphinx.application import Sphinx

#: Stands for a colon while napoleon reads.
_COLON = "\ue000"


def _before(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Hides from napoleon what it would take for something else."""
    shown: list[str] = []
    inside = what in ("attribute", "property", "data")
    for line in lines:
        if line.startswith("## "):
            shown += ["", f".. rubric:: {line.removeprefix('## ')}", ""]
            continue
        if line.strip() and not line.startswith(" "):
            inside = what in ("attribute", "property", "data")
        shown.append(line.replace(":", _COLON) if inside else line)
        if line in ("Returns:", "Yields:"):
            inside = True
    lines[:] = shown


def _after(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Shows it again."""
    lines[:] = [re.sub(r"^( +\w)\.$", r"\1\.", line.replace(_COLON, ":")) for line in lines]


def _signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Makes a signature one that Python could read."""
    return signature and signature.replace("<factory>", "..."), returns


def setup(app: Sphinx) -> dict[str, Any]:
    """Around napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _before, priority=100)
    app.connect("autodoc-process-docstring", _after, priority=900)
    app.connect("autodoc-process-signature", _signature)
    return {"version": "1", "parallel_read_safe": True}
