"""The map between an environment's actions and those that a model sees."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nova_gym import BadInputError, Dream
from nova_gym.data.actions import ActionMap
from nova_gym.envs.reality.lockstep import Bench

starts = st.integers(-9, 9)


@st.composite
def boxes(draw):
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int8, np.uint8, np.int32]))
    shape = draw(array_shapes(min_dims=0, max_dims=3, max_side=3))
    least = 0 if dtype == np.uint8 else -100
    low = draw(arrays(np.int64, shape, elements=st.integers(least, 50)))
    wide = draw(arrays(np.int64, shape, elements=st.integers(0, 70)))
    return spaces.Box(low.astype(dtype), (low + wide).astype(dtype), dtype=dtype)


@st.composite
def choices(draw):
    nvec = draw(arrays(np.int64, array_shapes(max_dims=2, max_side=3), elements=st.integers(1, 9)))
    return spaces.MultiDiscrete(nvec, start=draw(arrays(np.int64, nvec.shape, elements=starts)))


SPACES = st.one_of(
    st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 200), starts),
    choices(),
    st.builds(spaces.MultiBinary, st.one_of(st.integers(1, 9), st.tuples(st.integers(1, 3), st.integers(1, 3)))),
    boxes(),
)


@settings(max_examples=150, deadline=None)
@given(SPACES, st.integers(0, 2**31 - 1))
def test_actions_come_back_as_they_were(space, seed):
    known = ActionMap(space)
    space.seed(seed)
    actions = np.stack([np.asarray(space.sample()) for _ in range(5)])
    seen = known.to_model(actions)
    assert seen.shape == (5, *known.shape)
    assert seen.dtype == known.dtype
    assert seen.min() >= (0 if known.discrete else -1)
    assert seen.max() <= (known.count - 1 if known.discrete else 1)
    back = known.to_env(seen)
    assert all(space.contains(action) for action in back)
    if isinstance(space, spaces.Box):
        np.testing.assert_allclose(back, actions, atol=1e-5 * 100 if space.dtype.kind == "f" else 0)
    else:
        np.testing.assert_array_equal(back, actions)


@settings(max_examples=100, deadline=None)
@given(SPACES, st.integers(0, 2**31 - 1))
def test_a_space_is_kept_as_json_and_drawn_from(space, seed):
    known = ActionMap(space)
    assert ActionMap.of_dict(json.loads(json.dumps(known.to_dict()))).space == space
    rng = np.random.default_rng(seed)
    assert all(space.contains(known.sample(rng)) for _ in range(3))


def test_combinations_are_one_choice_up_to_64_and_chosen_each_beyond():
    assert (ActionMap(spaces.MultiDiscrete([8, 8])).discrete, ActionMap(spaces.MultiBinary(6)).count) == (True, 64)
    many = ActionMap(spaces.MultiDiscrete([5, 13]))
    np.testing.assert_array_equal(np.flatnonzero(many.to_model([[4, 2]])[0]), [4, 5 + 2])
    noisy = np.random.default_rng(0).normal(size=(1, 18))
    np.testing.assert_array_equal(many.to_env(noisy)[0], [noisy[0, :5].argmax(), noisy[0, 5:].argmax()])


def test_all_members_are_drawn_alike():
    known, rng = ActionMap(spaces.Box(-1, 1, (1,), np.int8)), np.random.default_rng(0)
    drawn = [int(known.sample(rng)[0]) for _ in range(3000)]
    assert [drawn.count(value) / 3000 for value in (-1, 0, 1)] == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize("space", [spaces.Discrete(7, start=-2), spaces.MultiDiscrete([7], start=[3])])
def test_a_dream_takes_actions_in_its_environment_s_own_space(tiny, space):
    card = replace(tiny.card, action_space=ActionMap(space).to_dict())
    own = gym.make("nova_gym:NovaDream-v0", dream=Dream(tiny.world_model, tiny.starts, card))
    plain = gym.make("nova_gym:NovaDream-v0", dream=tiny)
    assert own.action_space == space
    for index in (0, 3, 6):
        action = ActionMap(space).to_env(np.array([index]))[0]
        for env in (own, plain):
            env.reset(seed=1)
        np.testing.assert_array_equal(own.step(action)[0], plain.step(index)[0])
    with pytest.raises(BadInputError, match="must be a member of"):
        own.step(np.asarray(space.start) - 1)
    batch = gym.make_vec("nova_gym:NovaDream-v0", num_envs=3, dream=own.unwrapped.dream)
    batch.reset(seed=0)
    batch.action_space.seed(0)
    assert batch.step(batch.action_space.sample())[1].shape == (3,)


def test_lockstep_draws_and_translates_by_the_same_map(tiny):
    bench = Bench(tiny, None, 0)
    assert torch.equal(bench.actions([0, 6]), torch.tensor([0, 6]))
    assert {int(bench.random_action()) for _ in range(200)} == set(range(7))
