"""Writing files so that a failure loses nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nova_gym.errors import BadInputError


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, and moves it there if the block ends without an error.

    Raises:
        BadInputError: the folder cannot be made or written to, or the disk is full; what stood at `path` before is
            still there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
    except OSError as error:
        raise BadInputError(f"cannot write {path}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes private files
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise BadInputError(
            f"cannot write {path}: {error.strerror or error}; the file that was there is untouched"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, values: Any) -> None:
    """Writes values as JSON that people can read, atomically.

    Args:
        path: where; its folder is made if need be.
        values: of numbers, texts, lists and dictionaries.

    Raises:
        BadInputError: as `write_atomically`.
        TypeError: the values hold something else.
    """
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
