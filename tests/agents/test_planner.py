from dataclasses import replace
from types import SimpleNamespace

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


class Corridor:
    """In the place of a simulator: action 0 goes to the left, 1 to the right. Both ends end; they pay `pays`."""

    pays, costs = (0.0, 1.0), 0.0

    def __init__(self, dream, num_dreams, horizon, cells, doubt=False):
        self.device, self.latest = torch.device("cpu"), None

    def reset(self, states):
        self.state = states.clone()

    def step(self, actions):
        self.state = self.state + (actions * 2.0 - 1)[:, None, None, None].float()
        at = self.state[:, 0, 0, 0]
        left, right = at <= 0, at >= 10
        reward = self.pays[0] * left + self.pays[1] * right - self.costs
        return SimpleNamespace(state=self.state, reward=reward.float(), terminated=left | right)


@pytest.fixture
def walker(shipped, monkeypatch):
    """Call it with what the ends pay and what a step costs: a planner in the corridor."""

    def plan(pays, costs=0.0, horizon=6):
        planner = CrossEntropyPlanner(shipped, horizon=horizon, population=128)
        planner.actions, planner._odds, planner._rank, planner.surprise = 2, torch.full((2,), 0.5), 1, 0.5
        monkeypatch.setattr(Corridor, "pays", pays)
        monkeypatch.setattr(Corridor, "costs", costs)
        monkeypatch.setattr("nova_gym.agents.planner.DreamSimulator", Corridor)
        planner.dream = SimpleNamespace(
            starts={"official": torch.arange(1.0, 10).reshape(-1, 1, 1, 1)},
            world_model=SimpleNamespace(has_doubt=False),
        )
        planner.going_on = planner._worth_of_going_on()
        return planner, lambda at: planner.plan(torch.full((1, 1, 1), float(at)))

    return plan


def test_it_minds_endings_that_pay_nothing(walker):
    planner, plan = walker((0.0, 1.0))
    assert planner.going_on > 0
    for at in (1, 2, 3):  # what pays is out of its sight
        actions = plan(at)
        assert at + (2 * actions[actions >= 0] - 1).cumsum().min() > 0
    assert (plan(7)[:3] == 1).all()
    assert (plan(7)[3:] == -1).all()


def test_it_seeks_an_end_where_every_step_costs(walker):
    planner, plan = walker((0.0, 0.0), costs=1.0)
    assert planner.going_on < -1
    assert list(plan(2)) == [0, 0, -1, -1, -1, -1]


def test_states_after_an_end_earn_nothing(walker):
    planner, _ = walker((0.0, 0.0))
    sequences = torch.tensor([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    scores, lengths = planner._score(torch.full((1, 1, 1), 3.0), sequences)
    assert scores[0] < scores[1]  # though, dreamt on, both would visit as many states
    assert lengths.tolist() == [1, 3]


def test_its_thresholds_come_from_the_dream(shipped):
    planner = CrossEntropyPlanner(shipped, horizon=4, population=8)
    assert shipped.card.dead_band < planner.surprise < 0.1
    louder = replace(shipped, starts={kind: 10 * states for kind, states in shipped.starts.items()})
    assert CrossEntropyPlanner(louder, horizon=4, population=8).surprise != planner.surprise
