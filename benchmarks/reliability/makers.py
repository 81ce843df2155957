"""Makers of broken files, each called with a generator: a file's bytes, and in words what is broken."""

from __future__ import annotations

import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from nova_gym import tensor_file
from nova_gym.benchmarks.reliability.broken import broken_bytes, broken_json
from nova_gym.benchmarks.reliability.inputs import Inputs
from nova_gym.dream import KIND as DREAM
from nova_gym.dream import Dream
from nova_gym.tensor_file import FileKind, read_tensors

Written = tuple[bytes, str]


def broken_copies(path: Path) -> Callable[[random.Random], Written]:
    whole = path.read_bytes()
    return lambda draw: broken_bytes(whole, draw)


def broken_dreams(files: Inputs) -> Callable[[random.Random], Written]:
    ways = [broken_tensors(path, DREAM) for path in (files.dream, files.film)]
    return lambda draw: draw.choice(ways)(draw)


def broken_tensors(path: Path, kind: FileKind) -> Callable[[random.Random], Written]:
    """Broken bytes; or sealed anew, so that the checksum is right, with another header or other tensors."""
    whole = path.read_bytes()
    tensors, header = read_tensors(path, kind)
    scratch = path.with_suffix(".scratch")

    def make(draw: random.Random) -> Written:
        way = draw.choice(("bytes",) * 4 + ("header",) * 4 + ("tensors",) * 2 + ("foreign", "bomb"))
        if way == "bytes":
            return broken_bytes(whole, draw)
        if way == "foreign":
            return _foreign(draw)
        said, given, words = header, dict(tensors), ""
        if way == "tensors":
            words = _other_tensors(given, draw)
        elif way == "header":
            for _ in range(draw.choice((1, 1, 1, 3))):
                said, change = broken_json(said, draw)
                words += change + " "
        text = _bomb(draw) if way == "bomb" else json.dumps(_sealed(said, given))
        save_file(given, scratch, metadata={kind.key: text})
        return scratch.read_bytes(), f"{way}: {words or text[:40]}"

    return make


def _sealed(header: dict, tensors: dict[str, Tensor]) -> dict:
    header = {key: value for key, value in header.items() if key != "sha256"}
    return {**header, "sha256": tensor_file._digest(tensors, header)}


def _other_tensors(tensors: dict[str, Tensor], draw: random.Random) -> str:
    """Changes one tensor; in words how."""
    name = draw.choice(sorted(tensors))
    tensor = tensors.pop(name).clone()
    way = draw.choice(("gone", "renamed", "nan", "inf", "huge", "flat", "empty", "whole", "double", "more", "bfloat"))
    if way == "renamed":
        tensors[draw.choice(("", "x", "starts.x", "starts.x.index", "starts.x.cells", name + "\n"))] = tensor
    elif way in ("nan", "inf", "huge"):
        if tensor.is_floating_point() and tensor.numel():
            tensor.view(-1)[draw.randrange(tensor.numel())] = {"nan": torch.nan, "inf": -torch.inf, "huge": 6e4}[way]
        tensors[name] = tensor
    elif way != "gone":
        others = {
            "flat": tensor.flatten(),
            "empty": tensor.flatten()[:0],
            "whole": torch.ones(tensor.shape, dtype=torch.int64),
            "double": tensor.to(torch.float64),
            "more": torch.cat([tensor.flatten()] * 2),
            "bfloat": tensor.to(torch.bfloat16),
        }
        tensors[name] = others[way].contiguous()
    return f"{name} {way}"


def _bomb(draw: random.Random) -> str:
    """JSON that fills memory or stack."""
    return draw.choice(
        (
            "[" * 200_000,
            "[" * 900 + "]" * 900,
            "[" + "[]," * 2_000_000 + "[]]",
            "[" + "[]," * 4_000_000 + "[]]",
            '{"format": ' + "9" * 5_000 + "}",
            '{"format": ' + "9" * 50 + "}",
            '{"format": 4, "config": ' + '{"a":' * 500 + "1" + "}" * 501,
            '{"format": 1e999}',
            '"\\ud800"',
            "",
        )
    )


def _foreign(draw: random.Random) -> Written:
    """Files of other kinds, and headers that say that a file is huge."""
    buffer, way = io.BytesIO(), draw.choice(("npz", "pickle", "zip", "text", "long header", "huge tensor", "foreign"))
    if way == "npz":
        np.savez(buffer, frames=np.zeros((3, 8, 8), np.uint8))
    elif way == "pickle":
        pickle.dump({"policy": [1, 2]}, buffer)
    elif way == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("data", "{}")
    elif way == "text":
        buffer.write(draw.choice((b"{}", b"GIF89a", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", "Träume".encode())) * 100)
    elif way == "long header":
        buffer.write(draw.choice((2**20, 2**24, 2**40, 2**63, 2**64 - 1)).to_bytes(8, "little") + b"{" * 1000)
    else:
        shape = draw.choice(([10**12], [2**31, 2**31], [2**63], [-1], [0, 10**18]))
        said = {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, draw.choice((0, 4, 2**62))]}}
        text = json.dumps(said if way == "huge tensor" else {"__metadata__": {"format": "pt"}, **said}).encode()
        buffer.write(len(text).to_bytes(8, "little") + text + bytes(4))
    return buffer.getvalue(), way


def broken_zips(path: Path) -> Callable[[random.Random], Written]:
    """SB3's zip: broken bytes, or a member that is broken within a whole zip, or is far larger than it looks."""
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def make(draw: random.Random) -> Written:
        way = draw.choice(("bytes", "bytes", "member", "json", "json", "gone", "bomb", "foreign"))
        if way == "bytes":
            return broken_bytes(whole, draw)
        if way == "foreign":
            return _foreign(draw)
        if way == "bomb":
            return _zip_bomb(draw.choice(("data", "policy.pth"))), "bomb"
        given, words = dict(members), ""
        name = draw.choice(sorted(given))
        if way == "member":
            given[name], words = broken_bytes(given[name], draw)
        elif way == "gone":
            del given[name]
        else:
            said, words = broken_json(json.loads(given["data"]), draw)
            given["data"] = json.dumps(said).encode()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, data in given.items():
                archive.writestr(member, data)
        return buffer.getvalue(), f"{way} {name} {words}"

    return make


@cache
def _zip_bomb(name: str) -> bytes:
    """A small zip, one member of which unpacks to 600 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("data", "{}") if name != "data" else None
        archive.writestr(name, bytes(600_000_000))
    return buffer.getvalue()


def broken_arrays(path: Path) -> Callable[[random.Random], Written]:
    """NPZ files: broken bytes, or whole with arrays of other shapes and kinds."""
    whole = path.read_bytes()

    def make(draw: random.Random) -> Written:
        if draw.random() < 0.5:
            return broken_bytes(whole, draw)
        name = draw.choice(("frames", "", "events", "a/b"))
        shape = tuple(draw.choice((0, 1, 2, 3, 9, 32)) for _ in range(draw.randrange(6)))
        kind = draw.choice(("u1", "u1", "u1", "f4", "i8", "U3", "O", "c8", "M8[s]", "?"))
        array, buffer = np.zeros(shape, kind), io.BytesIO()
        np.savez(buffer, **{name: array})
        return buffer.getvalue(), f"{name!r} {kind} {shape}"

    return make


def broken_checkpoints(dream: Dream) -> Callable[[random.Random], Written]:
    state = {
        "fingerprint": {"seed": 0},
        "model": dream.world_model.state_dict(),
        "finished": {"representation": {"loss": 0.1}},
        "kept": {"states": torch.zeros(3)},
        "current": {"name": "dynamics", "optimizer": {}, "step": 3},
        "seconds": 1.0,
    }

    def make(draw: random.Random) -> Written:
        buffer, words, given = io.BytesIO(), "", dict(state)
        if draw.random() < 0.5:
            key = draw.choice(sorted(given))
            given[key] = draw.choice((None, [], {}, "x", 3, {"name": 5}, {"base": torch.zeros(2)}, torch.zeros(1)))
            words = f"{key} = {given[key]!r:.60}"
            torch.save(given, buffer)
            return buffer.getvalue(), words
        torch.save(given, buffer)
        return broken_bytes(buffer.getvalue(), draw)

    return make
