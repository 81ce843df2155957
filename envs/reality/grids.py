"""MiniGrid's grid: poses, layouts, classes of transitions and the shortest way to the goal."""

from __future__ import annotations

from collections import deque
from functools import cache

import gymnasium as gym
import numpy as np
from minigrid.core.actions import Actions
from minigrid.core.constants import DIR_TO_VEC
from minigrid.core.grid import Grid
from minigrid.core.world_object import Door, Goal, WorldObj
from minigrid.minigrid_env import MiniGridEnv

Pose = tuple[int, int, int]

#: Classes of transitions, the same in recordings and in reports.
TRANSITION_CLASSES = (
    "turn",
    "free move",
    "bump into outer wall",
    "bump into inner wall",
    "into goal",
    "no-op",
    "other",
)
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
    """The class of the transition that `action` is about to make, one of `TRANSITION_CLASSES`."""
    grid = env.unwrapped
    if action in (Actions.left, Actions.right):
        return "turn"
    if action != Actions.forward:
        return "no-op"
    x, y = grid.front_pos
    cell = grid.grid.get(x, y)
    if cell is None:
        return "free move"
    if cell.type == "goal":
        return "into goal"
    if cell.type == "wall":
        outer = x in (0, grid.width - 1) or y in (0, grid.height - 1)
        return "bump into outer wall" if outer else "bump into inner wall"
    return "other"


def steps_onto_an_end(env: gym.Env, action: int) -> bool:
    """Whether `action` is a step onto a goal or into lava."""
    grid = env.unwrapped
    if action != Actions.forward:
        return False
    cell = grid.grid.get(*grid.front_pos)
    return cell is not None and cell.type in ("goal", "lava")


def things(env: gym.Env) -> frozenset[str]:
    """The kinds of things on the grid, such as "wall", "red key" or "open blue door", and "agent"."""
    objects = {(cell.type, *cell.encode()[1:]): cell for cell in env.unwrapped.grid.grid if cell is not None}
    return frozenset({_name(cell) for cell in objects.values()} | {"agent"})


def free_cells(env: gym.Env) -> list[tuple[int, int]]:
    """All empty cells (x, y)."""
    grid = env.unwrapped
    return [(x, y) for x in range(grid.width) for y in range(grid.height) if grid.grid.get(x, y) is None]


def scatter(env: gym.Env, rng: np.random.Generator) -> None:
    """Moves the goal, if there is one, and the agent to random empty cells; the agent's direction is random too."""
    grid = env.unwrapped
    goal = goal_position(env)
    if goal is not None:
        grid.grid.set(*goal, None)
        grid.put_obj(Goal(), *_pick(free_cells(env), rng))
    place_agent(env, _pick(free_cells(env), rng), int(rng.integers(4)))


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


def poses_facing(env: gym.Env, kind: str) -> list[tuple[tuple[int, int], int]]:
    """All poses (cell, direction) from which a step forward is of transition class `kind`."""
    before = env.unwrapped.agent_pos, env.unwrapped.agent_dir
    poses = []
    for cell in free_cells(env):
        for direction in range(4):
            place_agent(env, cell, direction)
            if transition_class(env, Actions.forward) == kind:
                poses.append((cell, direction))
    place_agent(env, *before)
    return poses


def distances_to_goal(env: gym.Env) -> dict[tuple[int, int, int], int]:
    """Steps to the goal from each pose (x, y, direction) that can reach it, by breadth-first search."""
    goal = goal_position(env)
    if goal is None:
        return {}
    free = set(free_cells(env))
    distances = {(*goal, direction): 0 for direction in range(4)}
    queue = deque(distances)
    while queue:
        x, y, direction = queue.popleft()
        dx, dy = DIR_TO_VEC[direction]
        before = [(x - dx, y - dy, direction)]
        if (x, y) != goal:
            before += [(x, y, (direction + turn) % 4) for turn in (1, 3)]
        for pose in before:
            if pose not in distances and pose[:2] in free:
                distances[pose] = distances[x, y, direction] + 1
                queue.append(pose)
    return distances


def action_to_goal(env: gym.Env, distances: dict[tuple[int, int, int], int]) -> int:
    """The next action on a shortest way to the goal; forward if the goal cannot be reached."""
    grid = env.unwrapped
    x, y = (int(v) for v in grid.agent_pos)
    direction = grid.agent_dir
    dx, dy = DIR_TO_VEC[direction]
    after = {
        Actions.forward: (x + dx, y + dy, direction),
        Actions.left: (x, y, (direction - 1) % 4),
        Actions.right: (x, y, (direction + 1) % 4),
    }
    return int(min(after, key=lambda action: distances.get(after[action], np.inf)))


def pose(env: gym.Env) -> Pose:
    """Where the agent is: x, y and direction."""
    grid = env.unwrapped
    return int(grid.agent_pos[0]), int(grid.agent_pos[1]), int(grid.agent_dir)


def _name(thing: WorldObj) -> str:
    if isinstance(thing, Door):
        state = "open" if thing.is_open else "locked" if thing.is_locked else "closed"
        return f"{state} {thing.color} door"
    return thing.type if thing.type in _OF_ONE_COLOUR else f"{thing.color} {thing.type}"


def _pick(items: list, rng: np.random.Generator):
    return items[int(rng.integers(len(items)))]
