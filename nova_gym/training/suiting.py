"""The preset that suits a recording: cells or one network, memory, chance."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nova_gym.data import Clips
from nova_gym.data.ambiguity import ambiguity_of, frames_decide
from nova_gym.training.layout import moves_gradually, surprises_in_cells
from nova_gym.training.presets import PRESETS, Preset

#: Numbers of memory in a cell, and outcomes of chance, by the kind of field: of cells, or of one.
MEMORY, OUTCOMES = {False: 32, True: 64}, {False: 8, True: 32}
#: A share of surprises below this is taken for accidents of the recording's own kind, such as frames that are equal
#: because something far away is hidden for a moment.
FEW = 1e-3
#: Share of what a frame and an action leave open from which on a past that explains it is worth a memory.
EXPLAINED = 0.05
_NO_CHANCE = "chance: none seen"


@dataclass(frozen=True)
class Suiting:
    """A preset with the sizes that a recording asks for, and why.

    Attributes:
        preset: its model has memory and chance where the recording shows that a step depends on them.
        lines: what was measured, a sentence each.
    """

    preset: Preset
    lines: list[str]


def suiting_preset(
    clips: Clips, name: str | None = None, memory: int | None = None, outcomes: int | None = None
) -> Suiting:
    """The preset that suits a recording.

    A field of cells suits frames that change cell by cell, and one network frames in which things move gradually.
    Memory is needed where the past explains why the same frame and action lead to different frames, or where things
    move gradually, since one frame does not show velocity. Chance is left where the past does not explain all of that.
    The bridge looks far where a neighbourhood of cells does not say what becomes of a cell.

    Args:
        clips: the recording.
        name: of a preset to take instead of the one that suits.
        memory, outcomes: sizes to take instead, 0 for none; None for what was measured.
    """
    gradual = clips.labelled and moves_gradually(clips, PRESETS["cpu"].model.cell)
    chosen = PRESETS[name or ("single" if gradual else "cpu")]
    if not clips.labelled:
        return Suiting(chosen, [])
    repeats, whole = ambiguity_of(clips), chosen.whole
    lines = [f"field: {'one network for the whole frame' if whole else 'cells'}"]
    near, open_in = (None, None) if whole else surprises_in_cells(clips, chosen.model.cell)
    if near is not None and near <= FEW:
        hidden = left = far = False
        lines += ["memory: none needed, the same neighbourhood and action always lead to the same cell", _NO_CHANCE]
    elif repeats.enough and repeats.surprising[1] <= FEW:
        hidden, left, far = False, False, True
        lines += repeats.lines()
    elif repeats.enough and (repeats.past > 1 or not whole):
        hidden = repeats.past == 1 or repeats.explained > EXPLAINED
        left, far = repeats.past == 1 or repeats.remains > FEW, True
        lines += repeats.lines()
    elif not whole and frames_decide(clips, open_in):
        hidden, left, far = False, False, True
        lines += ["memory: none needed, the whole frame decides what a neighbourhood leaves open", _NO_CHANCE]
    elif whole:
        hidden, left, far = True, False, False
        lines += [
            "memory: things move gradually, and one frame does not show velocity",
            "chance: frames with the same past hardly repeat, so none is assumed",
        ]
    else:
        hidden = left = far = True
        lines += [
            f"memory: the same neighbourhood and action lead to another cell than usual in {near:.1%} of the repeats",
            "chance: what the past does not explain of that is drawn",
        ]
    memory = memory if memory is not None else MEMORY[chosen.whole] * hidden
    outcomes = outcomes if outcomes is not None else OUTCOMES[chosen.whole] * left
    model = replace(chosen.model, memory=memory, outcomes=outcomes, far=far and not whole)
    return Suiting(replace(chosen, model=model), lines)
