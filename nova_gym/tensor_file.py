"""Tensors and JSON in one `.safetensors` file, sealed by a checksum: what dreams and agents are kept in.

Reading such a file runs nothing that it holds, and takes memory in proportion to its size.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.modules import module as hooks

from nova_gym.errors import BadInputError
from nova_gym.files import write_atomically
from nova_gym.version import __version__

#: Bytes of a file's header at most. That of a dream has some thousand; a large one would fill the memory when parsed.
HEADER = 2**23
#: Characters of a line that quotes another library's error.
LINE = 300
#: What damaged and foreign headers raise where they are used.
DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class FileKind:
    """What a file is, for its reader and for error messages.

    Attributes:
        key: of the header in the file's metadata.
        noun: such as "a dream".
        format: version of the file's layout; files of any other version are refused.
        older: what to do with a file of an older version.
        error: that reading raises.
    """

    key: str
    noun: str
    format: int
    older: str
    error: type[BadInputError]


def write_tensors(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any], kind: FileKind) -> None:
    """Writes tensors and a header to one file, atomically.

    Args:
        path: where; an existing file is replaced only once the new one is complete.
        tensors: on the CPU and contiguous.
        header: JSON-ready; `format` and the checksum are added.
        kind: of the file.

    Raises:
        BadInputError: the file cannot be written; an existing one stays then.
    """
    header = {"format": kind.format, **header}
    header["sha256"] = _digest(tensors, header)
    with write_atomically(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={kind.key: json.dumps(header)})
        except safetensors.SafetensorError as error:  # it reports a full disk as its own error
            raise OSError(str(error)) from error


def read_tensors(path: Path, kind: FileKind) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and the header of a file, on the CPU.

    Raises:
        BadInputError: (`kind.error`) the file is of another kind or format, is truncated, was changed after it was
            saved, or holds numbers that are not finite.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > HEADER:
            raise kind.error(f"{path} is not {kind.noun}: its header would have {length:,} bytes")
        with safetensors.safe_open(path, framework="pt") as file:
            header = _header(path, file.metadata() or {}, kind)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        sealed = _digest(tensors, {name: value for name, value in header.items() if name != "sha256"})
    except kind.error:
        raise
    except (safetensors.SafetensorError, OSError, RecursionError, *DAMAGED) as error:
        raise kind.error(f"{path} is not {kind.noun}, or is truncated: {first_line(error)}") from error
    if sealed != header.get("sha256"):
        raise kind.error(f"{path} was changed after it was saved: its checksum does not match")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise kind.error(f"{path} holds numbers that are not finite, in {name}")
    return tensors, header


def _header(path: Path, metadata: Mapping[str, str], kind: FileKind) -> dict[str, Any]:
    header = json.loads(metadata.get(kind.key, "null"))
    if not isinstance(header, dict) or type(header.get("format")) is not int or abs(header["format"]) > HEADER:
        raise kind.error(f"{path} is a safetensors file, but not {kind.noun} of nova-gym")
    if header["format"] != kind.format:
        advice = "please upgrade" if header["format"] > kind.format else kind.older
        raise kind.error(
            f"{path} has format {header['format']}; this nova-gym ({__version__}) reads {kind.format}: {advice}"
        )
    return header


def _digest(tensors: dict[str, Tensor], header: dict[str, Any]) -> str:
    """SHA-256 of header and tensors."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + str(tuple(tensors[name].shape)).encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def no_larger_than(numbers: int) -> Iterator[None]:
    """Within it, modules cannot be made that have more parameters than a file has numbers, whatever its header says.

    PyTorch asks for a parameter's memory before it fills it; in between, it is refused.

    Raises:
        ValueError: in the block, at the parameter that is too much.
    """
    left, here = numbers, threading.get_ident()

    def count(module: Any, name: str, made: Tensor | None) -> None:
        nonlocal left
        if made is None or threading.get_ident() != here:
            return
        left -= made.numel()
        if left < 0:
            raise ValueError(f"its header describes more than the {numbers:,} numbers that it holds")

    with hooks.register_module_parameter_registration_hook(count):
        yield


def checked(kind: type, values: Any, name: str) -> dict[str, Any]:
    """The values of a dataclass from JSON, without unknown ones, once all have the types of its defaults.

    Args:
        kind: a dataclass; numbers that are whole by default must be whole and not negative.
        values: by name.
        name: of the values, for the message.

    Returns:
        Those, with numbers that are not whole by default as floating point.

    Raises:
        ValueError: a value is missing or has another type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{name} is no dictionary")
    known = {field.name: field for field in fields(kind) if field.name in values}
    for key, field in known.items():
        if not _fits(values[key], _default(field)):
            raise ValueError(f"{name} has {key} = {str(values[key])[:40]}")
    return {key: _as_default(values[key], _default(field)) for key, field in known.items()}


def _default(field: Field) -> Any:
    return field.default if field.default is not MISSING else field.default_factory()


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int):
        return type(value) is int and 0 <= value < 2**31
    if isinstance(default, float):
        return type(value) in (int, float) and abs(value) <= sys.float_info.max  # NaN is not
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and all(_fits(each, (*default, 0.0)[0]) for each in value)
    if default is None or not isinstance(default, str | list | dict):
        return value is None or isinstance(value, dict)
    return isinstance(value, type(default))


def _as_default(value: Any, default: Any) -> Any:
    """A value that fits, as floating point where the default is, alone or in a row of numbers."""
    if isinstance(default, tuple) and isinstance((*default, 0.0)[0], float):
        return [float(each) for each in value]
    return float(value) if isinstance(default, float) else value


def first_line(error: BaseException) -> str:
    """What an error says, or what it is, in one line that is not endless, such as one that quotes a file."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= LINE else f"{line[:LINE]} …"
