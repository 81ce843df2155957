"""MiniGrid's expert: the shortest way to a reward, searched over what the agent can do to the grid.

A node of the search is where the agent stands, what it carries, where things lie and which doors are open. Rules that a
level adds to MiniGrid's own, such as a box that pays, are asked of a copy of the level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from minigrid.core.actions import Actions
from minigrid.core.constants import DIR_TO_VEC
from minigrid.core.world_object import Box, Door, WorldObj
from minigrid.minigrid_env import MiniGridEnv

from nova_gym.envs.reality.minigrid_copies import adds_rules, can_be_copied, copied, copied_with

#: Nodes that a search looks at, and questions that it asks of a copy, before it gives up.
_NODES, _QUESTIONS = 30_000, 6_000
#: Modes without a way after which an episode is given up: the box that pays is gone, say.
_LOST = 3
#: Kinds of cells. An open door is `_FREE` too.
_FREE, _WALL, _DEATH, _GOAL, _DOOR, _THING = range(6)
#: Where a thing is that lies in no cell: carried, out of the way for good, or within a box.
_CARRIED, _ASIDE, _HIDDEN = -1, -2, -3
_OPEN, _CLOSED, _LOCKED = range(3)
#: How things may be put down: not at all; where they block no way, to stay there; anywhere, to be picked up again.
_KEEP, _PUT_ASIDE, _PUT_ANYWHERE = range(3)
#: What a level is asked about: what changes things, but for putting them down; that too; every step.
_DEEDS, _PUTTING, _ALL = range(3)


class _Mode(NamedTuple):
    """All of a state but the pose."""

    where: tuple[int, ...]  # of each thing: its cell, or one of the names above
    doors: tuple[int, ...]
    turning: bool = False  # something was just put down in front, so the agent has to turn away


class Search:
    """Ways to a reward from the states of one episode.

    Args:
        env: after a reset. It is read, not changed.
    """

    def __init__(self, env: gym.Env) -> None:
        level = env.unwrapped
        self.env = env
        self._width, size = level.width, level.width * level.height
        self._actions, self._adds_rules = int(env.action_space.n), adds_rules(env)
        self._poses, self._ahead = 4 * size, _ahead(level.width, level.height)
        self._start_anew()

    def _start_anew(self) -> None:
        """Forgets all ways, and lists what can change now."""
        self.ways: dict[int, int] = {}  # by node, the next action on a way to a reward
        self._lost: set[int] = set()  # numbers of modes from which no way was found
        self._modes: dict[_Mode, int] = {}
        self._by_number: list[_Mode] = []
        self._kinds: list[list[int]] = []
        self._list()
        self._ground = [_ground(cell) for cell in self.env.unwrapped.grid.grid]
        self._begun = self._node()

    def _list(self) -> None:
        cells = self.env.unwrapped.grid.grid
        carried = self.env.unwrapped.carrying
        self._things = [cell for cell in cells if cell is not None and cell.can_pickup()]
        self._things += [carried] if carried is not None else []
        for thing in self._things:  # grows by what boxes hold
            if isinstance(thing, Box) and thing.contains is not None:
                self._things.append(thing.contains)
        self._doors = [(i, cell) for i, cell in enumerate(cells) if isinstance(cell, Door)]
        self._number = {id(thing): i for i, thing in enumerate(self._things)}
        self._door_at = {cell: i for i, (cell, _) in enumerate(self._doors)}
        self._twin: tuple[MiniGridEnv, tuple[WorldObj, ...]] | None = None

    def move_to(self, env: gym.Env) -> None:
        """Takes all ways that were found in a copy of a level over to that level, which is as the copy began."""
        begun, self.env = self._begun, env
        self._list()
        if self._node() != begun:  # the copy has shown things that were not there
            self._start_anew()

    # States as numbers

    def _node(self) -> tuple[_Mode, int]:
        """The present state of the level."""
        level = self.env.unwrapped
        where = [_HIDDEN] * len(self._things)
        for i, cell in enumerate(level.grid.grid):
            if cell is not None and cell.can_pickup():
                if id(cell) not in self._number:
                    self._start_anew()
                    return self._begun
                where[self._number[id(cell)]] = i
        if level.carrying is not None:
            where[self._number[id(level.carrying)]] = _CARRIED
        x, y = level.agent_pos
        doors = tuple(_OPEN if door.is_open else _LOCKED if door.is_locked else _CLOSED for _, door in self._doors)
        return _Mode(tuple(where), doors), (int(y) * self._width + int(x)) * 4 + int(level.agent_dir)

    def _numbered(self, mode: _Mode) -> int:
        number = self._modes.get(mode)
        if number is None:
            number = self._modes[mode] = len(self._kinds)
            kinds = self._ground.copy()
            for (cell, _), state in zip(self._doors, mode.doors, strict=True):
                kinds[cell] = _FREE if state == _OPEN else _DOOR
            for cell in mode.where:
                if cell >= 0:
                    kinds[cell] = _THING
            self._kinds.append(kinds)
            self._by_number.append(mode)
        return number

    # The search

    def action(self) -> int | None:
        """The next action on a way to a reward from the present state; None where no way is found."""
        mode, pose = self._node()
        number = self._numbered(mode)
        node = number * self._poses + pose
        given_up = number in self._lost or (len(self._lost) >= _LOST and not self.has_movers)
        if node not in self.ways and not given_up:
            self._find(node)
            if node not in self.ways:
                self._lost.add(number)
        return self.ways.get(node)

    def action_around(self) -> int | None:
        """As if things that cannot be picked up were elsewhere soon; waits where one is in front."""
        mode, pose = self._node()
        gone = _Mode(tuple(_ASIDE for _ in mode.where), mode.doors)
        node = self._numbered(gone) * self._poses + pose
        if node not in self.ways:
            self._find(node)
        action = self.ways.get(node)
        blocked = action == Actions.forward and self._ahead[pose] in mode.where
        return int(Actions.left) if blocked else action

    @property
    def has_movers(self) -> bool:
        """Whether there are things that the agent cannot move, since it has no action for it."""
        return bool(self._things) and self._actions <= Actions.pickup

    def _find(self, node: int) -> None:
        """Searches with ever more freedom: first without putting things down, and asking only where things change."""
        carries = bool(self._things) and self._actions > Actions.drop
        for asking in (_DEEDS, _PUTTING, _ALL) if self._adds_rules else (_DEEDS,):
            for putting in (_KEEP, _PUT_ASIDE, _PUT_ANYWHERE) if carries else (_KEEP,):
                if (putting, asking) != (_KEEP, _PUTTING) and self._breadth_first(node, putting, asking):
                    return

    def _breadth_first(self, start: int, putting: int, asking: int) -> bool:
        before: dict[int, list[tuple[int, int]]] = {start: []}
        order, paid, mode, self._asked = [start], [], start // self._poses, 0
        for node in order:
            for action, after in self._steps(node, putting, asking):
                if after is None or (after in self.ways and after // self._poses == mode):  # back from a detour
                    paid.append((node, action))
                elif after in before:
                    before[after].append((node, action))
                else:
                    before[after] = [(node, action)]
                    order.append(after)
            if paid or len(order) > _NODES or self._asked > _QUESTIONS:
                break
        back = []
        for node, action in paid:
            self.ways[node] = action
            back.append(node)
        for node in back:
            for earlier, action in before[node]:
                if earlier not in self.ways:
                    self.ways[earlier] = action
                    back.append(earlier)
        return bool(paid)

    def _steps(self, node: int, putting: int, asking: int) -> Iterator[tuple[int, int | None]]:
        """Actions that change something, and the node after each; None for the end with a reward."""
        number, pose = divmod(node, self._poses)
        first, cell, direction = number * self._poses, pose - pose % 4, pose % 4
        front, mode = self._ahead[pose], self._by_number[number]
        kind = self._kinds[number][front]
        moves = [
            (int(Actions.left), first + cell + (direction - 1) % 4),
            (int(Actions.right), first + cell + (direction + 1) % 4),
        ]
        if mode.turning:
            straight = self._numbered(_Mode(mode.where, mode.doors)) * self._poses - first
            yield from ((action, after + straight) for action, after in moves)
            return
        if kind == _GOAL:
            yield int(Actions.forward), None
        elif kind == _FREE:
            moves.append((int(Actions.forward), first + 4 * front + direction))
        for action, after in moves:
            if asking == _ALL:
                yield from self._answered(mode, pose, action, after)
            else:
                yield action, after
        for action, changed in self._changes(mode, front, kind, putting):
            after = node if changed is None else self._numbered(changed) * self._poses + pose
            if self._adds_rules and (action != Actions.drop or asking != _DEEDS):
                yield from self._answered(mode, pose, action, after)
            elif changed is not None:
                yield action, after
        if self._adds_rules and self._actions > Actions.done and (asking == _ALL or kind in (_DOOR, _THING)):
            yield from self._answered(mode, pose, int(Actions.done), node)

    def _changes(self, mode: _Mode, front: int, kind: int, putting: int) -> Iterator[tuple[int, _Mode | None]]:
        """Picking up, putting down, opening: the action and what it makes of a mode; None where it must pay itself."""
        carried = mode.where.index(_CARRIED) if _CARRIED in mode.where else None
        if kind == _THING:
            thing = mode.where.index(front)
            if carried is None and self._actions > Actions.pickup:
                yield int(Actions.pickup), _Mode(_put(mode.where, thing, _CARRIED), mode.doors)
            if isinstance(self._things[thing], Box) and self._actions > Actions.toggle:
                where, inside = _put(mode.where, thing, _ASIDE), self._things[thing].contains
                if inside is not None:
                    where = _put(where, self._number[id(inside)], front)
                yield int(Actions.toggle), _Mode(where, mode.doors)
        elif kind == _DOOR and self._actions > Actions.toggle:
            door = self._door_at[front]
            if mode.doors[door] == _CLOSED or (carried is not None and self._opens(carried, door)):
                yield int(Actions.toggle), _Mode(mode.where, _put(mode.doors, door, _OPEN))
        elif kind == _FREE and carried is not None and front not in self._door_at:
            if putting == _PUT_ANYWHERE:
                yield int(Actions.drop), _Mode(_put(mode.where, carried, front), mode.doors)
            elif putting == _PUT_ASIDE:
                aside = _Mode(_put(mode.where, carried, _ASIDE), mode.doors, True)
                yield int(Actions.drop), None if self._is_a_way(front) else aside

    def _opens(self, carried: int, door: int) -> bool:
        thing = self._things[carried]
        return thing.type == "key" and thing.color == self._doors[door][1].color

    def _is_a_way(self, cell: int) -> bool:
        """Whether a thing in this cell could block the way between cells next to it."""
        around = [cell + dx + dy * self._width for dx, dy in _RING]
        clear = [0 <= c < len(self._ground) and self._ground[c] not in (_WALL, _DEATH) for c in around]
        # runs of clear cells around it that touch one of its four sides; two of them are connected through it alone
        starts = [i for i in range(8) if clear[i] and not clear[i - 1]]
        runs = 0
        for i in starts:
            length = next(n for n in range(1, 9) if not clear[(i + n) % 8])
            runs += any((i + n) % 8 % 2 == 0 for n in range(length))
        return runs > 1

    # Rules of the level's own

    def _answered(self, mode: _Mode, pose: int, action: int, after: int) -> Iterator[tuple[int, int | None]]:
        """The step as the level itself has it; nothing where it ends without a reward, or changes nothing."""
        self._asked += 1
        level, copies = self._twin = self._twin or self._made_twin()
        level.grid.grid = self._bare.copy()
        level.carrying = None
        for cell, thing in zip(mode.where, copies, strict=False):
            if cell >= 0:
                level.grid.grid[cell] = thing
                thing.cur_pos = cell % self._width, cell // self._width
            elif cell == _CARRIED:
                level.carrying, thing.cur_pos = thing, (-1, -1)
        for door, state in zip(copies[len(mode.where) :], mode.doors, strict=True):
            door.is_open, door.is_locked = state == _OPEN, state == _LOCKED
        cell, level.agent_dir = divmod(pose, 4)
        level.agent_pos = cell % self._width, cell // self._width
        level.step_count = 0
        _, reward, terminated, _, _ = level.step(action)
        if not terminated:
            yield action, after
        elif reward > 0:
            yield action, None

    def _made_twin(self) -> tuple[MiniGridEnv, tuple[WorldObj, ...]]:
        level, copies = copied_with(self.env, (*self._things, *(door for _, door in self._doors)))
        movable = {id(thing) for thing in copies[: len(self._things)]}
        self._bare = [None if id(cell) in movable else cell for cell in level.grid.grid]
        return level, copies


#: The cells around a cell, in their order; those with even numbers share a side with it.
_RING = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))


@cache
def _ahead(width: int, height: int) -> list[int]:
    """For each pose, the cell in front of it; cell 0, a corner, outside of the grid."""
    cells = []
    for pose in range(4 * width * height):
        (y, x), (dx, dy) = divmod(pose // 4, width), DIR_TO_VEC[pose % 4]
        inside = 0 <= x + dx < width and 0 <= y + dy < height
        cells.append(int((y + dy) * width + x + dx) if inside else 0)
    return cells


def _ground(cell: WorldObj | None) -> int:
    """What a cell is when things are away and doors open."""
    if cell is None or cell.can_pickup() or isinstance(cell, Door):
        return _FREE
    named = {"goal": _GOAL, "lava": _DEATH}
    return named.get(cell.type, _FREE if cell.can_overlap() else _WALL)


def _put(values: tuple[int, ...], place: int, value: int) -> tuple[int, ...]:
    return (*values[:place], value, *values[place + 1 :])


def expert(env: gym.Env) -> Callable[[], int] | None:
    """Follows a shortest way to a reward, and comes back to it after detours; None where it finds none.

    It has tried on a copy of the level that its way leads to the reward, unless obstacles move. There is no
    expert for a level that cannot be copied.

    Args:
        env: after a reset.

    Returns:
        A function that reads the present state of `env` and gives an action. Where the way is lost later, it strolls.
    """
    if not can_be_copied(env):
        return None
    search = Search(copied(env))
    if search.has_movers:
        search.move_to(env)
        if search.action() is None and search.action_around() is None:
            return None
    elif _way(search) is None:
        return None
    else:
        search.move_to(env)

    def act() -> int:
        action = search.action()
        if action is None and search.has_movers:
            action = search.action_around()
        return _strolled(env) if action is None else action

    return act


def _strolled(env: gym.Env) -> int:
    """A turn or a safe step forward, the same whenever the agent is here at this time."""
    level = env.unwrapped
    x, y = level.front_pos
    ahead = _ground(level.grid.get(x, y))
    chance = np.random.default_rng([*map(int, level.agent_pos), int(level.agent_dir), int(level.step_count)]).random()
    if ahead == _FREE and chance < 0.6:
        return int(Actions.forward)
    return int(Actions.left if chance < 0.8 else Actions.right)


def way(env: gym.Env) -> list[int] | None:
    """The actions of a way to a reward, as a copy of `env` takes it; None where there is none, or chance is in it."""
    return _way(Search(copied(env)))


def _way(search: Search) -> list[int] | None:
    actions = []
    while (action := search.action()) is not None:
        actions.append(action)
        _, reward, terminated, truncated, _ = search.env.step(action)
        if terminated or truncated:
            return actions if terminated and reward > 0 else None
    return None
