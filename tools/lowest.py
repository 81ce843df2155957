"""Prints the lowest version of everything that `setup.cfg` asks for, as constraints for pip.

`make test-lowest` runs the tests with these, so that each lower bound is one that was tried.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path

SETUP = Path(__file__).parent.parent / "setup.cfg"


def lowest(requirement: str) -> str:
    """`numpy >= 2.0, < 3` → `numpy==2.0`, and `pytorch_optimizer == 4.1.*` → `pytorch_optimizer==4.1.*`.

    Raises:
        ValueError: the requirement does not begin with its lowest version.
    """
    found = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?\s*(?:==|>=)\s*([\w.*]+)(?:,.*)?", requirement)
    if not found:
        raise ValueError(f"setup.cfg should say the lowest version first: {requirement}")
    return "==".join(found.groups())


def requirements() -> list[str]:
    """All that the package needs, as `setup.cfg` puts it; what only its tests need may be as new as it likes."""
    config = configparser.ConfigParser()
    config.read(SETUP)
    return config["options"]["install_requires"].split("\n")[1:]


if __name__ == "__main__":
    print(*map(lowest, requirements()), sep="\n")
