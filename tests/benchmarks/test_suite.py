"""The suite does each part once, scores rows by their references, and the page shows what there is."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import pytest

from nova_gym.agents.evaluation import AgentReport
from nova_gym.benchmarks.results_page import results_page
from nova_gym.benchmarks.results_page.reading import Results
from nova_gym.benchmarks.results_page.suite import section
from nova_gym.benchmarks.sources import RESULTS
from nova_gym.benchmarks.suite import PARTS, ROWS, Settings, run_part, runner, write_row
from nova_gym.benchmarks.suite.__main__ import main
from nova_gym.benchmarks.suite.memory import MEMORY, OLDER_MEMORY
from nova_gym.benchmarks.suite.references import best_return, random_score, taught
from nova_gym.benchmarks.suite.rows import MEASURES, Teacher
from nova_gym.benchmarks.suite.runner import score_anew
from nova_gym.benchmarks.suite.scores import score_of, scored
from nova_gym.envs import find_reality, reality_spec
from nova_gym.errors import BadInputError
from nova_gym.measures.intervals import Estimate

ROW = ROWS["frozen-lake"]
ROOT = Path(__file__).parent.parent.parent


def figure(value, spread=0.0):
    return {"value": value, "low": value - spread, "high": value + spread, "n": 100}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """All parts of a row, done in seconds: nothing is true."""
    folder = tmp_path_factory.mktemp("suite")
    settings = Settings(
        0.05,
        folder / "work",
        folder / "results",
        folder / "docs" / "suite",
        episodes=4,
        preset="tiny",
        transitions=300,
        agent_steps=64,
    )
    for part in settings.parts:
        run_part(ROW, part, settings)
    write_row(ROW, settings)
    return settings


def test_every_part_leaves_its_figures_time_and_memory(settings):
    found = json.loads((settings.results / "frozen-lake.json").read_text())
    assert found["environment"] == "FrozenLake-v1"
    assert found["record"]["transitions"] >= 300
    assert found["train"]["preset"] == "tiny"
    assert found["open-loop"]["whole episodes"]["endings"]["near"]["n"] == 4
    assert found["agent"]["algorithm"] == "ppo"
    assert 4 <= found["scores"]["dream alone"]["reality"]["return"]["n"] <= 40  # more where episodes are short
    assert set(found["parts"]) == set(settings.parts) == set(PARTS) - {"improve"}
    assert all(part["seconds"] > 0 and 50 < part[MEMORY] < 5_000 for part in found["parts"].values())
    assert found["measured on"]["dream"]["name"] == "dream"
    assert (settings.pictures / "frozen-lake.png").stat().st_size > 100


_MEMORY = """
import sys, time
import numpy as np
from nova_gym.benchmarks.suite.memory import watched_memory

with watched_memory() as peak:
    found = [peak.megabytes]
    assert not np.memmap(sys.argv[1], mode="r").any()  # every page of it is read
    time.sleep(0.5)
    found.append(peak.megabytes)
    held = np.ones(200_000_000, np.uint8)
    time.sleep(0.5)
    del held
print(*found, peak.megabytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere files cannot be told apart")
def test_memory_is_what_a_process_needs_without_files_that_it_maps(tmp_path):
    file = tmp_path / "mapped"
    file.write_bytes(bytes(200_000_000))
    said = subprocess.run([sys.executable, "-c", _MEMORY, str(file)], capture_output=True, text=True, check=True).stdout
    before, mapped, most = map(float, said.split())
    assert mapped < before + 100
    assert before + 150 < most < before + 300


@pytest.mark.parametrize(("length", "episodes"), [(500, [100]), (150, [100, 133]), (10, [100, 1000])])
def test_agents_are_tested_in_more_episodes_where_these_are_short(length, episodes, monkeypatch):
    asked = []

    def evaluated(agent, dream, episodes, seed, progress):
        asked.append(episodes)
        short, long = ({"length": Estimate(n, n, n, episodes)} for n in (1, length))
        return AgentReport({}, {"stochastic": {"dream": short, "reality": long}})

    monkeypatch.setattr(runner.Dream, "load", lambda file: None)
    monkeypatch.setattr(runner, "load_agent", lambda file, dream: None)
    monkeypatch.setattr(runner, "evaluate_agent", evaluated)
    runner._tested(Path("dream"), Path("agent"), Settings())
    assert asked == episodes


def test_what_is_done_is_not_done_again(settings, monkeypatch):
    monkeypatch.setitem(runner.PARTS, "train", lambda row, settings: pytest.fail("done twice"))
    before = settings.done(ROW, "train")
    assert run_part(ROW, "train", settings) == before
    with pytest.raises(BadInputError, match=r"train\.json was made with minutes 0\.05, not 10\.0: .*--restart"):
        run_part(ROW, "train", replace(settings, minutes=10.0))


def test_the_page_shows_rows_and_says_what_is_not_measured(settings, tmp_path):
    row = "| FrozenLake-v1 | chance, no walls in sight | return, as a share of the best policy's | ≥ 0.95 | ≥ 1 |"
    folder = Path(shutil.copytree(ROOT / RESULTS, tmp_path / "results"))
    shutil.rmtree(folder / "suite", ignore_errors=True)
    assert f"{row} not measured |" in results_page(folder)
    shutil.copytree(settings.results, folder / "suite")
    assert f"{row} not measured | – | not measured |" in "\n".join(section(Results(folder)))  # without references
    found = json.loads((folder / "suite" / "frozen-lake.json").read_text())
    for played in found["scores"]["dream alone"]["modes"].values():
        played["reality"]["return"] = figure(0.37)
    later = replace(settings, results=folder / "suite", minutes=30.0)
    later.figures(ROW).write_text(json.dumps(found))
    later.references(ROW).parent.mkdir()
    later.references(ROW).write_text(json.dumps({"random": {"return": figure(0.02)}, "best": 0.74}))
    score_anew(ROW, later)  # references that were measured later
    page = "\n".join(section(Results(folder)))
    assert f"{row} **missed:** 0.500 [0.500, 0.500] | 0.49 [0.49, 0.49] | 0.020 |" in page
    assert "![FrozenLake-v1: reality above, dream below](suite/frozen-lake.png)" in page
    assert "| CartPole-v1 | velocity | return | ≥ 450 | ≥ 500 | not measured |" in page


@pytest.mark.parametrize(
    ("older", "now", "said"),
    [(900.0, 2000.0, "| 2.0 GB |"), (900.0, 3400.0, "| **missed:** 3.4 GB |"), (2500.0, 2000.0, "| at most 2.5 GB |")],
)
def test_memory_that_was_counted_in_the_older_way_is_kept_and_told(settings, tmp_path, older, now, said):
    work = Path(shutil.copytree(settings.work, tmp_path / "work"))
    later = replace(settings, work=work, results=tmp_path / "results" / "suite")
    for part, name, most in (("record", OLDER_MEMORY, older), ("train", MEMORY, now)):
        file = later.folder(ROW) / f"{part}.json"
        found = json.loads(file.read_text())
        del found[MEMORY]
        file.write_text(json.dumps({**found, name: most}))
    write_row(ROW, later)
    assert said in "\n".join(section(Results(tmp_path / "results")))


def test_scores_are_told_by_the_measure_of_their_row():
    agent = {"reality": {"return": figure(0.5, 0.1), "success": figure(0.97)}}
    known = {"random": {"return": figure(0.1)}, "teacher": {"return": figure(0.9)}}
    scores = {row.measure: score_of(row, agent, known) for row in ROWS.values()}
    assert set(scores) == set(MEASURES)
    assert scores["success"]["figure"]["value"] == 0.97
    assert scores["success"]["met"] is True
    assert scores["normalised"]["figure"]["value"] == pytest.approx(0.5)
    assert scores["normalised"]["met"] is False
    best = score_of(ROWS["cliff-walking"], {"reality": {"return": figure(-13.0)}}, {**known, "best": -13.0})
    assert (best["target"], best["met"]) == (-13.0, True)
    assert score_of(ROWS["cliff-walking"], {"reality": {"return": figure(-15.0)}}, {"best": -13.0})["met"] is False
    assert score_of(ROWS["taxi"], {"reality": {"return": figure(7.8, 0.5)}}, {"best": 7.93})["met"] is True
    assert score_of(ROW, agent, {"best": 0.5})["figure"]["value"] == pytest.approx(1.0)
    assert score_of(ROWS["pendulum"], agent, None)["met"] is None


@pytest.mark.parametrize(("drawn", "mode"), [(500.0, "deterministic"), (500.5, "stochastic"), (499.0, "deterministic")])
def test_the_dream_alone_chooses_how_to_act_and_the_likeliest_actions_win_a_tie(drawn, mode):
    played = {
        "stochastic": {"dream": {"return": figure(drawn)}, "reality": {"return": figure(480.0)}},
        "deterministic": {"dream": {"return": figure(500.0)}, "reality": {"return": figure(470.0)}},
    }
    found = scored(ROWS["cart-pole"], {"modes": played}, None)
    assert found["mode"] == mode
    assert found["score"]["figure"] == found["reality"]["return"] == played[mode]["reality"]["return"]


@pytest.mark.parametrize(
    ("env_id", "kwargs", "best"),
    [
        ("FrozenLake-v1", {"is_slippery": False}, 1.0),
        ("FrozenLake-v1", {}, 0.744),  # within 100 steps
        ("CliffWalking-v1", {}, -13.0),
    ],
)
def test_the_best_policy_is_known_where_the_transitions_are(env_id, kwargs, best):
    assert best_return(gym.make(env_id, **kwargs), 100) == pytest.approx(best, abs=1e-3)


def test_references_are_played_in_reality():
    lake = find_reality(reality_spec("FrozenLake-v1", env_kwargs={"is_slippery": False}))
    assert 0 <= random_score(lake, 30)["return"]["value"] < 0.3
    obstacles = ROWS["dynamic-obstacles"]
    for env_id, views in (("CartPole-v1", ()), (obstacles.env_id, obstacles.teacher.views)):
        teacher = Teacher("ppo", 64, 2, {"n_steps": 32, "batch_size": 64}, normalised=True, views=views)
        assert taught(env_id, teacher, 2, 0)["return"]["n"] == 2


def test_unknown_rows_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["nowhere"])
    assert "unknown row 'nowhere'; there are lava-crossing" in capsys.readouterr().err
