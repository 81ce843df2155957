"""Prints the lowest version of everything that `setup.cfg` asks for, as constraints for pip.

`make test-lowest` installs these and runs the tests with them, so that each lower bound is one that somebody tried.
"""

from __future__ import annotations

import configparser
from pathlib import Path

from packaging.requirements import Requirement

SETUP = Path(__file__).parent.parent / "setup.cfg"


def lowest(requirement: str) -> str:
    """`numpy >= 2.0, < 3` → `numpy==2.0`, and `soap == 4.1.*` → `soap==4.1.*`.

    Raises:
        ValueError: the requirement has no lower bound, so that nobody can say what its lowest version is.
    """
    parsed = Requirement(requirement)
    bounds = {specifier.operator: specifier.version for specifier in parsed.specifier}
    for operator in ("==", ">="):
        if operator in bounds:
            return f"{parsed.name}=={bounds[operator]}"
    raise ValueError(f"setup.cfg says no lowest version: {requirement}")


def requirements() -> list[str]:
    """All that the package needs, as `setup.cfg` puts it; what only its tests need may be as new as it likes."""
    config = configparser.ConfigParser()
    config.read(SETUP)
    return config["options"]["install_requires"].split("\n")[1:]


if __name__ == "__main__":
    print(*map(lowest, requirements()), sep="\n")
