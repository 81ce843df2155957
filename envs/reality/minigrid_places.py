"""Starts on MiniGrid: agent and goal elsewhere, or the agent where one kind of transition is about to happen."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from minigrid.core.actions import Actions
from minigrid.core.constants import DIR_TO_VEC
from minigrid.core.world_object import Door, Goal, WorldObj

from nova_gym.envs.reality import grids
from nova_gym.envs.reality.minigrid_copies import adds_rules, can_be_copied, copied

#: Draws of a start in which the reward can be reached, and poses that are tried for a kind of transition.
_DRAWS, _TRIES = 40, 60
#: Where a locked door could be between agent and goal, the share of starts in which it is not.
_SAME_SIDE = 0.25
_FORWARD, _PICKUP, _DROP, _TOGGLE = (int(a) for a in (Actions.forward, Actions.pickup, Actions.drop, Actions.toggle))
_BUMPS = ("bump into a thing", "bump into inner wall", "bump into outer wall")
#: Kinds of transitions that a step of a usual class can be: an end is one by the rules of the level.
_USUAL = {"death": ("death", *_BUMPS), "success": ("pickup", "open door", "open box", "no-op")}
#: The actions that can make a transition of a class; of all others it is the step forward.
_ACTIONS = {
    "pickup": (_PICKUP,),
    "open door": (_TOGGLE,),
    "try a locked door": (_TOGGLE,),
    "close door": (_TOGGLE,),
    "open box": (_TOGGLE,),
    "success": (_PICKUP, _TOGGLE, int(Actions.done)),
}
#: Whether a door has to be open for a class of transitions.
_DOORS = {"open door": False, "close door": True, "through a door": True}


def scatter(env: gym.Env, rng: np.random.Generator) -> None:
    """Moves the goal, if there is one, and the agent to random empty cells; the agent's direction is random too.

    Both are drawn again where the reward is out of reach, and mostly where a locked door is not on the way to it.
    """
    grid = env.unwrapped
    for _ in range(_DRAWS):
        goal = grids.goal_position(env)
        if goal is not None:
            grid.grid.set(*goal, None)
            grid.put_obj(Goal(), *_pick(grids.free_cells(env), rng))
        grids.place_agent(env, _pick(grids.free_cells(env), rng), int(rng.integers(4)))
        if _suits(env, rng):
            return


def _suits(env: gym.Env, rng: np.random.Generator) -> bool:
    cells = env.unwrapped.grid.grid
    wanted = getattr(env.unwrapped, "obj", None)  # what levels of rooms ask for
    targets = {i for i, cell in enumerate(cells) if cell is not None and (cell.type == "goal" or cell is wanted)}
    locked = {i for i, cell in enumerate(cells) if isinstance(cell, Door) and cell.is_locked}
    targets = targets or locked
    if not targets:
        return True
    if not targets & _reach(env, unlocking=True):
        return False
    return not locked or not targets & _reach(env, unlocking=False) or rng.random() < _SAME_SIDE


def _reach(env: gym.Env, unlocking: bool) -> set[int]:
    """The cells that the agent can come to or touch, if what can be carried is no obstacle."""
    grid = env.unwrapped.grid
    x, y = (int(v) for v in env.unwrapped.agent_pos)
    reached, edge, locked, keys = {y * grid.width + x}, [y * grid.width + x], [], set()
    while edge:
        cell = edge.pop()
        for step in (1, -1, grid.width, -grid.width):
            after = cell + step
            if not 0 <= after < len(grid.grid) or after in reached:
                continue
            thing = grid.grid[after]
            if isinstance(thing, Door) and thing.is_locked and thing.color not in keys:
                locked += [(after, thing.color)]
                continue
            if thing is None or thing.can_pickup() or thing.can_overlap() or isinstance(thing, Door):
                reached.add(after)
                if thing is None or thing.type not in ("goal", "lava"):  # these are where a way ends
                    edge.append(after)
                if unlocking:
                    keys |= _keys(thing)
        if not edge:
            opened = {door for door, colour in locked if colour in keys} - reached
            reached |= opened
            edge += opened
    return reached


def _keys(thing: WorldObj | None) -> set[str]:
    """Colours of a key, or of the keys that a box holds."""
    return set() if thing is None else {thing.color} if thing.type == "key" else _keys(thing.contains)


def arrange(env: gym.Env, kind: str, rng: np.random.Generator) -> list[int] | None:
    """Puts the agent where actions lead to a transition of this class; changes doors and moves keys where it must.

    What the agent carries is in no frame. So nothing is put into its hands: it picks it up by the first of the actions.

    Returns:
        The actions, of which the last makes that transition; None where the present layout has no such place.
    """
    if kind == "turn":
        return [int(rng.choice([Actions.left, Actions.right]))]
    if kind == "no-op":
        idle = [a for a in range(_PICKUP, int(env.action_space.n)) if grids.transition_class(env, a) == kind]
        return [idle[int(rng.integers(len(idle)))]] if idle else None
    if kind in _DOORS:
        doors = [cell for cell in env.unwrapped.grid.grid if isinstance(cell, Door)]
        if not doors:
            return None
        door = _pick(doors, rng)
        door.is_open, door.is_locked = _DOORS[kind], False
    if kind in ("death", "success") and not adds_rules(env):
        return _facing(env, kind, (kind,), rng)
    if kind == "unlock door":
        return _unlocking(env, kind, rng)
    if kind == "drop":
        return _dropping(env, rng)
    if kind == "pickup with full hands":
        return _with_full_hands(env, kind, rng)
    found = _facing(env, kind, _USUAL.get(kind, (kind,)), rng)
    return _unlocking(env, kind, rng) if found is None and kind == "success" else found


def _facing(env: gym.Env, kind: str, usual: tuple[str, ...], rng: np.random.Generator) -> list[int] | None:
    """Puts the agent in front of what one action makes a transition of class `kind` of."""
    actions = [a for a in _ACTIONS.get(kind, (_FORWARD,)) if a < env.action_space.n]
    poses = grids.poses_with(env, usual, actions)
    if kind == "success":
        poses = [pose for pose in poses if _in_front(env, pose[:2]) is not None]
    if kind == "death" and rng.random() < 0.5:  # things are few, walls are many
        poses = [pose for pose in poses if _in_front(env, pose[:2]).type != "wall"] or poses
    for _ in range(min(_TRIES, len(poses))):
        cell, direction, action = poses.pop(int(rng.integers(len(poses))))
        grids.place_agent(env, cell, direction)
        if grids.transition_class(env, action) == kind:
            return [action]
    return None


def _in_front(env: gym.Env, pose: tuple[tuple[int, int], int]) -> WorldObj | None:
    return env.unwrapped.grid.get(*_next(*pose))


def _dropping(env: gym.Env, rng: np.random.Generator) -> list[int] | None:
    """In front of a thing, which is picked up and put down where the agent then turns to."""
    if int(env.action_space.n) <= _DROP or _facing(env, "pickup", ("pickup",), rng) is None:
        return None
    turns = int(rng.integers(4))
    actions = [_PICKUP, *[int(Actions.right)] * turns, _DROP]
    while not _ends_in(env, actions, "drop"):  # without turns it is put back
        if len(actions) == 2:
            return None
        del actions[1]
    return actions


def _with_full_hands(env: gym.Env, kind: str, rng: np.random.Generator) -> list[int] | None:
    """Beside two things of different kinds, in different directions: one is picked up, the other is tried then."""
    grid, free = env.unwrapped.grid, set(grids.free_cells(env))
    things = [(i % grid.width, i // grid.width) for i, cell in enumerate(grid.grid) if cell and cell.can_pickup()]
    first = _pick(things, rng) if things else None
    others = [place for place in things if grid.get(*place).encode() != grid.get(*first).encode()]
    beside = [(cell, direction) for cell in free for direction in range(4) if _next(cell, direction) in free]
    cells = [cell for cell, _ in beside if sum(other == cell for other, _ in beside) > 1]
    if not others or not cells or int(env.action_space.n) <= _PICKUP:
        return None
    stand = _pick(sorted(cells), rng)
    ways = [direction for cell, direction in beside if cell == stand]
    ahead, aside = (ways[i] for i in rng.permutation(len(ways))[:2])
    for place, direction in ((first, ahead), (_pick(others, rng), aside)):
        thing = grid.get(*place)
        grid.set(*place, None)
        env.unwrapped.put_obj(thing, *_next(stand, direction))
    grids.place_agent(env, stand, ahead)
    actions = [_PICKUP, *_turns(ahead, aside), _PICKUP]
    return actions if _ends_in(env, actions, kind) else None


def _turns(before: int, after: int) -> list[int]:
    """The actions that turn the agent from one direction to another."""
    return {0: [], 1: [int(Actions.right)], 2: [int(Actions.right)] * 2, 3: [int(Actions.left)]}[(after - before) % 4]


def _unlocking(env: gym.Env, kind: str, rng: np.random.Generator) -> list[int] | None:
    """Next to a locked door, with its key in another direction: picked up, carried round and used."""
    grid, free = env.unwrapped.grid, set(grids.free_cells(env))
    cells = {(i % grid.width, i // grid.width): cell for i, cell in enumerate(grid.grid) if cell is not None}
    keys = {cell.color: place for place, cell in cells.items() if cell.type == "key"}
    ways = [
        (place, cells[place].color, side, toward, away)
        for place, side, toward in _beside_doors(cells)
        if side in free and cells[place].is_locked and cells[place].color in keys
        for away in range(4)
        if away != toward and _next(side, away) in {*free, keys[cells[place].color]}
    ]
    if not ways or int(env.action_space.n) <= _TOGGLE:
        return None
    _, colour, side, toward, away = _pick(ways, rng)
    key = grid.get(*keys[colour])
    grid.set(*keys[colour], None)
    env.unwrapped.put_obj(key, *_next(side, away))
    grids.place_agent(env, side, away)
    actions = [_PICKUP, *_turns(away, toward), _TOGGLE]
    return actions if _ends_in(env, actions, kind) else None


def _beside_doors(cells: dict[tuple[int, int], WorldObj]) -> list[tuple[tuple[int, int], tuple[int, int], int]]:
    """Each door with each cell next to it, and the direction from there to the door."""
    doors = [place for place, cell in cells.items() if isinstance(cell, Door)]
    return [(door, _next(door, (toward + 2) % 4), toward) for door in doors for toward in range(4)]


def _next(cell: tuple[int, int], direction: int) -> tuple[int, int]:
    dx, dy = DIR_TO_VEC[direction]
    return cell[0] + int(dx), cell[1] + int(dy)


def _ends_in(env: gym.Env, actions: list[int], kind: str) -> bool:
    """Whether these actions end in a transition of class `kind`, and no episode before it; asks a copy."""
    if not can_be_copied(env):
        return False
    twin = copied(env)
    for action in actions[:-1]:
        if twin.step(action)[2]:
            return False
    return grids.transition_class(twin, actions[-1]) == kind


def _pick(items: list, rng: np.random.Generator):
    return items[int(rng.integers(len(items)))]
