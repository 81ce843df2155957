"""Training, saving, loading and testing agents; on a dream of preset `tiny`, which is fast and not true."""

import functools
import json
import pickle

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from nova_gym.agents import (
    CrossEntropyPlanner,
    DreamVecEnv,
    diagnose,
    evaluate_agent,
    film,
    load_agent,
    make_agent,
    save_agent,
    train_agent,
)
from nova_gym.agents.curve import Curve
from nova_gym.agents.policy_file import KIND
from nova_gym.agents.saving import find_agent
from nova_gym.agents.training import continue_in
from nova_gym.envs import dream_at
from nova_gym.errors import BadInputError
from nova_gym.tensor_file import read_tensors, write_tensors


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A PPO agent that was hardly trained, its file and its curve."""
    path = tmp_path_factory.mktemp("agent") / "agent.safetensors"
    agent, curve = train_agent(tiny, steps=256, num_dreams=4, output=path, evaluations=2, episodes=2, device="cpu")
    return agent, path, curve


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn"])
@pytest.mark.parametrize("observation", ["latent", pytest.param("pixels", marks=pytest.mark.slow)])
def test_every_algorithm_learns_from_both_observations_and_comes_back(tiny, algorithm, observation, tmp_path):
    env = DreamVecEnv(tiny, 4, observation, max_episode_steps=20)
    agent = make_agent(algorithm, env, observation, seed=3, device="cpu")
    if algorithm == "dqn":
        agent.learning_starts, agent.batch_size = 40, 64
    learned = [tensor for group in agent.policy.optimizer.param_groups for tensor in group["params"]]
    before = [tensor.clone() for tensor in learned]
    agent.learn(120)
    assert all((one != tensor).any() for one, tensor in zip(before, learned, strict=True))  # no part is cut off
    assert agent.ep_info_buffer
    save_agent(agent, tmp_path / "agent.safetensors", tiny)
    again = load_agent(tmp_path / "agent.safetensors", tiny, device="cpu")
    for one in (agent, again):  # optimiser included: both go on alike
        continue_in(one, DreamVecEnv(tiny, 4, observation, max_episode_steps=20), seed=5)
        one.learn(120)
    same(agent.get_parameters(), again.get_parameters())


def test_what_a_safe_file_cannot_keep_is_named(tiny, tmp_path):
    agent = PPO(
        "MlpPolicy", DreamVecEnv(tiny, 2), n_steps=2, batch_size=4, device="cpu", learning_rate=lambda left: left
    )
    with pytest.raises(BadInputError, match=r"learning_rate of this agent is .*only a pickle.*zip"):
        save_agent(agent, tmp_path / "agent.safetensors", tiny)
    save_agent(agent, tmp_path / "agent.zip", tiny)
    with pytest.warns(UserWarning, match="runs code that it holds"):
        assert load_agent(tmp_path / "agent.zip", tiny, device="cpu").lr_schedule(0.25) == 0.25


def test_loading_an_agent_unpickles_nothing(shipped, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    load_agent("minigrid-ppo", shipped, device="cpu")


def change(header, **values):
    """A header in which values are others; names that hold dots lie deeper."""
    for name, value in values.items():
        *path, last = name.split("__")
        functools.reduce(dict.__getitem__, path, header)[last] = value


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithm": "os.system"},
        {"policy": "subprocess.Popen"},
        {"n_envs": 10**9},
        {"observations__shape": [16, 10**6, 10**6]},
        {"actions": {"kind": "Discrete", "n": 3, "start": 0}},
        {"arguments__policy_kwargs__net_arch": [10**6, 10**6]},
        {"arguments__policy_kwargs__features_extractor_class": {"class": "Adam"}},
        {"arguments__verbose": 2},
        {"learned__policy": {}},
        {"rewards": "many"},
    ],
)
def test_a_header_that_lies_is_refused_in_one_line(shipped, wrong, tmp_path):
    tensors, header = read_tensors(find_agent("minigrid-ppo"), KIND)
    change(header, **wrong)
    header.pop("sha256")
    write_tensors(tmp_path / "agent.safetensors", tensors, header, KIND)
    with pytest.raises(BadInputError) as error:
        load_agent(tmp_path / "agent.safetensors", shipped, device="cpu")
    assert "\n" not in str(error.value)


def same(one, other):
    """Compares nested tensors, dictionaries and lists for equality."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        [same(each, other[key]) for key, each in one.items()]
    elif isinstance(one, list | tuple):
        [same(*pair) for pair in zip(one, other, strict=True)]
    else:
        assert one == other


def test_plain_stable_baselines3_is_three_lines(tiny):
    env = DreamVecEnv(tiny, num_dreams=8)
    agent = PPO("MlpPolicy", env, n_steps=16, batch_size=64, device="cpu").learn(128)
    assert agent.predict(env.reset())[0].shape == (8,)


def test_the_version_that_is_best_in_reality_is_kept_and_loads(tiny, trained):
    agent, path, curve = trained
    assert curve.points[-1].steps == 256
    assert curve.best.reality == max(point.reality for point in curve.points)
    again = load_agent(path, tiny, device="cpu")
    states = tiny.starts["official"][:8].numpy()
    np.testing.assert_array_equal(
        agent.predict(states, deterministic=True)[0], again.predict(states, deterministic=True)[0]
    )


def test_a_curve_survives_json(trained, tmp_path):
    _, _, curve = trained
    curve.save(tmp_path / "curve.json")
    assert Curve.load(tmp_path / "curve.json") == curve


@pytest.mark.slow
def test_the_same_seed_trains_the_same_agent(tiny):
    def weights():
        agent, _ = train_agent(tiny, steps=64, num_dreams=4, evaluations=1, episodes=1, seed=5, device="cpu")
        return agent.policy.state_dict()

    for first, second in zip(weights().values(), weights().values(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)


def test_an_agent_of_other_latents_is_refused(tiny, shipped, trained, tmp_path):
    _, path, _ = trained
    with pytest.raises(BadInputError, match="reads observations of shape"):
        load_agent(path, shipped)
    agent = PPO("MlpPolicy", DreamVecEnv(tiny, 2), n_steps=2, batch_size=4, device="cpu")
    save_agent(agent, tmp_path / "other.safetensors", tiny)
    from dataclasses import replace

    from nova_gym.model.world_model import WorldModel

    with pytest.raises(BadInputError, match="another dream"):
        load_agent(tmp_path / "other.safetensors", replace(tiny, world_model=WorldModel(tiny.world_model.config)))


@pytest.mark.slow
def test_one_agent_learns_for_several_levels_and_acts_in_another_size(tiny, tmp_path):
    """The features know no size, and the file keeps working at its own size afterwards."""
    levels = [f"MiniGrid-SimpleCrossingS9N{walls}-v0" for walls in (1, 3)]
    path = tmp_path / "agent.safetensors"
    _, curve = train_agent(
        tiny, steps=64, num_dreams=4, output=path, evaluations=1, episodes=2, realities=levels, device="cpu"
    )
    assert set(curve.best.successes) == set(levels)
    rooms = dream_at(tiny, "MiniGrid-FourRooms-v0")
    agent = load_agent(path, rooms, device="cpu")
    report = evaluate_agent(agent, rooms, episodes=2, modes=("stochastic",))
    assert report.settings["env_id"] == "MiniGrid-FourRooms-v0"
    assert report.modes["stochastic"]["reality"]["return"].n == 2
    assert evaluate_agent(agent, tiny, episodes=2, modes=("stochastic",)).modes
    with pytest.raises(BadInputError, match="one size at a time"):
        train_agent(tiny, steps=64, realities=[levels[0], "MiniGrid-FourRooms-v0"], device="cpu")


def test_a_policy_of_one_size_is_refused_at_another(tiny):
    agent = PPO("MlpPolicy", DreamVecEnv(tiny, 2), n_steps=2, batch_size=4, device="cpu")
    with pytest.raises(BadInputError, match="observations of shape"):
        evaluate_agent(agent, dream_at(tiny, "MiniGrid-FourRooms-v0"), episodes=2)


@pytest.mark.slow
def test_evaluation_reports_both_places_modes_and_the_gap(tiny, trained):
    said = []
    report = evaluate_agent(trained[0], tiny, episodes=3, progress=lambda *news: said.append(news))
    assert said[:3] == [("playing, dream, stochastic", done, 3) for done in (1, 2, 3)]
    assert len(said) == 4 * 3
    numbers = json.loads(json.dumps(report.to_dict()))
    for mode in ("stochastic", "deterministic"):
        for place in ("dream", "reality"):
            assert numbers["modes"][mode][place]["return"]["n"] == 3
            assert 0 <= numbers["modes"][mode][place]["success"]["value"] <= 1
        dreamt, real = (report.modes[mode][place]["return"].value for place in ("dream", "reality"))
        assert report.gap[mode].value == pytest.approx(dreamt - real)
        assert report.gap[mode].low <= report.gap[mode].value <= report.gap[mode].high


def test_diagnosis_explains_the_whole_gap(tiny, trained):
    """The tiny dream is false, so it parts from reality at once; the classes' shares add up to the gap."""
    found = diagnose(trained[0], tiny, episodes=4)
    assert found.parted.value == 1.0
    assert sum(row["gap"] for row in found.by_transition().values()) == pytest.approx(found.gap.value, abs=1e-6)
    assert {(parting.step, parting.transition) for parting in found.partings} == {(0, "start")}
    json.dumps(found.to_dict())


def test_the_film_shows_both_worlds_of_the_same_start(shipped):
    frames = film(CrossEntropyPlanner(shipped, population=64, iterations=1), shipped, walks=1, scale=1)
    assert all(frame.shape == (72, 148, 3) for frame in frames)
    apart = np.abs(frames[0][:, :72].astype(float) - frames[0][:, 76:]).mean()
    assert apart < 3  # grey levels


def test_no_episodes_and_unknown_algorithms_are_refused(tiny, trained, tmp_path):
    with pytest.raises(BadInputError, match="at least 1 episode"):
        evaluate_agent(trained[0], tiny, episodes=0)
    with pytest.raises(BadInputError, match="at least 1 episode"):
        diagnose(trained[0], tiny, episodes=0)
    with pytest.raises(BadInputError, match="ppo, a2c, dqn, sac"):
        train_agent(tiny, algorithm="trpo")
    with pytest.raises(BadInputError, match="sac needs continuous actions"):
        train_agent(tiny, algorithm="sac")
    with pytest.raises(BadInputError, match="at least 1"):
        train_agent(tiny, steps=0)
    with pytest.raises(BadInputError, match="no agent 'nobody'"):
        load_agent("nobody", tiny)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(BadInputError, match="not an agent"):
        load_agent(tmp_path / "text.zip", tiny)


def test_the_shipped_agent_finds_the_goal_in_the_real_environment(shipped):
    """On 40 official starts that no training saw; `nova-gym agent eval` takes more and gives intervals."""
    agent = load_agent("minigrid-ppo", shipped, device="cpu")
    report = evaluate_agent(agent, shipped, episodes=40, modes=("stochastic",))
    assert report.modes["stochastic"]["reality"]["success"].value == 1.0
    assert abs(report.gap["stochastic"].value) < 0.005
