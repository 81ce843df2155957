"""MiniGrid's grid: poses, layouts and classes of transitions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import gymnasium as gym
import numpy as np
from minigrid.core.actions import Actions
from minigrid.core.constants import OBJECT_TO_IDX
from minigrid.core.grid import Grid
from minigrid.core.world_object import Box, Door, Key, WorldObj
from minigrid.minigrid_env import MiniGridEnv

from nova_gym.envs.reality.minigrid_copies import adds_rules, copied

Pose = tuple[int, int, int]

#: Classes of transitions, the same in recordings and in reports.
TRANSITION_CLASSES = (
    "turn",
    "free move",
    "through a door",
    "bump into outer wall",
    "bump into inner wall",
    "bump into a thing",
    "pickup",
    "pickup with full hands",
    "drop",
    "unlock door",
    "try a locked door",
    "open door",
    "close door",
    "open box",
    "into goal",
    "success",
    "death",
    "no-op",
)
#: How MiniGrid encodes an empty cell.
NOTHING = (OBJECT_TO_IDX["empty"], 0, 0)
#: Types of things that MiniGrid always draws in the same colour.
_OF_ONE_COLOUR = ("wall", "goal", "lava")


def draw(env: gym.Env, tile: int) -> np.ndarray:
    """What `env` looks like now, with tiles of `tile` pixels a side: (H, W, 3) uint8.

    It is what MiniGrid's `get_frame` draws. Without a highlighted field of view it is put together here, several times
    as fast, of MiniGrid's own tiles.
    """
    grid = env.unwrapped
    if grid.highlight or grid.agent_pov or not _draws_as_minigrid(type(grid), type(grid.grid)):
        return grid.get_frame(grid.highlight, tile, grid.agent_pov)
    kinds: dict[tuple | None, int] = {}
    things = []
    where = np.empty(len(grid.grid.grid), np.intp)
    for i, cell in enumerate(grid.grid.grid):
        kind = None if cell is None else cell.encode()
        if kind not in kinds:
            kinds[kind] = len(things)
            things.append(cell)
        where[i] = kinds[kind]
    x, y = grid.agent_pos
    where = where.reshape(grid.height, grid.width)
    tiles = [Grid.render_tile(thing, tile_size=tile) for thing in things]
    tiles.append(Grid.render_tile(grid.grid.get(x, y), grid.agent_dir, tile_size=tile))
    where[y, x] = len(things)
    picture = np.asarray(tiles).astype(np.uint8)[where]  # as `get_full_render` casts them
    return picture.swapaxes(1, 2).reshape(grid.height * tile, grid.width * tile, 3)


@cache
def _draws_as_minigrid(env: type, grid: type) -> bool:
    """Whether these subclasses of `MiniGridEnv` and `Grid` leave all drawing to them."""
    names = ("render", "get_frame", "get_full_render")
    return all(getattr(env, name) is getattr(MiniGridEnv, name) for name in names) and grid.render is Grid.render


def transition_class(env: gym.Env, action: int) -> str:
    """The class of the transition that `action` is about to make, one of `TRANSITION_CLASSES`.

    "success" is an end that pays, other than on a goal: the right box in the agent's hands, say. "death" is any other
    end. A level with rules of its own is asked by a copy.
    """
    kind = usual_class(env, action)
    if not adds_rules(env):
        return kind
    twin = copied(env)
    _, reward, terminated, _, _ = twin.step(action)
    if terminated and kind != "into goal":
        return "success" if reward > 0 else "death"
    if kind == "pickup" and twin.carrying is None:  # a level may take an action for another
        return "no-op"
    return "free move" if kind == "death" else kind


def usual_class(env: gym.Env, action: int) -> str:
    """The class of the transition by MiniGrid's own rules, whatever a level adds to them."""
    grid = env.unwrapped
    if action in (Actions.left, Actions.right):
        return "turn"
    x, y = grid.front_pos
    cell = grid.grid.get(x, y)
    if action == Actions.forward:
        return _forward_class(grid, cell, x, y)
    if action == Actions.pickup and cell is not None and cell.can_pickup():
        return "pickup" if grid.carrying is None else "pickup with full hands"
    if action == Actions.drop and cell is None and grid.carrying is not None:
        return "drop"
    if action == Actions.toggle and isinstance(cell, Door):
        return _door_class(grid, cell)
    if action == Actions.toggle and isinstance(cell, Box):
        return "open box"
    return "no-op"


def _forward_class(grid: MiniGridEnv, cell: WorldObj | None, x: int, y: int) -> str:
    if cell is None or cell.type == "floor":
        return "free move"
    if cell.type == "wall":
        outer = x in (0, grid.width - 1) or y in (0, grid.height - 1)
        return "bump into outer wall" if outer else "bump into inner wall"
    known = {"goal": "into goal", "lava": "death"}
    if cell.type in known:
        return known[cell.type]
    if not cell.can_overlap():
        return "bump into a thing"
    return "through a door" if isinstance(cell, Door) else "free move"


def _door_class(grid: MiniGridEnv, door: Door) -> str:
    if door.is_locked:
        fits = isinstance(grid.carrying, Key) and grid.carrying.color == door.color
        return "unlock door" if fits else "try a locked door"
    return "close door" if door.is_open else "open door"


def ends(env: gym.Env, action: int) -> bool:
    """Whether the step that `action` would make ends the episode; a level with rules of its own is asked by a copy."""
    if adds_rules(env):
        return bool(copied(env).step(action)[2])
    return usual_class(env, action) in ("into goal", "death")


def layout(env: gym.Env) -> bytes:
    """What an episode cannot change: walls, lava, goals, and doors without their state.

    Neither the agent belongs to it, nor what can be carried, nor obstacles that move.
    """
    grid = env.unwrapped.grid
    code = grid.encode()
    for i, cell in enumerate(grid.grid):
        if cell is not None and (cell.can_pickup() or isinstance(cell, Door)):
            x, y = i % grid.width, i // grid.width
            code[x, y] = (*cell.encode()[:2], 0) if isinstance(cell, Door) else NOTHING
    return code.tobytes()


def things(env: gym.Env) -> frozenset[str]:
    """The kinds of things on the grid, such as "wall", "red key" or "open blue door", and "agent".

    What the agent carries is in no frame; it is called "carried red key", say.
    """
    objects = {(cell.type, *cell.encode()[1:]): cell for cell in env.unwrapped.grid.grid if cell is not None}
    carried = env.unwrapped.carrying
    hidden = set() if carried is None else {f"carried {_name(carried)}"}
    return frozenset({_name(cell) for cell in objects.values()} | hidden | {"agent"})


def free_cells(env: gym.Env) -> list[tuple[int, int]]:
    """All empty cells (x, y) that nothing but walls could keep from the agent; not those outside of all rooms."""
    grid = env.unwrapped.grid
    x, y = (int(v) for v in env.unwrapped.agent_pos)
    inside, edge = {y * grid.width + x}, [y * grid.width + x]
    while edge:
        cell = edge.pop()
        for after in (cell + 1, cell - 1, cell + grid.width, cell - grid.width):
            if 0 <= after < len(grid.grid) and after not in inside:
                thing = grid.grid[after]
                if thing is None or thing.type != "wall":
                    inside.add(after)
                    edge.append(after)
    return sorted((cell % grid.width, cell // grid.width) for cell in inside if grid.grid[cell] is None)


def place_agent(env: gym.Env, cell: tuple[int, int], direction: int) -> None:
    """Puts the agent on `cell`, facing `direction` (0 right, 1 down, 2 left, 3 up)."""
    env.unwrapped.agent_pos = cell
    env.unwrapped.agent_dir = direction


def goal_position(env: gym.Env) -> tuple[int, int] | None:
    """The cell (x, y) of the first goal; None without a goal."""
    grid = env.unwrapped
    for x in range(grid.width):
        for y in range(grid.height):
            cell = grid.grid.get(x, y)
            if cell is not None and cell.type == "goal":
                return x, y
    return None


def poses_with(env: gym.Env, kinds: tuple[str, ...], actions: Iterable[int]) -> list[tuple[tuple[int, int], int, int]]:
    """All (cell, direction, action), the cell empty, where that action is of one of these usual classes."""
    grid, actions = env.unwrapped, list(actions)
    before = grid.agent_pos, grid.agent_dir
    poses = []
    for cell in free_cells(env):
        for direction in range(4):
            place_agent(env, cell, direction)
            poses += [(cell, direction, action) for action in actions if usual_class(env, action) in kinds]
    place_agent(env, *before)
    return poses


def pose(env: gym.Env) -> Pose:
    """Where the agent is: x, y and direction."""
    grid = env.unwrapped
    return int(grid.agent_pos[0]), int(grid.agent_pos[1]), int(grid.agent_dir)


def _name(thing: WorldObj) -> str:
    if isinstance(thing, Door):
        state = "open" if thing.is_open else "locked" if thing.is_locked else "closed"
        return f"{state} {thing.color} door"
    return thing.type if thing.type in _OF_ONE_COLOUR else f"{thing.color} {thing.type}"
