"""The bars of the player: a latent action as a handful of numbers that a person can drag."""

from __future__ import annotations

import numpy as np

from nova_gym.envs.play.by_hand import cell_at, centre
from nova_gym.envs.play.session import PlaySession

#: Most bars that are shown. Where a latent action has more numbers, the first are shown, which vary most.
MOST = 12


class Bars:
    """The numbers on the bars, and the cell that they are about.

    They are those of `WorldModel.summarise`: where a cell moves (y, x), and how. That cell is the one that a person
    chose, or else the one that moved most in the last step.

    Args:
        session: whose latent actions they are.

    Attributes:
        chosen: (row, column) of the cell that was chosen; None if none was.
    """

    def __init__(self, session: PlaySession) -> None:
        self.session = session
        self.chosen: tuple[int, int] | None = None
        self._dragged: tuple[int, list[float]] | None = None  # the bar, and all numbers if it were let go

    @property
    def dragging(self) -> bool:
        """Whether a bar is held."""
        return self._dragged is not None

    @property
    def values(self) -> list[float]:
        """The numbers that are shown, in [-1, 1]."""
        return (self._dragged[1] if self._dragged else self._present())[:MOST]

    @property
    def names(self) -> list[str]:
        """What each number is called: y and x say where, 1, 2 … are the latent action there."""
        model = self.session.dream.world_model
        names = ["y", "x"][: model.places] + [str(i + 1) for i in range(model.config.latent_action)]
        return names[:MOST]

    @property
    def cell(self) -> tuple[int, int] | None:
        """(row, column) of the cell to frame: where a dragged latent action would happen, or the chosen one."""
        if self._dragged and (places := self.session.dream.world_model.places):
            return cell_at(*self._dragged[1][:places], self.session.dream.cells)
        return self.chosen

    def choose(self, cell: tuple[int, int]) -> None:
        """Chooses a cell (row, column), or none if it was the chosen one."""
        self.chosen = None if self.chosen == cell else cell

    def hold(self, bar: int) -> None:
        """Takes hold of a bar, counted from 0."""
        self._dragged = bar, self._present()

    def drag(self, value: float) -> str:
        """Sets the bar that is held; a value beyond [-1, 1] is cut to it.

        Returns:
            What to tell the person.
        """
        bar, values = self._dragged
        values[bar] = float(np.clip(value, -1.0, 1.0))
        name = self.names[bar]
        if name in ("y", "x"):
            axis = "yx".index(name)
            said = f"{('row', 'column')[axis]} {self.cell[axis]} of {self.session.dream.cells[axis]}, from 0 on"
        else:
            said = f"latent action {name}: {values[bar]:+.2f}"
        return f"{said}; letting go makes a step"

    def let_go(self) -> list[float]:
        """Lets the bar go.

        Returns:
            The numbers of the latent action that was set, as for `WorldModel.place`.
        """
        (_, values), self._dragged = self._dragged, None
        if self.chosen and self.session.dream.world_model.places:
            self.chosen = cell_at(*values[:2], self.session.dream.cells)
        return values

    def _present(self) -> list[float]:
        """All numbers of the present moment."""
        model, now = self.session.dream.world_model, self.session.now
        if self.chosen and model.places:
            row, column = self.chosen
            there = now.latent_action[0, :, row, column].clamp(-1.0, 1.0)
            return [*centre(self.chosen, self.session.dream.cells), *there.tolist()]
        if not now.latent_action.any():
            return [0.0] * (model.places + model.config.latent_action)
        return model.summarise(now.latent_action)[0].clamp(-1.0, 1.0).tolist()
