"""Fills the page with a dream: its card as JSON, its tensors as base64 of half precision.

The page itself, `page.html`, is built from the sources in `web/` (`npm run build` there) and knows no dream.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.files import write_text
from nova_gym.version import __version__

#: Version of what a page holds; it is written and read by the same build.
FORMAT = 1
#: Bytes of a page at most. Larger ones take browsers long to open, and hardly travel by mail.
LARGEST = 24 * 2**20
#: Starts of each kind that a page holds of a dream, and of further levels.
STARTS = 64
#: Parts of a dream that a page makes use of, by what the names of their tensors begin with.
_PARTS = ("base", "basis", "forward_dynamics.", "bridge.", "heads.", "memory.", "control.", "doubt.", "detail.")
_MORE = ("chance.prior.", "chance.least", "looks")
#: What a page reads of a dream's card.
_CARD = ("env_id", "reward_discount", "dead_band", "random_rewards", "random_endings", "action_names")
#: Where the page is filled: the lines in `page.html`.
_CARD_LINE, _NUMBERS_LINE = (
    f'<script id="{name}" type="{kind}"></script>'
    for name, kind in (("card", "application/json"), ("numbers-of-the-dream", "text/plain"))
)


@dataclass(frozen=True)
class Level:
    """Where a dream of a page can begin: starts of one real environment.

    Attributes:
        name: shown in the menu.
        cells: (rows, cols) of its states.
        horizon: steps after which an episode is truncated, 0 for never.
        starts: (n, K + M, rows, cols) float32 by kind, as in `Dream`.
        past: by kind, what came before starts, for control models, which hear it: (n, T, K, rows, cols) states and
            (n, T, U, rows, cols) latent actions after these. May be empty.
    """

    name: str
    cells: tuple[int, int]
    horizon: int
    starts: dict[str, Tensor]
    past: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """An agent that can drive in a page (`nova_gym.agents.portable_policy` makes one).

    Attributes:
        card: JSON-ready: which features it reads, and its layers.
        tensors: by name.
    """

    card: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)


def level_of(dream: Dream) -> Level:
    """The level that a dream is at: its real environment's name, and its starts.

    Raises:
        BadInputError: the dream has no starts.
    """
    if not dream.starts:
        raise BadInputError("the dream has no starts in its file, and a page begins from these")
    name = dream.card.env_id or dream.default_starts
    kinds = sorted(dream.starts, key=lambda kind: kind != dream.default_starts)
    starts = {kind: dream.starts[kind][:STARTS] for kind in kinds}
    return Level(name, tuple(starts[kinds[0]].shape[2:]), dream.card.horizon, starts)


@torch.no_grad()
def clips_level(dream: Dream, frames: Tensor) -> Level:
    """The level whose starts are the ends of clips.

    Args:
        dream: of video.
        frames: (n, T + 1, C, H, W) uint8, at least one clip.

    Raises:
        BadInputError: the frames are not like those of the dream.
    """
    model = dream.world_model
    if not len(frames) or (frames.shape[2], *frames.shape[3:]) != (model.config.inr.channels, *dream.frame_size):
        raise BadInputError(f"clips are {tuple(frames.shape)}; the dream has frames of {dream.frame_size}")
    states = model.encode(frames.flatten(0, 1).float() / 255.0).unflatten(0, frames.shape[:2])
    moves = torch.stack([model.infer(*pair) for pair in pairwise(states.unbind(1))], 1)
    past = {"clips": (states[:, :-1], moves)}
    return Level("clips", dream.cells, dream.card.horizon, {"clips": model.begin(states[:, -1])}, past)


def write_page(
    path: str | Path,
    dream: Dream,
    levels: Sequence[Level],
    policy: Policy | None = None,
    name: str = "dream",
    overwrite: bool = False,
) -> int:
    """Writes a dream as one HTML file, atomically.

    Args:
        path: of the file.
        dream: whose model and card.
        levels: where it can begin, the first one at once; at least one.
        policy: an agent that can drive; None for none.
        name: of the dream, shown as the title.
        overwrite: whether an existing file is replaced.

    Returns:
        Bytes of the file.

    Raises:
        BadInputError: the file exists or cannot be written, its name is not that of a page, or the page would be too
            large.
    """
    check_page(path, overwrite)
    text = page_of(dream, levels, policy, name)
    if (size := len(text.encode())) > LARGEST:
        raise BadInputError(
            f"the dream is too large for one page: it would have {size / 2**20:.0f} MiB, and {LARGEST / 2**20:.0f} are "
            "the most that browsers open at ease"
        )
    write_text(path, text)
    return size


def check_page(path: str | Path, overwrite: bool = False) -> None:
    """Checks that a page can have a name: browsers tell by the end of it that a file is one.

    Raises:
        BadInputError: it does not end in .html or .htm, or there is such a file, which `overwrite` allows, or folder.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise BadInputError(f"{path} cannot be the name of a page: it ends in .html or .htm")
    if path.is_dir():
        raise BadInputError(f"{path} is a folder; a page is a file")
    if path.exists() and not overwrite:
        raise BadInputError(f"{path} exists; --overwrite replaces it")


def page_of(dream: Dream, levels: Sequence[Level], policy: Policy | None = None, name: str = "dream") -> str:
    """The text of the page; arguments as in `write_page`."""
    card, numbers = packed(dream, levels, policy, name)
    said = json.dumps(card, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    page = (resources.files("nova_gym.web") / "page.html").read_text(encoding="utf-8")
    for line, filled in ((_CARD_LINE, said), (_NUMBERS_LINE, numbers)):
        before, after = page.split(line)
        page = f"{before}{line.replace('></', f'>{filled}</')}{after}"
    return page


def packed(
    dream: Dream, levels: Sequence[Level], policy: Policy | None = None, name: str = "dream"
) -> tuple[dict[str, Any], str]:
    """What the page is filled with; arguments as in `write_page`.

    Returns:
        The card, JSON-ready, which says where each tensor is; and all tensors in one piece, in base64.
    """
    model = dream.world_model
    tensors = {key: t for key, t in model.state_dict().items() if key.startswith((*_PARTS, *_MORE))}
    told = []
    for number, level in enumerate(levels):
        starts = []
        for kind, states in level.starts.items():
            starts.append({"kind": kind, "name": (at := f"starts.{number}.{kind}")})
            tensors |= _cells_of(at, states)
            if kind in level.past:
                before, moves = (part.movedim(2, 4).half() for part in level.past[kind])  # near enough to be heard
                tensors |= {f"{at}.before": before, f"{at}.moves": moves}
        told.append({"name": level.name, "cells": list(level.cells), "horizon": level.horizon, "starts": starts})
    if policy is not None:
        tensors |= {f"policy.{key}": tensor for key, tensor in policy.tensors.items()}
    places, numbers = _in_one_piece(tensors)
    card = {
        "format": FORMAT,
        "made with": f"nova-gym {__version__}",
        "name": name,
        "config": model.config.to_dict(),
        "card": {key: getattr(dream.card, key) for key in _CARD},
        "levels": told,
        "policy": None if policy is None else policy.card,
        "tensors": places,
    }
    return card, base64.b64encode(numbers).decode()


def _cells_of(name: str, states: Tensor) -> dict[str, Tensor]:
    """States (n, K + M, rows, cols) as the different cells in them and where these are, if they are few enough."""
    cells = states.detach().cpu().movedim(1, 3).flatten(0, 2)
    few, index = cells.unique(dim=0, return_inverse=True)
    if len(few) > torch.iinfo(torch.int16).max or 2 * len(few) > len(cells):
        return {f"{name}.cells": cells}
    return {f"{name}.cells": few, f"{name}.index": index.to(torch.uint8 if len(few) <= 256 else torch.int16)}


def _in_one_piece(tensors: dict[str, Tensor]) -> tuple[dict[str, Any], bytes]:
    """Where each tensor is, and all of them in one piece; in half precision where that is without loss."""
    places, parts, offset = {}, [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.is_floating_point():
            half = tensor.half()
            tensor = half if torch.equal(half.float(), tensor.float()) else tensor.float()
        data = tensor.numpy().tobytes()
        places[name] = {
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "offset": offset,
        }
        parts.append(data + bytes(-len(data) % 4))
        offset += len(parts[-1])
    return places, b"".join(parts)
