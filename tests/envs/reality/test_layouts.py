"""Layouts to learn rules from: many and different, and never one of the families that are held out."""

import gymnasium as gym
import numpy as np
import pytest
from minigrid.core.constants import OBJECT_TO_IDX

from nova_gym.envs import find_reality, reality_spec
from nova_gym.envs.reality import grids, minigrid_places
from nova_gym.envs.reality.layouts import HELD_OUT, LayoutsEnv, is_family_held_out, random_walls
from nova_gym.envs.reality.minigrid_expert import expert, way

ENV_ID = "NovaLayouts-MiniGrid-v0"
#: MiniGrid's own levels that can be made without files that its package lacks.
OFFICIAL = sorted(name for name in gym.registry if name.startswith("MiniGrid-") and "WFC" not in name)


@pytest.fixture(scope="module")
def drawn():
    """Walls of 2,000 layouts, (9, 9) bool each."""
    rng = np.random.default_rng(0)
    return [random_walls(9, 9, rng) for _ in range(2000)]


def crossings(walls: np.ndarray) -> list[tuple[int, int]]:
    """(walls, gaps) of all rows and columns between others of the room, counted one by one."""
    free = [(y, x) for y in range(walls.shape[0]) for x in range(walls.shape[1]) if not walls[y, x]]
    top, bottom = min(y for y, _ in free), max(y for y, _ in free)
    left, right = min(x for _, x in free), max(x for _, x in free)
    lines = [[walls[y, x] for x in range(left, right + 1)] for y in range(top + 1, bottom)]
    lines += [[walls[y, x] for y in range(top, bottom + 1)] for x in range(left + 1, right)]
    return [(sum(line), len(line) - sum(line)) for line in lines]


def test_no_layout_has_a_straight_wall_across_its_room_with_two_gaps_or_fewer(drawn):
    for walls in drawn:
        assert not any(gaps <= 2 and gaps < walled for walled, gaps in crossings(walls))


def test_no_layout_is_without_inner_walls(drawn):
    for walls in drawn:
        rows, columns = np.nonzero(~walls)
        assert walls[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("level", OFFICIAL)
def test_every_layout_of_minigrid_s_own_levels_is_held_out(level):
    env, rng = gym.make(level, disable_env_checker=True), np.random.default_rng(0)
    for seed in range(200):
        env.reset(seed=seed)
        assert is_family_held_out(env.unwrapped.grid), seed
    minigrid_places.scatter(env, rng)
    assert is_family_held_out(env.unwrapped.grid)


def test_the_environment_never_draws_a_layout_that_is_held_out():
    reality = find_reality(reality_spec(ENV_ID))
    env, rng = reality.make(), np.random.default_rng(0)
    for seed in range(300):
        env.reset(seed=seed)
        assert not is_family_held_out(env.unwrapped.grid)
        reality.scatter(env, rng)
        assert not reality.is_held_out(env)
    assert not reality.can_hold_out(env)  # so all are recorded and evaluated
    assert reality.held_out(env) == HELD_OUT


def test_layouts_vary_in_everything(drawn):
    assert len({walls.tobytes() for walls in drawn}) > 0.95 * len(drawn)
    rooms = {tuple(np.ptp(np.argwhere(~walls), axis=0) + 1) for walls in drawn}
    assert {3, 4, 5, 6, 7} <= {rows for rows, _ in rooms}
    assert {3, 4, 5, 6, 7} <= {columns for _, columns in rooms}
    free = np.mean([~walls for walls in drawn], axis=0)[1:-1, 1:-1]
    assert free.min() > 0.2  # rooms are everywhere
    assert free.max() < 0.9  # and so are walls
    share = np.array([np.mean(~walls[1:-1, 1:-1]) for walls in drawn])
    assert np.quantile(share, 0.1) < 0.25
    assert np.quantile(share, 0.9) > 0.8


def test_agent_and_goal_stand_anywhere_and_the_goal_can_be_reached():
    env, goals, poses = gym.make(ENV_ID), set(), set()
    for seed in range(600):
        env.reset(seed=seed)
        pose = (*env.unwrapped.agent_pos, env.unwrapped.agent_dir)
        assert expert(env) is not None
        goals.add(grids.goal_position(env))
        poses.add(pose)
    assert len(goals) == 49
    assert len(poses) > 150


def test_it_is_a_minigrid_like_others():
    env = gym.make(ENV_ID)
    layouts = []
    for _ in range(2):
        env.reset(seed=3)
        layouts.append(env.unwrapped.grid.encode().tobytes() + bytes(grids.pose(env)))
    assert layouts[0] == layouts[1]
    assert (env.unwrapped.max_steps, env.action_space) == (324, gym.spaces.Discrete(7))
    steps = len(actions := way(env))
    for action in actions:
        _, reward, _, _, _ = env.step(action)
    assert reward == pytest.approx(1 - 0.9 * steps / 324)


@pytest.mark.parametrize("size", [5, 6, 15])
def test_grids_have_any_size_from_five(size):
    env = LayoutsEnv(size)
    for seed in range(30):
        env.reset(seed=seed)
        border = env.grid.encode()[..., 0] == OBJECT_TO_IDX["wall"]
        assert border.shape == (size, size)
        assert border[[0, -1]].all()
        assert border[:, [0, -1]].all()
    with pytest.raises(ValueError, match="at least 5 rows"):
        LayoutsEnv(4)
