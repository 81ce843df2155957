"""Latent actions that a person sets: in one cell, by numbers, by a code, or by putting the agent there.

Cells are (row, column), counted from 0 at the upper left. Shapes: U = `config.latent_action`, rows × cols cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel


def centre(cell: tuple[int, int], cells: tuple[int, int]) -> tuple[float, float]:
    """(y, x) in [-1, 1] of the centre of a cell, one of `cells` (rows, cols), as in `WorldModel.place`."""
    return (2 * cell[0] + 1) / cells[0] - 1.0, (2 * cell[1] + 1) / cells[1] - 1.0


def cell_at(y: float, x: float, cells: tuple[int, int]) -> tuple[int, int]:
    """The cell at (y, x) in [-1, 1], one of `cells` (rows, cols); the inverse of `centre`."""
    row, column = (min(int((at + 1.0) / 2.0 * count), count - 1) for at, count in zip((y, x), cells, strict=True))
    return row, column


def codes_by_motion(model: WorldModel) -> list[int]:
    """The codes of the codebook, empty without one: first 0, nothing moves, then those that stand for most motion.

    That is a code's squared length, as often as it was used in training.
    """
    if not model.has_codebook:
        return []
    book = model.part("codebook")
    motion = book.usage[1:] * book.codes[1:].square().sum(1)
    return [0, *(motion.argsort(descending=True, stable=True) + 1).tolist()]


def by_numbers(model: WorldModel, numbers: list[float], cells: tuple[int, int]) -> Tensor:
    """One cell moves, by the numbers that `WorldModel.place` takes: (1, U, rows, cols).

    Raises:
        BadInputError: there are more or fewer numbers than that.
    """
    if len(numbers) != (count := model.places + model.config.latent_action):
        raise BadInputError(f"a latent action of this dream takes {count} numbers, not {len(numbers)}")
    return model.place(torch.tensor([numbers], dtype=torch.float32).clamp(-1.0, 1.0), cells)


@torch.no_grad()
def by_code(model: WorldModel, state: Tensor, cell: tuple[int, int], code: int) -> Tensor:
    """One cell moves as a code says; the others stay, by inverse dynamics on an unchanged state.

    Args:
        model: with a codebook.
        state: (1, K, rows, cols), the present one.
        cell: (row, column).
        code: index of the code.

    Returns:
        (1, U, rows, cols).

    Raises:
        BadInputError: there is no such code or no such cell.
    """
    if not 0 <= code < model.config.codes:
        raise BadInputError(f"this dream has no code {code}: it has {model.config.codes}, counted from 0")
    row, column = _checked(cell, state)
    latent_action = model.infer(state, state).clone()
    latent_action[0, :, row, column] = model.decode(torch.tensor([[[code]]]))[0, :, 0, 0]
    return latent_action


@torch.no_grad()
def by_putting(model: WorldModel, state: Tensor, cell: tuple[int, int]) -> Tensor:
    """Motion retargeting: what the environment's first action moves, it moves in this cell.

    In MiniGrid the first action turns the agent. The cell of its latent action that moves most is the agent's.

    Args:
        model: with discrete actions, and more than one cell.
        state: (1, K, rows, cols), the present one.
        cell: (row, column).

    Returns:
        (1, U, rows, cols).

    Raises:
        BadInputError: the model has no discrete actions or just one cell, or there is no such cell.
    """
    if not model.has_discrete_actions:
        raise BadInputError("the agent can be put elsewhere only in a dream with discrete actions")
    if not model.places:
        raise BadInputError("the agent can be put elsewhere only in a dream of more than one cell")
    cells = tuple(state.shape[2:])
    moved = model.summarise(model.translate(state, torch.zeros(1, dtype=torch.int64)))
    moved[0, : model.places] = torch.tensor(centre(_checked(cell, state), cells))
    return model.place(moved, cells)


def _checked(cell: tuple[int, int], state: Tensor) -> tuple[int, int]:
    row, column = cell
    if not (0 <= row < state.shape[2] and 0 <= column < state.shape[3]):
        raise BadInputError(f"there is no cell ({row}, {column}): the frame has {state.shape[2]} × {state.shape[3]}")
    return row, column
