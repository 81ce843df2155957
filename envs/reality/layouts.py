"""A MiniGrid environment of random layouts, to record dreams from that are to know rules instead of layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Goal, Wall
from minigrid.minigrid_env import MiniGridEnv
from scipy.ndimage import label

#: What no layout of `LayoutsEnv` is, as recordings say it.
HELD_OUT = (
    "whole families of layouts: all with anything but walls and one goal, all rooms without inner walls, and all rooms "
    "that a straight wall crosses with at most two gaps; these are MiniGrid's Empty, SimpleCrossing and FourRooms, all "
    "its levels with doors, lava or things to carry, and more"
)
#: The smallest room, its outer walls included, and the fewest free cells: for agent, goal and a way between them.
_SMALLEST_ROOM, _FEWEST_FREE = 5, 4
#: The most gaps of a wall that counts as crossing its room.
_GAPS = 2
#: Share of rooms as wide, and as high, as the grid.
_WHOLE = 0.4


class LayoutsEnv(MiniGridEnv):
    """A room of random size anywhere in the grid, with random inner walls; the agent has to reach the goal.

    Each reset draws a new layout: single walls at a density of up to 0.4, lines of walls with gaps, boxes with doors
    without leaves, or several of these. Outside of the room is solid wall. The goal can always be reached.

    `is_family_held_out` is true of none of these layouts, but of every layout of MiniGrid's own levels.

    Actions, observations and rewards are MiniGrid's: `1 - 0.9 · step / max_steps` on the goal, otherwise 0.

    Args:
        size: rows and columns of the grid, at least 5.
        max_steps: of an episode; None for `4 · size²`, as in MiniGrid's crossings.
        kwargs: further arguments of `MiniGridEnv`.
    """

    def __init__(self, size: int = 9, max_steps: int | None = None, **kwargs: Any) -> None:
        if size < _SMALLEST_ROOM:
            raise ValueError(f"a grid needs at least {_SMALLEST_ROOM} rows and columns, not {size}")
        super().__init__(
            mission_space=MissionSpace(mission_func=self._gen_mission),
            grid_size=size,
            max_steps=4 * size**2 if max_steps is None else max_steps,
            **kwargs,
        )

    @staticmethod
    def _gen_mission() -> str:
        return "reach the goal"

    def _gen_grid(self, width: int, height: int) -> None:
        walls = random_walls(height, width, self.np_random)
        self.grid, wall = Grid(width, height), Wall()
        self.grid.grid = [wall if walled else None for walled in walls.ravel().tolist()]
        free = np.argwhere(~walls)
        goal, agent = free[self.np_random.choice(len(free), 2, replace=False)].tolist()
        self.put_obj(Goal(), goal[1], goal[0])
        self.agent_pos, self.agent_dir = (agent[1], agent[0]), int(self.np_random.integers(4))


def random_walls(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the walls of a layout that is not held out; all its free cells are connected.

    Args:
        height, width: of the grid in cells, its border included; at least 5.
        rng: of the layout.

    Returns:
        (height, width) bool, true where there is a wall.
    """
    while True:
        walls = np.ones((height, width), bool)
        sides = [_side(length, rng) for length in (height, width)]
        top, left = (int(rng.integers(length - side + 1)) for length, side in zip((height, width), sides, strict=True))
        inside = walls[top + 1 : top + sides[0] - 1, left + 1 : left + sides[1] - 1]
        inside[:] = False
        first = int(rng.integers(len(_FAMILIES)))
        _FAMILIES[first](inside, rng)
        if rng.random() < 0.3:
            _FAMILIES[int(rng.integers(len(_FAMILIES)))](inside, rng)
        _fill_pockets(walls)
        if (~walls).sum() >= _FEWEST_FREE and not are_walls_held_out(walls):
            return walls


def is_family_held_out(grid: Grid) -> bool:
    """Whether a grid belongs to a family of layouts that `LayoutsEnv` never draws.

    The room is the smallest rectangle around all cells without a wall. A layout is held out if

    - it holds anything but walls and one goal, such as lava or a door, or
    - its room has no inner wall, or
    - a row or column inside its room, not at its edge, is a wall with at most two gaps (one gap, where the room is less
      than five cells long).

    Gaps are cells without a wall. That covers every layout of MiniGrid's own levels.
    """
    things = [cell.type for cell in grid.grid if cell is not None and cell.type != "wall"]
    walls = np.array([cell is not None and cell.type == "wall" for cell in grid.grid]).reshape(grid.height, grid.width)
    return things not in ([], ["goal"]) or are_walls_held_out(walls)


def are_walls_held_out(walls: np.ndarray) -> bool:
    """The part of `is_family_held_out` that is about walls.

    Args:
        walls: (rows, columns) bool.
    """
    rows, columns = (np.flatnonzero(~walls.all(axis)) for axis in (1, 0))
    if not len(rows):
        return True
    room = walls[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return not room.any() or _is_crossed(room) or _is_crossed(room.T)


def _is_crossed(room: np.ndarray) -> bool:
    """Whether a row, neither the first nor the last, has at most `_GAPS` gaps, and fewer gaps than walls."""
    gaps = (~room[1:-1]).sum(1)
    return bool(((gaps <= _GAPS) & (2 * gaps < room.shape[1])).any())


def _side(length: int, rng: np.random.Generator) -> int:
    return length if rng.random() < _WHOLE else int(rng.integers(_SMALLEST_ROOM, length + 1))


def _scattered(inside: np.ndarray, rng: np.random.Generator) -> None:
    inside |= rng.random(inside.shape) < rng.uniform(0.0, 0.4)


def _lines(inside: np.ndarray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 5))):
        lines = inside if rng.random() < 0.5 else inside.T
        line = lines[int(rng.integers(len(lines)))]
        start, end = np.sort(rng.choice(len(line) + 1, 2, replace=False))
        line[start:end] = True
        line[rng.integers(len(line), size=int(rng.integers(4)))] = False


def _boxes(inside: np.ndarray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):
        (top, bottom), (left, right) = (np.sort(rng.choice(side + 2, 2, replace=False)) - 1 for side in inside.shape)
        box = [(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)]
        ring = [
            (row, column)
            for row, column in box
            if (row in (top, bottom) or column in (left, right))
            and 0 <= row < inside.shape[0]
            and 0 <= column < inside.shape[1]
        ]
        if not ring:
            continue
        doors = rng.integers(len(ring), size=int(rng.integers(1, 5)))
        for cell in ring:
            inside[cell] = True
        for door in doors:
            inside[ring[door]] = False


#: Kinds of inner walls; each adds to the walls of a room (rows, columns) without its outer ones.
_FAMILIES = (_scattered, _lines, _boxes)


def _fill_pockets(walls: np.ndarray) -> None:
    """Leaves the largest connected region of free cells and makes all others wall."""
    regions, count = label(~walls)
    if count > 1:
        largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
        walls |= regions != largest
