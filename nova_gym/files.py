"""Writing files atomically: after a failure the old file is still there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nova_gym.errors import BadInputError


def make_folder(path: str | Path) -> None:
    """Makes a folder, unless it is there.

    Raises:
        BadInputError: it cannot be made or written to.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"cannot write to the folder {path}: {getattr(error, 'strerror', None) or error}"
        ) from error


def find_file(name: str | Path) -> Path | None:
    """The file of that name, None where there is none or it can be no file's name, such as one with a zero byte."""
    try:
        path = Path(name)
        return path if path.is_file() else None
    except (OSError, TypeError, ValueError):
        return None


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Writes a file as a whole, or leaves the old one: a context manager around the code that writes.

    The block gets a temporary path beside `path` to write to. If it ends without an error, that file replaces `path`.

    Args:
        path: where the file is to be; its folder is made if need be. Of a link the file behind it is written.

    Raises:
        BadInputError: the folder cannot be made or written to, the disk is full, or at `path` lies something that is no
            file, such as a folder or a device; what is there stays.
    """
    given = path
    try:
        path = Path(path).resolve()
        if not path.name or (path.exists() and not path.is_file()):
            raise BadInputError(f"cannot write {given}: it is a folder or a device")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
    except (OSError, RuntimeError, ValueError) as error:  # a link to itself, or a name with a zero byte
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(f"cannot write {given}: {getattr(error, 'strerror', None) or error}") from error
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
            f"cannot write {given}: {error.strerror or error}; the file that was there is untouched"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, values: Any) -> None:
    """Writes values as JSON that people can read, atomically.

    Args:
        path: where; its folder is made if need be.
        values: numbers, strings, lists and dictionaries, nested in any way.

    Raises:
        BadInputError: as `write_atomically`.
        TypeError: the values hold something else.
    """
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Writes a text, atomically.

    Raises:
        BadInputError: as `write_atomically`.
    """
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
