"""What a dream has never seen, named before it is stepped: things by their names, and cells that it cannot draw."""

from __future__ import annotations

from collections.abc import Set
from contextlib import closing

import numpy as np
import torch

from nova_gym.dream import Dream
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality.counterpart import reality_of, restart

#: A cell is foreign where the dream draws it with so many times the error of the recording's worst ones
#: (`Card.drawn_within`).
FOREIGN = 4.0
#: Fresh resets of a real environment that are looked at, and places that a warning lists at most.
LOOKS, LISTED = 16, 6


def unknown_things(dream: Dream, shown: Set[str]) -> list[str]:
    """Names of things that the dream's recording did not show; none where it does not say what it showed."""
    known = dream.card.data.get("things")
    return sorted(shown - set(known)) if known else []


@torch.no_grad()
def foreign_cells(dream: Dream, frames: np.ndarray) -> np.ndarray:
    """Which cells of real frames the dream cannot draw: nothing like them was in its recording.

    Args:
        dream: its card says how well it draws the recording's own cells.
        frames: (N, H, W, C) uint8 or floating point in [0, 1], which divide into cells.

    Returns:
        (N, rows, cols) bool; False everywhere where the card says nothing.
    """
    config = dream.world_model.config
    states = encode_frames(dream, frames)
    drawn = dream.world_model.render(states).permute(0, 2, 3, 1).cpu().numpy()
    truth = frames.astype(np.float32) / 255.0 if frames.dtype == np.uint8 else frames
    error = np.square(drawn - truth).mean(-1)
    (rows, cols), (height, width) = states.shape[2:], config.cell
    errors = error.reshape(len(error), rows, height, cols, width).mean((2, 4))
    if not dream.card.drawn_within:
        return np.zeros_like(errors, dtype=bool)
    return errors > FOREIGN * dream.card.drawn_within


def what_is_unseen(dream: Dream, seed: int = 0) -> str:
    """Looks for what the dream has never seen in fresh resets of its real environment.

    Args:
        dream: with a real counterpart.
        seed: of the resets, official and (where there are such) random ones.

    Returns:
        A sentence, "" if there is nothing.
    """
    reality, rng = reality_of(dream), np.random.default_rng([seed, 0x100C])
    frames, shown = [], set()
    with closing(reality.make()) as env:
        for look in range(LOOKS):
            restart(reality, env, "random" if look % 2 else "official", rng)
            frames.append(reality.frame(env))
            shown |= reality.things(env)
    return said(dream, foreign_cells(dream, np.stack(frames)), unknown_things(dream, shown), dream.card.env_id)


def said(dream: Dream, foreign: np.ndarray, things: list[str], where: str) -> str:
    """A warning about foreign cells and things, "" where there are none.

    Args:
        dream: for its recording's name.
        foreign: (N, rows, cols) bool, of N frames.
        things: names.
        where: what shows them.
    """
    if not things and not foreign.any():
        return ""
    parts = [f"{where} shows what this dream has never seen"]
    if things:
        parts[0] += f": {', '.join(things)}"
    if foreign.any():
        worst = foreign[foreign.sum((1, 2)).argmax()]
        places = [f"({row}, {col})" for row, col in np.argwhere(worst).tolist()]
        more = ", …" if len(places) > LISTED else ""
        parts.append(
            f"it cannot draw {len(places)} of {worst.size} cells, (row, column) {', '.join(places[:LISTED])}{more}"
        )
    return "; ".join(parts) + ". What it dreams of them is made up."
