"""MiniGrid as a `Reality`: native drawing, layouts to hold out, classes of transitions, an expert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np
from minigrid.core.actions import Actions
from minigrid.minigrid_env import MiniGridEnv

from nova_gym.dream import Dream
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality import grids, minigrid_places
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.coverage import Coverage
from nova_gym.envs.reality.environments import resized
from nova_gym.envs.reality.layouts import HELD_OUT, LayoutsEnv, is_family_held_out
from nova_gym.envs.reality.minigrid_expert import expert
from nova_gym.envs.reality.registry import register_reality
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.model.inr import LARGEST

_FORWARD, _PICKUP, _DROP, _TOGGLE = (int(a) for a in (Actions.forward, Actions.pickup, Actions.drop, Actions.toggle))
#: Classes of transitions in which something changes that is not the agent.
_DEEDS = ("pickup", "drop", "unlock door", "open door", "close door", "open box")
#: Pixels of a tile, unless a size is asked for.
TILE = 8

#: Covers all layouts and poses: rare events often, random and goal-directed clips, some long ones.
_COVERAGE = (
    Coverage("official starts, to the goal", 0.10, 40, official=True, expert=0.6),
    Coverage("anywhere, at random", 0.15, 10, favoured=(_FORWARD, 0.4)),
    Coverage("anywhere, to the goal", 0.15, 10, expert=0.6),
    Coverage("facing an inner wall", 0.20, 10, facing="bump into inner wall", favoured=(_FORWARD, 0.5)),
    Coverage("facing the outer wall", 0.03, 10, facing="bump into outer wall", favoured=(_FORWARD, 0.4)),
    Coverage("next to the goal", 0.17, 10, facing="into goal", expert=0.3),
    Coverage("anywhere, long", 0.20, 80, favoured=(_FORWARD, 0.3)),
)
#: Straight to the goal: what a control model should imitate.
_EXPERT = (
    Coverage("official starts, straight to the goal", 0.5, 80, official=True, expert=1.0),
    Coverage("anywhere, straight to the goal", 0.5, 80, expert=1.0),
)
#: Where there are doors, or things to carry: whole chains of deeds, each deed by itself, and its ends.
_DEEDS_COVERAGE = (
    Coverage("official starts, to the reward", 0.20, 120, official=True, expert=0.85),
    Coverage("anywhere, to the reward", 0.14, 60, expert=0.7),
    Coverage("anywhere, at random", 0.04, 20, favoured=(_FORWARD, 0.2)),
    Coverage("facing a thing", 0.05, 12, facing="pickup", expert=0.2),
    Coverage("hands full", 0.10, 8, facing="pickup with full hands", expert=0.4, favoured=(_PICKUP, 0.4)),
    Coverage("facing a thing, to put it down", 0.11, 12, facing="drop", favoured=(_DROP, 0.3)),
    Coverage("at a locked door, its key at hand", 0.17, 12, facing="unlock door", expert=0.8),
    Coverage("at a locked door, its key elsewhere", 0.08, 8, facing="try a locked door", favoured=(_TOGGLE, 0.4)),
    Coverage("facing a closed door", 0.09, 8, facing="open door", expert=0.3, favoured=(_TOGGLE, 0.3)),
    Coverage("facing an open door", 0.06, 8, facing="close door", favoured=(_TOGGLE, 0.4)),
    Coverage("facing a box", 0.03, 8, facing="open box"),
    Coverage("facing an inner wall", 0.05, 8, facing="bump into inner wall", favoured=(_FORWARD, 0.5)),
    Coverage("next to the goal", 0.05, 8, facing="into goal", expert=0.4),
    Coverage("next to a success", 0.05, 8, facing="success", expert=0.5),
)
#: Where the agent can die.
_DEATH_COVERAGE = (Coverage("next to death", 0.12, 8, facing="death", favoured=(_FORWARD, 0.4)),)
#: Fresh resets of a level that are looked at to see what it holds, and whether the expert finds its ways.
_LOOKS = 8
#: Of the scenes `recorded`: the share with the goal where the environment puts it, the share with the agent on the
#: goal, and the largest number of random steps before a scene is drawn.
_OFFICIAL_GOAL, _ON_GOAL, _STEPS = 0.25, 0.1, 8


#: Levels to choose from in a menu.
_LEVELS = (
    *("SimpleCrossingS9N1", "SimpleCrossingS9N2", "SimpleCrossingS9N3", "SimpleCrossingS11N5", "FourRooms"),
    *("Empty-5x5", "Empty-16x16", "LavaCrossingS9N1", "LavaCrossingS11N5", "DoorKey-5x5", "DoorKey-8x8"),
    *("Dynamic-Obstacles-6x6", "Dynamic-Obstacles-16x16"),
)


class _Look(NamedTuple):
    """What fresh resets of a level show."""

    types: set[str]
    deadly: bool  # whether a step can kill
    solved: bool  # whether the expert finds a way to a reward
    actions: int


@register_reality
class MiniGridReality(Reality):
    """Any environment that derives from `minigrid`'s `MiniGridEnv`."""

    scatters: ClassVar[bool] = True
    transition_classes: ClassVar[tuple[str, ...]] = grids.TRANSITION_CLASSES
    reward_discount: ClassVar[float] = 0.9

    @classmethod
    def knows(cls, env: gym.Env) -> bool:
        """Whether `env` derives from `MiniGridEnv`."""
        return isinstance(env.unwrapped, MiniGridEnv)

    @classmethod
    def view(cls, env_id: str, env: gym.Env, size: int | tuple[int, int] | None) -> RealitySpec:
        """Drawn natively in whole tiles, by default of 8 pixels, without the highlighted field of view.

        Raises:
            BadInputError: `size` does not divide into whole tiles.
        """
        columns, rows = env.unwrapped.width, env.unwrapped.height
        width = TILE * columns if size is None else size if isinstance(size, int) else size[1]
        tile = width // columns
        if width % columns or width < TILE or (isinstance(size, tuple) and size[0] != tile * rows):
            below, above = tile, tile + 1
            near = " or ".join(f"{side * columns}" for side in (below, above) if side * columns >= TILE)
            shape = "" if columns == rows else f" (and the height as many of {rows})"
            raise BadInputError(
                f"{env_id} has {columns}×{rows} tiles: the frame width must be a multiple of {columns}{shape}, such as "
                f"{near} ({TILE * columns} for {TILE} pixels a tile), not "
                f"{size if isinstance(size, int) else f'{size[0]}x{size[1]}'}"
            )
        return RealitySpec(env_id, {"highlight": False, "tile_size": tile}, (rows * tile, columns * tile), tile=tile)

    def similar_view(self, env_id: str, env: gym.Env) -> RealitySpec:
        """The other grid in tiles of the same size, so its frames may have another; highlighted if this one is.

        Raises:
            BadInputError: the frames of `spec` do not consist of whole tiles, so no other grid can be drawn like them.
        """
        with closing(self.make()) as own:
            columns, rows, tile = own.unwrapped.width, own.unwrapped.height, self.tile(own)
            highlight = own.unwrapped.highlight
        if self.spec.frame_size != (rows * tile, columns * tile):
            height, width = self.spec.frame_size
            raise BadInputError(
                f"no other grid can be drawn as {self.spec.env_id} is here: {columns}×{rows} tiles do not fit "
                f"{height}×{width} pixels as a whole"
            )
        view = self.view(env_id, env, tile * env.unwrapped.width)
        return replace(view, env_kwargs={**view.env_kwargs, "highlight": highlight})

    def frame(self, env: gym.Env) -> np.ndarray:
        """Drawn natively; resized only if `spec` asks for a size without whole tiles."""
        return resized(grids.draw(env, env.unwrapped.tile_size), *self.spec.frame_size)

    def draw(self, env: gym.Env, scale: int) -> np.ndarray:
        """Drawn natively, in tiles `scale` times as large."""
        return grids.draw(env, scale * self.tile(env))

    def largest_scale(self, env: gym.Env) -> int:
        """MiniGrid draws at any size, so frames of `LARGEST` pixels a side are the limit."""
        return LARGEST // max(self.spec.frame_size)

    def tile(self, env: gym.Env) -> int:
        """Side of a grid cell in pixels."""
        return self.spec.frame_size[1] // env.unwrapped.width

    def horizon(self, env: gym.Env) -> int:
        """The environment's `max_steps`."""
        return int(env.unwrapped.max_steps)

    def action_names(self, env: gym.Env) -> list[str]:
        """MiniGrid's own names: left, right, forward, …"""
        return [action.name for action in Actions][: int(env.action_space.n)]

    def levels(self) -> tuple[str, ...]:
        """Some of MiniGrid's own, of each kind and size."""
        return tuple(f"MiniGrid-{name}-v0" for name in _LEVELS)

    def success(self, env: gym.Env, reward: float, terminated: bool) -> bool:
        """Whether the episode was terminated with a positive reward."""
        return bool(terminated and reward > 0)

    def layout_id(self, env: gym.Env) -> bytes:
        """Walls, lava, goal and doors, whether open or not; neither the agent nor what can be carried or moves."""
        return grids.layout(env)

    def things(self, env: gym.Env) -> frozenset[str]:
        """MiniGrid's names of what is on the grid, with colours and states where they differ, and "agent"."""
        return grids.things(env)

    def is_held_out(self, env: gym.Env) -> bool:
        """One layout in eight; in `LayoutsEnv` whole families, which it never draws."""
        if isinstance(env.unwrapped, LayoutsEnv):
            return is_family_held_out(env.unwrapped.grid)
        return super().is_held_out(env)

    def held_out(self, env: gym.Env) -> str:
        """One layout in eight, or the families that `LayoutsEnv` never draws."""
        return HELD_OUT if isinstance(env.unwrapped, LayoutsEnv) else super().held_out(env)

    def transition_class(self, env: gym.Env, action: Any) -> str:
        """One of `grids.TRANSITION_CLASSES`, by the action and the cell in front of the agent."""
        return grids.transition_class(env, int(action))

    def ends(self, env: gym.Env, action: Any) -> bool:
        """Told by what is in front of the agent; levels that add rules of their own are asked by a copy."""
        return grids.ends(env, int(action))

    def coverage(self) -> tuple[Coverage, ...]:
        """Clips from official starts, from anywhere, and next to what the level holds: walls, doors, lava, goal …"""
        seen = self._look()
        deeds = seen.types & {"door", "key", "box"} or ("ball" in seen.types and seen.actions > Actions.pickup)
        kinds = (_DEEDS_COVERAGE if deeds else _COVERAGE) + (_DEATH_COVERAGE if seen.deadly else ())
        if not seen.solved:
            kinds = tuple(replace(kind, expert=0.0) for kind in kinds)
        return tuple(
            kind if (kind.favoured[0] or 0) < seen.actions else replace(kind, favoured=(None, 0.0)) for kind in kinds
        )

    def expert_coverage(self) -> tuple[Coverage, ...]:
        """Clips straight to the reward, half from official starts, half from anywhere.

        Raises:
            BadInputError: the expert finds no way to a reward in this level.
        """
        if not self._look().solved:
            raise BadInputError(f"no expert knows {self.spec.env_id}: it found no way to a reward; leave out --expert")
        return _EXPERT

    def _look(self) -> _Look:
        types: set[str] = set()
        deadly, solved = False, False
        with closing(self.make()) as env:
            for seed in range(_LOOKS):
                env.reset(seed=seed)
                types |= {cell.type for cell in env.unwrapped.grid.grid if cell is not None}
                solved = solved or expert(env) is not None
                deadly = deadly or minigrid_places.arrange(env, "death", np.random.default_rng(seed)) is not None
            return _Look(types, deadly, solved, int(env.action_space.n))

    def policy(self, env: gym.Env) -> Callable[[], int] | None:
        """Follows a shortest way to a reward: through doors, with what has to be carried, around what kills."""
        return expert(env)

    def random_action(self, env: gym.Env, rng: np.random.Generator) -> int:
        """Draws turns, the step forward, and what would change something now, four times as often as the rest."""
        actions = range(int(env.action_space.n))
        often = [action <= _FORWARD or grids.usual_class(env, action) in _DEEDS for action in actions]
        weights = np.where(often, 4.0, 1.0)
        return int(rng.choice(len(actions), p=weights / weights.sum()))

    def stroll(self, env: gym.Env, rng: np.random.Generator) -> int:
        """A turn or a step forward, drawn at random; a turn where the step would kill."""
        action = int(rng.integers(_FORWARD + 1))
        return action if grids.transition_class(env, action) != "death" else int(rng.integers(_FORWARD))

    def scatter(self, env: gym.Env, rng: np.random.Generator) -> None:
        """Moves goal and agent to random empty cells, so that the reward can be reached; walls and doors stay."""
        minigrid_places.scatter(env, rng)

    def arrange(self, env: gym.Env, kind: str, rng: np.random.Generator) -> list[int] | None:
        """Puts the agent in front of what `kind` names; for turns and no-ops it stays where it is.

        Doors are opened or closed for it, and the key of a locked door is moved next to it.
        """
        return minigrid_places.arrange(env, kind, rng)

    def place(self, env: gym.Env, kind: str, rng: np.random.Generator) -> int | None:
        """Arranges it and takes all but the last action."""
        actions = self.arrange(env, kind, rng)
        for action in actions[:-1] if actions else ():
            env.step(action)
        return actions[-1] if actions else None

    def scenes(self, env: gym.Env, kind: str, rng: np.random.Generator) -> Iterator[None]:
        """Resets for each scene. In `official` ones agent and goal stay where the environment puts them."""
        hold_out = self.check_scenes(env, kind)
        while True:
            env.reset(seed=int(rng.integers(2**31)))
            placing = np.random.default_rng(int(rng.integers(2**31)))
            if kind == "held out" or (kind == "recorded" and placing.random() >= _OFFICIAL_GOAL):
                self.scatter(env, placing)
            if hold_out and self.is_held_out(env) != (kind == "held out"):
                continue
            if kind == "recorded":
                self._go_on(env, placing)
            yield

    def _go_on(self, env: gym.Env, rng: np.random.Generator) -> None:
        """Puts the agent on the goal, or anywhere and then takes a few random steps."""
        goal, cells = grids.goal_position(env), grids.free_cells(env)
        on_goal = goal is not None and rng.random() < _ON_GOAL
        grids.place_agent(env, goal if on_goal else cells[int(rng.integers(len(cells)))], int(rng.integers(4)))
        for _ in range(0 if on_goal else int(rng.integers(_STEPS + 1))):
            _, _, terminated, truncated, _ = env.step(self.random_action(env, rng))
            if terminated or truncated:
                break


def minigrid_of(dream: Dream) -> MiniGridReality:
    """The reality of a dream of MiniGrid, for measurements that only MiniGrid allows.

    Raises:
        BadInputError: the dream is of another environment.
    """
    reality = reality_of(dream)
    if not isinstance(reality, MiniGridReality):
        raise BadInputError(f"{reality.spec.env_id} is not a MiniGrid, which this needs")
    return reality
