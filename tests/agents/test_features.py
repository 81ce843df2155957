"""What policies read of fields: shortest distances, and features that know no size."""

import heapq

import numpy as np
import pytest
import torch
from gymnasium import spaces

from nova_gym.agents import FieldFeatures, Roaming
from nova_gym.agents.distances import Distances
from nova_gym.envs import make_reality


def dijkstra(source, cost):
    """Least costs by a queue, for one map (rows, cols)."""
    found, queue = {}, [(value, cell) for cell, value in np.ndenumerate(source)]
    heapq.heapify(queue)
    while queue:
        value, (y, x) = heapq.heappop(queue)
        if (y, x) in found:
            continue
        found[y, x] = value
        for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if near not in found and 0 <= near[0] < source.shape[0] and 0 <= near[1] < source.shape[1]:
                heapq.heappush(queue, (value + cost[near], near))
    return np.array([[found[y, x] for x in range(source.shape[1])] for y in range(source.shape[0])])


@pytest.mark.parametrize("size", [(1, 1), (7, 11), (19, 19)])
def test_distances_are_those_of_the_shortest_ways(size):
    generator = torch.Generator().manual_seed(0)
    source = 50.0 * torch.rand(*size, 3, generator=generator)
    cost = torch.where(torch.rand(*size, 3, generator=generator) < 0.4, 20.0, 0.5)
    found = Distances.apply(source, cost)
    for i in range(3):
        np.testing.assert_allclose(found[..., i], dijkstra(source[..., i].numpy(), cost[..., i].numpy()), rtol=1e-5)


def test_the_gradient_of_distances_is_exact():
    generator = torch.Generator().manual_seed(0)
    source, cost = (torch.rand(5, 6, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    inputs = (9.0 * source).requires_grad_(), (cost + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(Distances.apply, inputs)


def test_the_same_features_in_fields_of_any_size():
    """What surrounds the agent looks the same in a larger field, so the features are the same."""
    torch.manual_seed(0)
    features = FieldFeatures(spaces.Box(-1000, 1000, (8, 9, 9), np.float32)).eval()
    small = torch.zeros(1, 8, 9, 9)
    small[:, :, 4, 4] = 3.0
    large = torch.zeros(1, 8, 19, 13)
    large[:, :, 10, 6] = 3.0
    with torch.no_grad():
        features.readings[:] = 0.0
        features.readings[0, :8] = 1.0  # looks at the cell that stands out
        features.readings[1, :8] = 1.0 / 24.0  # which is what is worth going to
        features.readings[2, 8] = 1.0  # and every cell can be entered
        torch.testing.assert_close(features(small), features(large), atol=1e-4, rtol=1e-4)
        assert features(torch.full((1, 8, 2, 3), 5000.0)).isfinite().all()


@pytest.fixture(scope="module")
def roaming(shipped):
    return Roaming.through(shipped, torch.cat(list(shipped.starts.values())))


def test_random_walks_tell_agent_goal_and_walls_apart(shipped, roaming):
    """In layouts of another level, compared with what MiniGrid says of each tile."""
    reality = make_reality(shipped, device="cpu", reality="MiniGrid-SimpleCrossingS9N3-v0")
    for seed in range(4):
        state, _ = reality.reset(seed=seed)
        read = {
            name: np.einsum("k,krc->rc", np.array(reading[:-1]), state) + reading[-1]
            for name, reading in roaming.readings.items()
        }
        grid, (x, y) = reality.unwrapped.grid, reality.unwrapped.agent_pos
        kinds = np.array(
            [["floor" if (cell := grid.get(i, j)) is None else cell.type for i in range(9)] for j in range(9)]
        )
        assert np.unravel_index(read["looked_at"].argmax(), (9, 9)) == (y, x)
        (goal,) = np.argwhere(kinds == "goal")
        assert np.unravel_index(read["worth"].argmax(), (9, 9)) == tuple(goal)
        assert read["enterable"][kinds == "floor"].min() > 5 * abs(read["enterable"][kinds == "wall"]).max()


def test_random_walks_tell_which_actions_do_something(shipped, roaming):
    names = [name for name, useful in zip(shipped.card.action_names, roaming.useful, strict=True) if useful]
    assert names == ["left", "right", "forward"]


def test_random_walks_find_states_close_to_a_reward(roaming):
    assert roaming.close.shape[1:] == (16, 9, 9)
    assert len(roaming.close) > 50


@pytest.mark.slow
def test_the_same_seed_walks_the_same_way(tiny):
    starts = tiny.starts["official"]
    first, second = (Roaming.through(tiny, starts, seed=3) for _ in range(2))
    for name, reading in first.readings.items():
        np.testing.assert_allclose(second.readings[name], reading, atol=1e-3)
    assert first.close.shape == second.close.shape
