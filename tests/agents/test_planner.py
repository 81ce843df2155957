import numpy as np
import pytest
import torch

from nova_gym.agents import CrossEntropyPlanner
from nova_gym.envs import make_reality
from nova_gym.envs.reality.minigrid_expert import way
from nova_gym.errors import BadInputError


def test_it_walks_to_a_near_goal_in_reality_without_training(shipped):
    planner, reality = CrossEntropyPlanner(shipped, horizon=10, population=256), make_reality(shipped, starts="random")
    seed = 0
    while True:
        observation, _ = reality.reset(seed=seed)
        if len(way(reality)) in (4, 5):
            break
        seed += 1
    state, start, paid = None, True, 0.0
    for _ in range(30):
        action, state = planner.predict(observation, state, np.array([start]))
        observation, paid, terminated, *_ = reality.step(int(action))
        start = False
        if terminated:
            break
    assert paid > 0.9


def test_plans_are_kept_apart_and_made_anew_where_the_world_surprises(shipped):
    planner = CrossEntropyPlanner(shipped, horizon=6, population=32, iterations=2)
    states = shipped.starts["official"][:2].numpy()
    actions, memory = planner.predict(states)
    assert actions.shape == (2,)
    assert memory[0].shape == (2, 6)
    planned = []
    planner.plan = lambda state: planned.append(1) or np.zeros(6, dtype=np.int64)
    planner.predict(memory[1], memory)  # the world does what was expected
    assert len(planned) == 0
    planner.predict(np.stack([memory[1][0], states[1] + 1.0]), memory)  # the second surprises
    assert len(planned) == 1


def test_it_hardly_proposes_what_does_nothing(shipped):
    planner = CrossEntropyPlanner(shipped, horizon=8, population=64, iterations=1)
    proposed = planner._sample(planner._odds.expand(8, -1))
    moves = torch.tensor([shipped.card.action_names.index(name) for name in ("left", "right", "forward")])
    assert 0.9 < float(torch.isin(proposed, moves).float().mean()) < 1.0


def test_it_refuses_numbers_that_make_no_sense(shipped):
    with pytest.raises(BadInputError, match="at least 1"):
        CrossEntropyPlanner(shipped, horizon=0)
