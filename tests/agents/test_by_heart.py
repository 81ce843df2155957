"""An agent is told the best actions where random walks met nearly all that there is."""

import numpy as np
import pytest
import torch

from nova_gym.agents import DreamVecEnv, PlacedFeatures, make_agent, roaming, train_agent, training
from nova_gym.agents.by_heart import learn_by_heart, takes_a_plan
from nova_gym.agents.walkers import Known
from nova_gym.envs.reality.chart import Chart

#: Places of a corridor, and its actions: back, stay, on. On from the last pays 1 and ends; each step costs .1.
LENGTH, BACK, STAY, ON = 5, 0, 1, 2


def corridor():
    """The chart of somebody who tried all actions at all places but one: back, at the first."""
    chart, shown = Chart(3, np.random.default_rng(0)), np.arange(LENGTH)[:, None]
    places = [chart.begin(each, 0) for each in shown]
    for i, place in enumerate(places):
        for action, following in ((BACK, i - 1), (STAY, i), (ON, i + 1)):
            if following < 0:
                continue
            ended = following == LENGTH
            chart.note(place, action, shown[min(following, LENGTH - 1)], ended, 0, 0.9 if ended else -0.1)
    return chart, places


def test_a_chart_tells_what_actions_bring():
    """Bellman's equation, where each place and action leads to one other."""
    chart, places = corridor()
    found = chart.returns(0.5)[places]
    best = [0.9]
    for _ in range(LENGTH - 1):
        best.insert(0, -0.1 + 0.5 * best[0])
    np.testing.assert_allclose(found[:, ON], best, atol=1e-5)
    np.testing.assert_allclose(found[:, STAY], -0.1 + 0.5 * np.array(best), atol=1e-5)
    assert found[0, BACK] == -np.inf  # nobody knows


def test_returns_are_means_over_what_chance_brings():
    chart, (here, there) = Chart(1, np.random.default_rng(0)), np.arange(2)[:, None]
    place, other = chart.begin(here, 0), chart.begin(there, 0)
    for led, paid in ((here, 0.0), (there, 4.0), (there, 4.0), (here, 0.0)):
        chart.note(place, 0, led, False, 0, paid)
    chart.note(other, 0, here, True, 0, 6.0)
    # v = 2 + .9 (.5 v + .5 · 6)
    assert chart.returns(0.9)[place, 0] == pytest.approx(4.7 / 0.55, abs=1e-4)


def test_what_was_never_tried_is_taken_for_the_worst():
    chart, shown = Chart(2, np.random.default_rng(0)), np.arange(3)[:, None]
    start = chart.begin(shown[0], 0)
    chart.note(start, 0, shown[1], False, 0, 0.0)  # to a place at which nothing was tried
    chart.note(start, 1, shown[2], True, 0, -5.0)
    assert chart.returns(0.9)[start, 0] == pytest.approx(0.9 * -50.0)
    assert chart.returns(0.9)[start, 1] == -5.0


def test_what_must_never_be_done_is_not_even_the_lesser_evil():
    chart, shown = Chart(2, np.random.default_rng(0)), np.arange(2)[:, None]
    start, other = chart.begin(shown[0], 0), chart.begin(shown[1], 0)
    chart.note(start, 0, shown[1], False, 0, -1.0)
    chart.note(start, 1, shown[0], True, 0, -np.inf)
    chart.note(other, 0, shown[1], True, 0, -np.inf)
    found = chart.returns(0.9)
    assert found[start].tolist() == [pytest.approx(-1.0 + 0.9 * -10.0), -np.inf]
    assert found[other].tolist() == [-np.inf, -np.inf]


def test_an_agent_learns_a_chart_by_heart(steps):
    """At each state it then takes what brings most, and expects that."""
    chart, places = corridor()
    states = torch.randn(LENGTH, *steps.starts["official"].shape[1:], generator=torch.Generator().manual_seed(0))
    env = DreamVecEnv(steps, 4)
    agent = make_agent("ppo", env, device="cpu")
    assert takes_a_plan(agent, "latent")
    assert learn_by_heart(agent, env, Known(states, chart), 0.5) == pytest.approx(1.0)
    assert (agent.predict(states.numpy(), deterministic=True)[0] == ON).all()
    expected = agent.policy.predict_values(states)[:, 0].detach().numpy()
    np.testing.assert_allclose(expected, chart.returns(0.5)[places, ON], atol=0.1)


def test_a_place_that_is_made_up_does_not_blur_what_is_best_elsewhere(steps):
    """One that costs a million hides neither that a step more costs a tenth, nor what the others are worth."""
    chart, places = corridor()
    made_up = chart.begin(np.array([1000]), 0)
    chart.note(made_up, ON, np.array([1001]), True, 0, -1e6)
    states = torch.randn(LENGTH + 1, *steps.starts["official"].shape[1:], generator=torch.Generator().manual_seed(0))
    env = DreamVecEnv(steps, 4)
    agent = make_agent("ppo", env, device="cpu")
    assert learn_by_heart(agent, env, Known(states, chart), 0.5) == pytest.approx(1.0)
    assert (agent.predict(states[:-1].numpy(), deterministic=True)[0] == ON).all()
    expected = agent.policy.predict_values(states[:-1])[:, 0].detach().numpy()
    np.testing.assert_allclose(expected, chart.returns(0.5)[places, ON], atol=0.5)


def test_agents_without_a_policy_that_is_learned_so_take_no_plan(steps, pushes):
    assert not takes_a_plan(make_agent("dqn", DreamVecEnv(steps, 4), device="cpu"), "latent")
    assert not takes_a_plan(make_agent("sac", DreamVecEnv(pushes, 4), device="cpu"), "latent")
    assert not takes_a_plan(make_agent("ppo", DreamVecEnv(steps, 4, "pixels"), "pixels", device="cpu"), "pixels")


def test_who_knows_a_world_by_heart_knows_its_places(monkeypatch):
    """However much its starts differ: the same action may be right in one place and wrong in another like it."""
    monkeypatch.setattr(training, "has_few_layouts", lambda starts, mobile: False)
    monkeypatch.setattr(roaming, "STEPS", 40)
    agent, curve = train_agent("frozen-lake", steps=64, evaluations=1, episodes=1, minutes=0.02, device="cpu")
    assert isinstance(agent.policy.features_extractor, PlacedFeatures)
    assert curve.points[0].steps == 0  # what it was taught is evaluated, too
