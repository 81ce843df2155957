"""Bytes and JSON that are broken in many ways, drawn by a generator: what a fuzzer of files needs."""

from __future__ import annotations

import json
import random
from typing import Any

#: Values that stand where others are expected.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 255, 2**15, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30),
    *(0.5, -0.0, 1e-45, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "0", "a", "ä\n\x00", "os:system", "../../etc/passwd", "x" * 10_000),
    *([], [[]], [0], [-1, 8], [2**40, 2**40], [None], ["a"], [1.5] * 100),
    *({}, {"": None}, {"a": {"b": []}}, {"tensor": "x"}, {"class": "Popen"}),
)


def broken_bytes(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """A file's bytes, broken in one way, and the way."""
    way = draw.choice(("cut", "flip", "many flips", "zeros", "insert", "repeat", "swap", "tail", "noise", "empty"))
    broken, at = bytearray(data), draw.randrange(len(data))
    length = min(draw.choice((1, 8, 100, 4096)), len(data) - at)
    if way == "cut":
        broken = broken[:at]
    elif way == "flip":
        broken[at] ^= 1 << draw.randrange(8)
    elif way == "many flips":
        for _ in range(draw.choice((10, 100, 1000))):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
    elif way == "zeros":
        broken[at : at + length] = bytes(length)
    elif way == "insert":
        broken[at:at] = draw.randbytes(length)
    elif way == "repeat":
        broken[at:at] = broken[at : at + length]
    elif way == "swap":
        other = draw.randrange(len(data) - length + 1)
        broken[at : at + length], broken[other : other + length] = (
            broken[other : other + length],
            broken[at : at + length],
        )
    elif way == "tail":
        broken += draw.randbytes(draw.choice((1, 1000, 10**6)))
    elif way == "noise":
        broken = bytearray(draw.randbytes(draw.choice((1, 7, 8, 9, 100, 10_000))))
    else:
        broken = bytearray()
    return bytes(broken), f"{way} at {at}, {length} bytes"


def broken_json(values: Any, draw: random.Random) -> tuple[Any, str]:
    """A copy of nested JSON in which one value is another, is gone, or is new; and which."""
    values = json.loads(json.dumps(values))
    places = list(_places(values))
    holder, key, path = draw.choice(places)
    way = draw.choice(("other", "other", "other", "gone", "new", "scaled"))
    if way == "gone":
        del holder[key]
    elif way == "new" and isinstance(holder, dict):
        holder[draw.choice(("", "a", "env", "policy", "__class__", "device"))] = draw.choice(ODD)
    elif way == "scaled" and type(holder[key]) in (int, float):
        holder[key] = holder[key] * draw.choice((-1, 0, 2, 1000, 10**6, 0.5))
    else:
        holder[key] = draw.choice(ODD)
    return (
        values,
        f"{way} {'/'.join(map(str, path))} = {str(holder.get(key) if isinstance(holder, dict) else '…')[:60]}",
    )


def _places(values: Any, path: tuple[Any, ...] = ()) -> Any:
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(pairs):
        yield values, key, (*path, key)
        yield from _places(value, (*path, key))
