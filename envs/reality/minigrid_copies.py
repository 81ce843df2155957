"""Copies of MiniGrid's levels, to ask what a step would do."""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

import gymnasium as gym
from minigrid.core.world_object import WorldObj
from minigrid.minigrid_env import MiniGridEnv

#: By kind of level, whether there is copying it.
_CAN_COPY: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def copied(env: gym.Env) -> MiniGridEnv:
    """A copy of `env` that steps as it would, without drawing an observation."""
    return copied_with(env, ())[0]


def adds_rules(env: gym.Env) -> bool:
    """Whether a level has a `step` of its own, beside MiniGrid's, and copies that can be asked about it."""
    return type(env.unwrapped).step is not MiniGridEnv.step and can_be_copied(env)


def can_be_copied(env: gym.Env) -> bool:
    """Whether levels of this kind have copies. What a level keeps of its own may have none, such as a lock."""
    kind = type(env.unwrapped)
    if kind not in _CAN_COPY:
        try:
            _CAN_COPY[kind] = copied(env) is not None
        except Exception:  # somebody else's class: it raises what it likes
            _CAN_COPY[kind] = False
    return _CAN_COPY[kind]


def copied_with(env: gym.Env, things: tuple[WorldObj, ...]) -> tuple[MiniGridEnv, tuple[WorldObj, ...]]:
    """A copy, and which of its objects are these things."""
    level = env.unwrapped
    shared = [cell for cell in level.grid.grid if cell is not None and cell.type in ("wall", "goal", "lava", "floor")]
    shared += [level.action_space, level.observation_space, level.spec, level.window, level.clock]
    twin, others = copy.deepcopy((level, things), {id(part): part for part in shared if part is not None})
    twin.render_mode = None
    twin.gen_obs = dict
    return twin, others
