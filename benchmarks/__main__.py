"""Lists what there is to measure: each command, the file that it writes, and roughly how long it takes.

python -m nova_gym.benchmarks
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from nova_gym.benchmarks.sources import BENCH_PARTS, PAGES, RESULTS, SOURCES, command_of, file_of
from nova_gym.benchmarks.tables import show

_FOLDER = Path(__file__).parent


def modules() -> dict[str, ast.Module]:
    """The source of each module beside this one by name; of a package that is a command, of its `__main__`."""
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix == ".py" and not path.stem.startswith("__"):
            found[path.stem] = ast.parse(path.read_text(encoding="utf-8"))
        elif (path / "__main__.py").is_file():
            found[path.name] = ast.parse((path / "__main__.py").read_text(encoding="utf-8"))
    return found


def is_command(module: ast.Module) -> bool:
    """Whether it can be run with `python -m`."""
    return any(isinstance(n, ast.If) and ast.unparse(n.test) == "__name__ == '__main__'" for n in module.body)


def first_line(module: ast.Module) -> str:
    """What a module is for."""
    return (ast.get_docstring(module) or "").split("\n", 1)[0]


def writes_and_takes(name: str) -> tuple[str, str]:
    """The file that a command of this folder writes, and roughly how long it takes.

    Raises:
        KeyError: `nova_gym.benchmarks.sources` does not name it.
    """
    for key, source in SOURCES.items():
        if re.search(rf"nova_gym\.benchmarks\.{name}\b", source.command):
            return file_of(key), source.takes
    return PAGES[name]


def main() -> None:
    found = modules()
    commands = [
        (name, *writes_and_takes(name), first_line(module)) for name, module in found.items() if is_command(module)
    ]
    others = [(command_of(key), source.takes) for key, source in SOURCES.items() if "benchmarks." not in source.command]
    parts = [(name, first_line(found[name])) for name in BENCH_PARTS]
    print("Times are rough ones, on two cores. Files of figures are written where --json says.")
    show("python -m nova_gym.benchmarks.MODULE", ("module", "writes", "takes", "what"), commands)
    show("parts of nova-gym bench", ("part", "what"), parts)
    show(f"other commands that write into {RESULTS}", ("command", "takes"), others)


if __name__ == "__main__":
    main()
