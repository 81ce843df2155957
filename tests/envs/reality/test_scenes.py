"""Real scenes at several sizes: what detail learns from, and what super-resolution is measured on."""

import numpy as np
import pytest

from nova_gym import BadInputError, Dream
from nova_gym.dream import Card
from nova_gym.envs.reality import grids
from nova_gym.envs.reality.minigrid_reality import MiniGridReality
from nova_gym.envs.reality.scenes import scenes, scenes_of_a_kind


@pytest.fixture
def noted(monkeypatch):
    """Of each scene drawn whether its layout is held out, and whether the agent stands on the goal."""
    seen, look = [], MiniGridReality.frame

    def noting(reality, env):
        on_goal = tuple(env.unwrapped.agent_pos) == grids.goal_position(env)
        seen.append((reality.is_held_out(env), on_goal))
        return look(reality, env)

    monkeypatch.setattr(MiniGridReality, "frame", noting)
    return seen


def test_scenes_to_learn_from_are_never_of_a_layout_that_is_held_out(tiny, noted):
    scenes_of_a_kind(tiny, "recorded", 60, (1,), seed=3)
    assert not any(held_out for held_out, _ in noted)
    assert any(on_goal for _, on_goal in noted)  # the last frame of an episode is one to learn, too
    noted.clear()
    scenes_of_a_kind(tiny, "held out", 12, (1,), seed=3)
    assert all(held_out for held_out, _ in noted)


def test_scenes_differ_and_a_seed_gives_the_same_again(tiny):
    one, same, other = (scenes_of_a_kind(tiny, "recorded", 20, (1,), seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert len({frame.tobytes() for frame in one}) == 20
    assert (one != other).any()


def test_a_small_environment_gives_the_scenes_that_it_has(tiny):
    small = Dream(tiny.world_model, tiny.starts, Card("MiniGrid-Empty-8x8-v0", {"highlight": False, "tile_size": 9}))
    drawn = scenes_of_a_kind(small, "official", 9, (1, 2), seed=0)
    assert len(drawn[1]) == len(drawn[2]) == 1
    with pytest.raises(BadInputError, match="unknown kind"):
        scenes_of_a_kind(small, "random", 1, (1,), seed=0)
    with pytest.raises(BadInputError, match="no layouts that could be held out"):
        scenes_of_a_kind(small, "held out", 1, (1,), seed=0)


def test_other_environments_are_drawn_as_large_as_they_are(tiny):
    pole = Dream(tiny.world_model, tiny.starts, Card(env_id="CartPole-v1"))
    drawn = scenes(pole, 6, 4, seed=0)
    assert [large.shape for _, large in drawn.values()] == [(2, 144, 144, 3), (2, 216, 216, 3), (2, 288, 288, 3)]
    small, large = drawn[4]
    assert np.abs(large.reshape(2, 72, 4, 72, 4, 3).mean((2, 4)) - small).mean() < 1.0
    with pytest.raises(BadInputError, match=r"CartPole-v1 draws too few pixels.*5 times at most"):
        scenes(pole, 20, 8, seed=0)
