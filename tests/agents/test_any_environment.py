"""Agents in environments of other kinds: continuous, without a horizon, without success, with costs for each step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecNormalize

from nova_gym.agents import (
    DreamVecEnv,
    Pace,
    PlacedFeatures,
    Roaming,
    WholeFeatures,
    diagnose,
    evaluate_agent,
    film,
    load_agent,
    make_agent,
    make_reality_vec,
    normalised_score,
    train_agent,
)
from nova_gym.agents.actions import own_actions, plain_space
from nova_gym.agents.curve import Curve, RealityCheck
from nova_gym.agents.layouts import has_few_layouts
from nova_gym.agents.saving import reward_scale
from nova_gym.agents.scaling import scaled_rewards
from nova_gym.agents.starts import PrioritizedStarts
from nova_gym.agents.training import episodes_for
from nova_gym.agents.usual import Usual
from nova_gym.errors import BadInputError


def test_continuous_actions_from_training_to_film(pushes, tmp_path):
    path = tmp_path / "agent.safetensors"
    agent, curve = train_agent(
        pushes, steps=64, num_dreams=4, output=path, evaluations=1, episodes=2, seed=1, device="cpu"
    )
    assert type(agent).__name__ == "SAC"
    assert agent.policy_kwargs["features_extractor_class"] is WholeFeatures
    assert agent.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert curve.best.success is None
    assert -12 <= curve.best.reality <= -3
    again, seen = load_agent(path, pushes, device="cpu"), pushes.starts["official"].numpy()
    chosen = [each.predict(seen, deterministic=True)[0] for each in (agent, again)]
    np.testing.assert_array_equal(*chosen)
    report = evaluate_agent(again, pushes, episodes=3, modes=("deterministic",))
    assert set(report.modes["deterministic"]["reality"]) == {"return", "length"}
    assert diagnose(again, pushes, episodes=2).returns.shape == (2, 2)
    assert film(again, pushes, walks=1, scale=2)[0].shape == (16, 2 * 64 + 4, 3)


def test_evaluations_in_a_slow_reality_play_fewer_episodes(pushes):
    assert episodes_for(pushes) == episodes_for(pushes, 1e9) == 64
    assert episodes_for(pushes, 1e-9) == 2


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_continuous_agents_learn(pushes, algorithm):
    agent = make_agent(algorithm, DreamVecEnv(pushes, 4), device="cpu")
    agent.learning_starts = 8
    before = {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}
    agent.learn(40)
    assert any((before[name] != tensor).any() for name, tensor in agent.policy.state_dict().items())


def test_discrete_algorithms_are_refused_for_continuous_actions(pushes):
    with pytest.raises(BadInputError, match="sac, ppo and a2c take these"):
        train_agent(pushes, "dqn")


def test_an_episode_without_a_horizon_ends_in_reality_too(steps, monkeypatch, tmp_path):
    """An agent that never moves would play for ever; so would its actions, counted from 0, if taken as they are."""
    monkeypatch.setattr("nova_gym.agents.pace.UNKNOWN", 20)
    agent, curve = train_agent(steps, "ppo", steps=64, num_dreams=4, evaluations=1, episodes=2, device="cpu")
    assert -20 <= curve.best.reality <= -3
    assert agent.action_space == spaces.Discrete(3)
    reality = make_reality_vec(steps, 1, max_episode_steps=20)
    reality.reset()
    for _ in range(7):
        _, _, ended, _ = reality.step(np.array([2]))  # the last of three: to the right
        if ended[0]:
            break
    assert ended[0]


@pytest.mark.parametrize(
    ("space", "plain", "action", "own"),
    [
        (spaces.Discrete(3, start=5), spaces.Discrete(3), [2], [7]),
        (spaces.MultiDiscrete([[2, 3]]), spaces.MultiDiscrete([2, 3]), [[1, 2]], [[[1, 2]]]),
        (spaces.MultiDiscrete([2, 3], start=[1, 0]), spaces.MultiDiscrete([2, 3]), [[1, 2]], [[2, 2]]),
        (spaces.MultiBinary([2, 2]), spaces.MultiBinary(4), [[0, 1, 1, 0]], [[[0, 1], [1, 0]]]),
    ],
)
def test_every_action_space_becomes_one_that_sb3_knows(space, plain, action, own):
    assert plain_space(space) == plain
    np.testing.assert_array_equal(own_actions(space, np.array(action)), own)
    assert space.contains(own_actions(space, np.array(action))[0])


def outcomes(reward, last, ends=True, steps=100):
    """64 walks of so many steps that each pay `reward`; three of them end by a step that pays `last`."""
    rewards, terminated = np.full((steps, 64), reward), np.zeros((steps, 64), dtype=bool)
    rewards[-1, :3], terminated[-1, :3] = last, ends
    return Usual.of(rewards, terminated, terminated, steps)


def test_what_is_better_than_usual():
    goal, cliff, pole, lava = outcomes(0.0, 0.9), outcomes(-1.0, -1.0), outcomes(1.0, 1.0), outcomes(0.0, 0.0)
    fall, point = outcomes(-1.0, -100.0, ends=False), outcomes(0.0, 1.0, ends=False)
    found = [usual.stands_out for usual in (goal, cliff, pole, lava, fall, point)]
    assert found == [True, True, False, False, False, True]
    assert cliff.better(np.array([-1.0, -1.0]), np.array([True, False])).tolist() == [True, False]
    assert [usual.sparse for usual in (goal, cliff, pole)] == [True, False, False]


def test_rewards_are_scaled_where_returns_are_not_about_one(pushes):
    assert [outcomes(*paid).scales() for paid in ((0.0, 0.9), (-1.0, -1.0), (0.0, 0.01), (0.0, 0.0))] == [
        False,
        True,
        True,
        False,
    ]
    assert outcomes(0.0, 0.0).scales((0.0, 20.0))  # which the walks did not meet
    env = scaled_rewards(DreamVecEnv(pushes, 256), outcomes(-1.0, -1.0), 0.99, (-1.0,), None)
    assert isinstance(env, VecNormalize)
    env.reset()
    mean, variance = outcomes(-1.0, -1.0).spread(0.99)
    assert mean < -30
    assert env.ret_rms.var == variance
    still = np.zeros((256, 1), np.float32)
    _, rewards, *_ = env.step(still)
    np.testing.assert_allclose(rewards, -1.0 / np.sqrt(env.ret_rms.var), rtol=1e-4)
    env.ret_rms.count = 10.0**9  # however long it has learned, the scale follows
    for _ in range(300):
        env.step(still)
    assert env.ret_rms.var < variance / 2


@pytest.mark.slow
def test_training_further_keeps_the_scale_of_rewards_through_a_file(pushes, tmp_path):
    path = tmp_path / "agent.safetensors"
    small = {"steps": 32, "evaluations": 1, "episodes": 1, "device": "cpu"}
    agent, _ = train_agent(pushes, "a2c", num_dreams=2, output=path, **small)
    again = load_agent(path, pushes, device="cpu")
    assert reward_scale(again) == reward_scale(agent) != None  # noqa: E711
    further, _ = train_agent(pushes, "a2c", agent=again, **small)
    assert reward_scale(further)[2] > reward_scale(agent)[2]


def test_starts_count_what_is_better_than_usual_where_no_success_is_known(pushes):
    """Every end is one here: of the dreams that end by themselves the starts succeed, of the others they do not."""
    bank = pushes.starts["official"]
    starts = PrioritizedStarts({"own": bank}, usual=outcomes(-1.0, -1.0))
    env = DreamVecEnv(replace(pushes, starts={"training": starts.bank}), 2, starts="training", max_episode_steps=1)
    agent = make_agent("ppo", env, device="cpu")
    starts.init_callback(agent)
    env.reset()
    starts._on_training_start()
    starts.running = [2, 5]
    env.step(np.zeros((2, 1), np.float32))
    starts.success[:] = 0.5
    env.rewards, env.terminated = np.array([-1.0, -1.0]), np.array([True, False])
    starts.locals = {"dones": np.ones(2, dtype=bool), "infos": [{}, {}]}
    starts._on_step()
    assert starts.success[2] > 0.5 > starts.success[5]
    assert (np.delete(starts.success, [2, 5]) == 0.5).all()


@pytest.mark.slow
def test_a_dream_with_memory_is_not_followed_beyond_what_was_recorded(pushes, deep):
    lengths = {"summary": {"lengths": {"ended": 40, "longest": 60}}}
    card = replace(deep.card, horizon=500, data={**deep.card.data, **lengths})
    assert Pace.of(replace(deep, card=card), replace(roaming(pushes), usual=outcomes(-1.0, -1.0))).longest == 40


def test_the_pace_follows_from_card_and_recording(pushes, steps):
    sparse, dense = (replace(roaming(pushes), usual=outcomes(*paid)) for paid in ((0.0, 1.0), (-1.0, -1.0)))
    whole = replace(pushes, card=replace(pushes.card, horizon=500))
    assert Pace.of(whole, dense).longest == Pace.of(whole, sparse).longest == 500  # what swings takes its time
    tiles = replace(steps, card=replace(steps.card, horizon=500))
    assert Pace.of(tiles, sparse).longest == 75  # a share of it
    assert Pace.of(tiles, dense).longest == 500  # where each step counts, all of it
    tiles.card.data = {"summary": {"lengths": {"ended": 60, "longest": 400}}}
    assert Pace.of(tiles, sparse).longest == 180  # ends take that long
    assert Pace.of(replace(steps, card=replace(tiles.card, horizon=0)), dense).longest == 400
    short, long = (Pace.of(replace(tiles, card=replace(tiles.card, horizon=n)), dense) for n in (60, 200))
    assert 0.9 < short.gamma < long.gamma < 0.995
    assert short.steps("ppo") < long.steps("ppo")
    assert long.steps("sac") < long.steps("ppo")


def roaming(dream):
    return Roaming.through(dream, dream.starts["official"])


def test_random_walks_read_what_is_seen_and_start_before_what_is_better(pushes):
    """Whatever a dream pays and ends: the states kept are states of walks, and readings have a bias."""
    found = roaming(pushes)
    assert found.close.shape[1:] == pushes.starts["official"].shape[1:]
    assert all(len(reading) == 8 + 1 for reading in found.readings.values())
    assert found.useful.all()


def test_few_layouts_are_told_from_many():
    """Cells are floor (0), a walker (1) who comes anywhere, and walls (2)."""
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(25, (100,), generator=generator)
    walkers = torch.zeros(100, 4, 25).scatter_(2, places[:, None, None].expand(-1, 4, 1), 1.0).view(100, 4, 5, 5)
    walls = 2.0 * (torch.rand(100, 1, 5, 5, generator=generator) < 0.2).expand(-1, 4, -1, -1)
    mobile = torch.tensor([[1.0] * 4, [0.0] * 4])
    assert has_few_layouts(walkers, mobile)
    assert not has_few_layouts(walls, mobile)
    assert has_few_layouts(walls[:5], mobile)


def test_placed_features_tell_places_apart(steps):
    """Two fields with the same surroundings of the one thing in them, in different places."""
    torch.manual_seed(0)
    space = spaces.Box(-1000, 1000, (8, 7, 7), np.float32)
    features, fields = PlacedFeatures(space).eval(), torch.zeros(2, 8, 7, 7)
    fields[0, :, 2, 2], fields[1, :, 4, 4] = 3.0, 3.0
    features.readings.data[:] = 0.0
    features.readings.data[0, :8] = 1.0
    with torch.no_grad():
        first, second = features(fields)
    assert (first - second).abs().max() > 0.05
    agent = make_agent("ppo", DreamVecEnv(steps, 2), device="cpu", placed=True)
    assert isinstance(agent.policy.features_extractor, PlacedFeatures)


def test_what_a_limit_of_time_lets_go_on_is_evaluated_where_training_usually_ends_and_at_its_doubles():
    check = RealityCheck.__new__(RealityCheck)
    check.milestone, check.evaluating, check.limit, check.curve = 100, 0.0, 60.0, Curve()
    due = [steps for steps in (99, 100, 150, 420, 790, 800) if check._at_milestone(steps)]
    assert due == [100, 420, 800]
    check.evaluating = 0.3 * check.limit  # evaluations have taken too long already
    assert not check._at_milestone(1600)


def test_training_stops_after_the_minutes(steps):
    agent, curve = train_agent(
        steps, "ppo", steps=10**9, num_dreams=4, evaluations=3, episodes=1, minutes=0.05, patience=10, device="cpu"
    )
    assert 0 < agent.num_timesteps < 10**6
    assert curve.points[-1].seconds < 20
    assert curve.points[-1].steps == agent.num_timesteps


def test_scores_are_normalised():
    assert normalised_score(-150.0, -1200.0, -150.0) == 1.0
    assert normalised_score(-1200.0, -1200.0, -150.0) == 0.0
    with pytest.raises(BadInputError, match="no scale"):
        normalised_score(1.0, 0.0, 0.0)
