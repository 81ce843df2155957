"""What a dream has never seen, named before it is stepped: things by their names, and cells that it cannot draw."""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.frames import drawing_errors, first_states
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


def cannot_draw(dream: Dream, states: Tensor, errors: Tensor) -> tuple[np.ndarray, float | None]:
    """Which cells of frames the dream cannot draw: nothing like them was in its recording.

    A dream that doubts says so where it is more likely wrong than right. Of others the card says how well they draw
    their recording's own cells.

    Args:
        dream: that would begin from the frames.
        states: (N, K + M, rows, cols), the frames encoded.
        errors: (N, rows, cols), of `drawing_errors`.

    Returns:
        (N, rows, cols) bool; the largest doubt of a frame, None where the dream cannot doubt.
    """
    if dream.world_model.has_doubt:
        belief = dream.world_model.doubt.begin(states, errors)
        return (belief.doubt_map > 0.5).cpu().numpy(), float(belief.doubt.max())
    within = dream.card.drawn_within
    return (errors > (FOREIGN * within if within else torch.inf)).cpu().numpy(), None


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
    states = first_states(dream, np.stack(frames))
    found = cannot_draw(dream, states, drawing_errors(dream, states, np.stack(frames)))
    return said(dream, *found, dream.card.env_id, unknown_things(dream, shown))


def said(dream: Dream, foreign: np.ndarray, doubt: float | None, where: str, things: Sequence[str] = ()) -> str:
    """A warning about foreign cells and things, "" where there are none.

    Args:
        dream: for its recording's name.
        foreign: (N, rows, cols) bool, of N frames.
        doubt: of the frame that is doubted most; None where it is not known.
        where: what shows them.
        things: names of things that the recording did not show.
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
            + ("" if doubt is None else f" (doubt {doubt:.2f})")
        )
    return "; ".join(parts) + ". What it dreams of them is made up."
