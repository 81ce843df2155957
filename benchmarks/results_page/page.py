"""The page as a whole."""

from __future__ import annotations

from pathlib import Path

from nova_gym.benchmarks.results_page import agents, browser, doubt, dreams, editing, paper, speed, suite
from nova_gym.benchmarks.results_page.reading import Results, where_measured

_HEAD = """# Results

What was measured, by which command, on which dream. The tables are written by one command, from the files in
`benchmarks/results` and the cards of the dreams that ship, so no number in them is typed by hand:

```sh
python -m nova_gym.benchmarks.results_page
```

A **target** is a goal that was set beforehand. A value that does not reach its target is marked **missed**. Brackets
hold 95 % confidence intervals, except in tables of speed: there they hold the least and the largest ratio of a round.
Each table names the command that measured it, its file of figures and the dream. Newer files say themselves on which
dream and machine they were measured; what is said here of older ones comes from the history of the repository.
"""


def results_page(folder: str | Path) -> str:
    """The page as Markdown.

    Args:
        folder: of the JSON files.

    Raises:
        BadInputError: a file holds less than the page shows. Where one is missing, the page names its command.
    """
    results = Results(folder)
    blocks = [_HEAD]
    for section in (dreams, doubt, agents, suite, paper, speed, browser, editing):
        blocks += where_measured(section.section, results, section.HEADING)
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"
