"""`nova-gym record` with environments, wrappers and policies of one's own."""

import json

import gymnasium as gym
import minari
import numpy as np
import pytest
from stable_baselines3 import PPO
from typer.testing import CliRunner

from nova_gym.agents.saving import shipped_agents
from nova_gym.cli import app

MODULE = """
import gymnasium as gym
import numpy as np


class Dial(gym.Env):
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None, steps=4):
        self.render_mode, self.steps = render_mode, steps
        self.action_space, self.observation_space = gym.spaces.Discrete(3), gym.spaces.Box(0, 99, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.full(1, self.time, np.float32), float(action), self.time == self.steps, False, {}

    def render(self):
        return np.full((16, 32), 10 * self.time, np.uint8)


class Double(gym.RewardWrapper):
    def __init__(self, env, by=2):
        super().__init__(env)
        self.by = by

    def reward(self, reward):
        return self.by * reward


def two(observation, env):
    return 2
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a module of one's own; names of datasets are free again afterwards."""
    (tmp_path / "dials.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in minari.list_local_datasets():
        if name.startswith("dials/"):
            minari.delete_dataset(name)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_module_of_one_s_own_brings_environment_wrapper_and_policy(here):
    result = run(
        "record", "dials:Dial", "--name", "dials/own-v0", "--transitions", 12, "--env-kwargs", '{"steps": 6}',
        "--wrapper", 'dials:Double {"by": 5}', "--policy", "dials:two",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    dataset = minari.load_dataset("dials/own-v0")
    for episode in dataset.iterate_episodes():
        assert episode.rewards.tolist() == [10.0] * 6
        assert episode.observations[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50, 60]
    spec = json.loads(dataset.storage.metadata["nova_gym"])["reality"]
    assert spec["env_kwargs"] == {"steps": 6}
    assert spec["wrappers"] == ['dials:Double {"by": 5}']
    assert "frames of 16×32" in result.output
    assert "warning: never taken: 0, 1;" in result.output


def test_an_sb3_agent_acts_on_what_the_environment_observes(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    from dials import Dial

    agent = PPO("MlpPolicy", Dial(), n_steps=8, batch_size=8, device="cpu")
    agent.policy.action_net.bias.data[1] = 100.0
    agent.save(here / "agent.zip")
    result = run("record", "dials:Dial", "--name", "dials/agent-v0", "--transitions", 8, "--policy", "agent.zip")
    assert result.exit_code == 0, result.output
    actions = np.concatenate([episode.actions for episode in minari.load_dataset("dials/agent-v0").iterate_episodes()])
    assert (actions == 1).all()
    wrong = run("record", "CartPole-v1", "--name", "dials/wrong-v0", "--transitions", 8, "--policy", "agent.zip")
    assert wrong.exit_code == 2
    assert "the agent's observation space is" in wrong.stderr


def test_an_agent_of_a_dream_acts_in_its_reality(here):
    agent = next(iter(shipped_agents().values()))
    words = "record", "MiniGrid-SimpleCrossingS9N1-v0", "--name", "dials/dreamt-v0", "--transitions", 60
    alone = run(*words, "--policy", agent)
    assert alone.exit_code == 2
    assert "--dream FILE" in alone.stderr
    assert run(*words, "--policy", agent, "--dream", "minigrid").exit_code == 0
    ends = [episode.rewards[-1] > 0 for episode in minari.load_dataset("dials/dreamt-v0").iterate_episodes()]
    assert len(ends) > 2
    assert all(ends[:-1])  # the last one is cut; random actions reach the goal in 1 of 500 steps


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--env-kwargs", "steps=6"), "no JSON"),
        (("--env-kwargs", "[6]"), "a JSON object"),
        (("--size", "big"), "64x96"),
        (("--size", "20x32"), "16x32 or 24x32, not 20x32"),
        (("--policy", "dials:three"), "no attribute 'three'"),
        (("--policy", "none.zip"), "not an agent saved by Stable-Baselines3"),
        (("--random", "0.5"), "needs --policy"),
        (("--dream", "minigrid"), "goes with --policy"),
    ],
)
def test_what_cannot_be_recorded_is_one_line(here, words, said):
    result = run("record", "dials:Dial", "--name", "dials/no-v0", "--transitions", 5, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "dials/no-v0" not in minari.list_local_datasets()


def test_the_registry_is_left_alone(here):
    before = set(gym.registry)
    assert run("record", "dials:Dial", "--name", "dials/own-v0", "--transitions", 4).exit_code == 0
    assert set(gym.registry) == before
