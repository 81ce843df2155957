"""One command from an environment of one's own to a dream, an agent and a report; interrupted, it goes on."""

import json
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

import nova_gym
from nova_gym import Dream
from nova_gym.agents import dreaming, load_agent
from nova_gym.agents.journal import SHARES, Journal, Plan
from nova_gym.cli import app
from nova_gym.envs import RealitySpec
from nova_gym.errors import BadInputError

MODULE = """
import gymnasium as gym
import numpy as np

class Lift(gym.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, render_mode=None, space=None):
        self.render_mode, self.action_space = render_mode, space or gym.spaces.Discrete(2, start=1)
        self.observation_space = gym.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.time = int(self.np_random.integers(0, 2)), 0
        return self.at, {}

    def step(self, action):
        self.at = int(np.clip(self.at + (1 if float(np.ravel(action)[0]) > 1 else -1), 0, 3))
        self.time += 1
        return self.at, float(self.at == 3), self.at == 3, self.time == 12, {}

    def render(self):
        frame = np.full((32, 16, 3), 40, np.uint8)
        frame[24 - 8 * self.at : 32 - 8 * self.at, 4:12] = 250
        return frame
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that one is in, with a module in it."""
    (tmp_path / "lift.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run(*more):
    options = ("lift:Lift", "-o", "my.safetensors", "--minutes", 0.02, "--preset", "tiny", "--transitions", 150)
    return CliRunner().invoke(app, ["dream", *map(str, options), "--device", "cpu", *more])


def test_from_an_environment_to_a_report_with_an_interruption(folder, monkeypatch):
    learn = dreaming.train_agent

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(dreaming, "train_agent", stop)
    stopped = run()
    assert stopped.exit_code == 130, stopped.output
    assert "--resume" in stopped.output
    assert list(json.loads(Path("my.dream/journal.json").read_text())["steps"]) == ["record", "train"]
    assert run().exit_code == 2  # it would be overwritten
    assert "differs in seed" in run("--resume", "--seed", "3").output

    monkeypatch.setattr(dreaming, "train_agent", learn)
    monkeypatch.setattr(dreaming, "train", None)  # what is done is not done again
    done = run("--resume")
    assert done.exit_code == 0, done.output
    assert "Report: my.md" in done.output
    steps = json.loads(Path("my.dream/journal.json").read_text())["steps"]
    assert set(steps) <= set(SHARES)
    assert steps["record"]["transitions"] >= 150
    assert steps.get("record more", {}).get("transitions", 0) <= 20_000
    dream = Dream.load("my.safetensors")
    assert dream.card.scores["agent"]["modes"]["stochastic"]["reality"]["return"]["n"] >= 8
    assert 0 <= dream.card.scores["random play"]["return"]["value"] <= 1
    load_agent("my.policy.safetensors", dream)
    assert dream.card.horizon == 12  # which the environment itself does not say
    report = Path("my.md").read_text()
    sections = ["What was recorded", "What suits it", "The agent", "How true the dream is", "Pictures", "Time"]
    assert re.findall("^## (.*)$", report, re.MULTILINE) == sections
    assert "| random play | reality |" in report
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", report):
        assert Path(picture).stat().st_size > 100
    assert run("--resume").exit_code == 0
    assert json.loads(Path("my.dream/journal.json").read_text())["steps"] == steps


@pytest.mark.slow
def test_from_python_continuous_and_without_a_file(folder):
    from lift import Lift

    push = gym.spaces.Box(0.0, 2.0, (1,), np.float32)
    said = []
    make = lambda: Lift("rgb_array", push)  # noqa: E731  it cannot be imported by name
    dream = nova_gym.dream_of(make, 0.02, preset="tiny", transitions=120, device="cpu", say=said.append)
    assert dream.card.scores["agent"]["modes"].keys() == {"deterministic"}
    assert not dream.world_model.config.discrete
    assert any("in reality" in line for line in said)
    assert [path.name for path in folder.iterdir() if path.name not in ("lift.py", "__pycache__")] == []


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"output": "my.zip"}, "safetensors"),
        ({"minutes": 0}, "minutes"),
        ({"transitions": 0}, "transition"),
        ({"preset": "large"}, "unknown preset"),
        ({"resume": True}, "output"),
    ],
)
def test_nonsense_is_refused_before_anything_is_recorded(folder, wrong, word):
    with pytest.raises(BadInputError, match=word):
        nova_gym.dream_of("lift:Lift", **wrong)
    assert not list(folder.glob("*my*"))


def test_steps_share_the_time_that_is_left(tmp_path):
    journal = Journal(tmp_path / "journal.json", Plan(RealitySpec("x"), minutes=10.0))
    assert journal.seconds_for("record") == pytest.approx(600 * SHARES["record"] / sum(SHARES.values()))
    journal.take("record", lambda seconds: {})
    journal.steps["record"]["seconds"] = 300.0  # much longer than it should have been
    left = sum(share for name, share in SHARES.items() if name != "record")
    assert journal.seconds_for("train") == pytest.approx(300 * SHARES["train"] / left)
    for name in SHARES:
        journal.steps.setdefault(name, {"seconds": 0.0})
    del journal.steps["report"]
    assert journal.seconds_for("report") == pytest.approx(300.0)
    journal.write()
    again = Journal(journal.path, journal.plan)
    again.read()
    assert again.steps == journal.steps
