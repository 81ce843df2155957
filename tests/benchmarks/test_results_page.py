"""The page of results is what its command writes, from files that say what they were measured on."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest

from nova_gym.benchmarks import __main__ as listing
from nova_gym.benchmarks import sources
from nova_gym.benchmarks.provenance import MEASURED_ON, fingerprint, measured_on, write_results
from nova_gym.benchmarks.results_page import Results, Target, results_page
from nova_gym.benchmarks.results_page.__main__ import main
from nova_gym.benchmarks.tables import interval, number, short, table
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / sources.RESULTS

LEVEL = "MiniGrid-SimpleCrossingS9N1-v0"

#: A figure that the page shows, of each file: where it stands, and another value for it.
SHOWN = {
    "ablations": (("state", "figures", "moving digits", "field", "reconstruction: PSNR", "value"), 77.77),
    "agent-against-reality": (("trained in reality", "success", "value"), 0.777),
    "agent-control": (("modes", "deterministic", "reality", "success", "value"), 0.777),
    "agent-curve": ((3, "reality"), 0.777),
    **{
        f"agent-{name}": (("modes", "stochastic", "reality", "success", "value"), 0.777)
        for name in ("minigrid-ppo", "two-walls", "three-walls", "four-rooms")
    },
    "agent-pixels": (("modes", "stochastic", "reality", "success", "value"), 0.777),
    "agent-planner": (("modes", "stochastic", "reality", "success", "value"), 0.777),
    **{f"agent-seed-{n}": (("modes", "stochastic", "reality", "success", "value"), 0.777) for n in (1, 2, 3, 4)},
    "agent-training": ((-1, "seconds"), 777.0),
    "bench": (("steps per second, latents", 5, "ratio"), 7.77),
    "codebook": (("levels", LEVEL, "exact frames, codes", "10", "value"), 0.777),
    "doubt": (("doubt", "d", "wrong"), 0.777),
    "doubt-use": (("improve", 0, "agent", "reality", "success", "value"), 0.777),
    "disentanglement": (("levels", LEVEL, "random", "motion retargeting", "all", "exact, step 3", "value"), 0.777),
    "eval-minigrid": (("levels", LEVEL, "open_loop", "100", "exact", "value"), 0.777),
    "generation": (("long run", "median Wasserstein-1"), 0.777),
    "improve": (("rounds", 0, "agent", "reality", "success", "value"), 0.777),
    "paper": (("columns", "moving digits", "rows", "LAPO", "figures", "SSIM", "value"), 0.777),
    "shifted": (("levels", LEVEL, "after 100", "value"), 0.777),
    "web": (("a second", "steps", "median"), 777.0),
    "super-resolution": (("levels", LEVEL, "×8", "lead over the best filter", "weights", "psnr", "value"), 7.77),
}

#: The files that are there: of the dreams that ship now.
THERE = sorted(path.stem for path in RESULTS.glob("*.json"))


@pytest.fixture(scope="module")
def page():
    return results_page(RESULTS)


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(RESULTS, tmp_path / "results"))


def change(folder, name, keys, value):
    """Puts another value where keys lead to, in a file of figures."""
    path = folder / f"{name}.json"
    values = inner = json.loads(path.read_text())
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(values))


def test_the_committed_page_is_what_the_command_writes(page):
    written = (ROOT / "docs" / "results.md").read_text()
    assert written == page, "run `python -m nova_gym.benchmarks.results_page`: docs/results.md is not of these files"


def test_every_file_of_figures_is_on_the_page_with_its_command(page):
    assert set(THERE) <= set(sources.SOURCES) == set(SHOWN)
    for name in THERE:
        assert f"`{sources.command_of(name)}`: [{name}.json](../{sources.file_of(name)}), measured on " in page


@pytest.mark.parametrize("name", THERE)
def test_a_changed_figure_changes_the_page(name, folder, page):
    change(folder, name, *SHOWN[name])
    before, after = page.splitlines(), results_page(folder).splitlines()
    changed = [line for line in after if line not in before]
    assert changed
    assert all(re.search("77+|7\\.7", line) for line in changed)  # the new figure, and what is reckoned from it


def test_a_figure_that_falls_below_its_target_is_marked(folder, page):
    assert "| SimpleCrossingS9N1 | 1.000 [" in page
    change(folder, "eval-minigrid", ("levels", LEVEL, "open_loop", "1", "exact", "value"), 0.9)
    assert "| SimpleCrossingS9N1 | **missed:** 0.900 [" in results_page(folder)


def test_only_levels_that_the_agent_trained_for_have_a_target(folder):
    for name in ("agent-three-walls", "agent-four-rooms"):
        change(folder, name, ("modes", "stochastic", "reality", "success", "value"), 0.5)
    page = results_page(folder)
    assert "| MiniGrid-SimpleCrossingS9N3-v0 | actions sampled | ≥ 0.98 | **missed:** 0.500" in page
    assert "| MiniGrid-FourRooms-v0 | actions sampled | – | 0.500" in page


@pytest.mark.parametrize("name", THERE)
def test_a_missing_file_is_named_with_the_command_that_makes_it(name, folder):
    (folder / f"{name}.json").unlink()
    page = results_page(folder)
    assert f"Not measured on the dreams that ship now. {name}.json cannot be read" in page
    assert sources.command_of(name) in page


def test_what_is_not_json_or_lacks_a_figure_is_named_too(folder):
    with pytest.raises(BadInputError, match=r"generation\.json holds no 'long run → nothing'.*generation --json"):
        Results(folder).at("generation", "long run", "nothing")
    (folder / "codebook.json").write_text("{")
    with pytest.raises(BadInputError, match=r"codebook\.json is not JSON"):
        results_page(folder)


def test_the_command_writes_the_page_or_says_in_a_line_why_not(folder, tmp_path, monkeypatch, capsys, page):
    target = tmp_path / "docs" / "page.md"
    command = ["results_page", "--output", str(target), "--results", str(folder)]
    monkeypatch.setattr("sys.argv", command)
    main()
    assert target.read_text() == page
    (folder / "codebook.json").write_text("{")
    with pytest.raises(SystemExit):
        main()
    assert "benchmarks.codebook --json" in capsys.readouterr().err
    assert target.read_text() == page  # what was there is untouched


def test_the_page_says_what_a_file_says_of_itself(folder, tiny, tmp_path):
    own = tmp_path / "own.safetensors"
    tiny.save(own)
    change(folder, "codebook", (MEASURED_ON,), measured_on("minigrid"))
    change(folder, "disentanglement", (MEASURED_ON,), measured_on(own))
    results = Results(folder)
    assert "measured on the dream `minigrid` that ships, on " in results.source("codebook")
    assert "measured on a dream `own` whose tensors have" in results.source("disentanglement")
    assert "not one that ships" in results.source("disentanglement")
    assert measured_on(None)["date"] in results.source("codebook")


def test_figures_of_doubt_are_old_once_the_doubt_is_another(folder, tmp_path):
    again, own = "to be measured again", tmp_path / "own.safetensors"
    note = measured_on("minigrid", doubts=True)

    def said(name, **dream):
        change(folder, name, (MEASURED_ON,), {**note, "dream": {**note["dream"], **dream}})
        return Results(folder).source(name)

    assert again not in said("doubt")
    assert again in said("doubt", **{"sha256 with its doubt": "0" * 64})
    assert again in said("doubt", **{"version of doubt": 1})
    assert again not in said("codebook", **{"sha256 with its doubt": "0" * 64})
    change(folder, "doubt", (MEASURED_ON,), measured_on("minigrid"))
    assert again in Results(folder).source("doubt")
    dream = Dream.load("minigrid")
    dream.world_model.doubt.log_spread.add_(1.0)
    dream.save(own)
    assert fingerprint(own) == fingerprint("minigrid")
    assert fingerprint(own, doubts=True) != fingerprint("minigrid", doubts=True)


def test_files_of_figures_say_which_dream_and_machine(tiny, tmp_path):
    own, target = tmp_path / "own.safetensors", tmp_path / "figures.json"
    tiny.save(own)
    write_results(target, {"PSNR at ×8": 1.5}, own)
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written["PSNR at ×8"] == 1.5
    known = written[MEASURED_ON]
    assert known["dream"] == {"name": "own", "sha256 of its tensors": fingerprint(own)}
    assert known["machine"]["processor"]
    assert known["machine"]["cores"] >= 1
    assert set(known["versions"]) == {"nova-gym", "torch", "python"}
    assert target.read_text().endswith("}\n")


def test_no_benchmark_writes_figures_without_saying_what_they_are_of():
    for path in Path(listing.__file__).parent.rglob("*.py"):
        if path.parent.name == "reliability" and path.stem != "__main__":  # these write what they break
            continue
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        names |= {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
        assert path.stem == "provenance" or not names & {"write_json", "dump", "dumps"}, path


def test_a_dream_is_told_by_its_tensors_and_not_by_its_scores(tiny, tmp_path):
    first, scored, other = (tmp_path / f"{name}.safetensors" for name in ("first", "scored", "other"))
    tiny.save(first)
    loaded = Dream.load(first)
    loaded.card.scores = {"random": {"exact": 1.0}}
    loaded.save(scored)
    next(loaded.world_model.parameters()).data.add_(1.0)
    loaded.save(other)
    assert fingerprint(first) == fingerprint(scored) != fingerprint(other)


def test_targets_are_bounds_and_a_difference_is_judged_by_its_interval():
    near = {"value": 0.01, "low": -0.01, "high": 0.03}
    assert Target(0.0, 0.0).is_met(near)
    assert not Target(0.0, 0.0).is_met({**near, "low": 0.005})
    assert Target(0.97).is_met(0.97)
    assert not Target(0.97).is_met(0.9699)
    assert not Target(high=30).is_met(31)
    assert [str(t) for t in (Target(6), Target(high=0.3, unit="s"), Target(0.97, 1.03), Target(0, 0))] == [
        "≥ 6",
        "≤ 0.3 s",
        "0.97 to 1.03",
        "0",
    ]


def test_numbers_and_tables_read_the_same_everywhere():
    assert [number(-0.0001), number(-0.5), number(12345.6, ",.0f")] == ["0.000", "-0.500", "12,346"]
    assert [short(v) for v in (24993.04, 6.2384, 0.0096776, 803.0, 0)] == [
        "24,993",
        "6.238",
        "0.009678",
        "803.0",
        "0",
    ]
    assert interval({"value": 1, "low": 0.5, "high": 1}, ".1f", "dB") == "1.0 [0.5, 1.0] dB"
    assert interval(None) == "–"
    assert table(("a", "b"), [("x|y", 1)]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 |"
    padded = table(("a", "bcde"), [("wxyz", 1)], padded=True).splitlines()
    assert len({len(line) for line in padded}) == 1


def test_the_list_names_every_command_of_the_folder(capsys):
    listing.main()
    printed = capsys.readouterr().out
    folder = Path(listing.__file__).parent
    commands = [p for p in folder.rglob("*.py") if listing.is_command(ast.parse(p.read_text())) and p.parent != folder]
    names = {p.parent.name for p in commands if p.name == "__main__.py"}
    names |= {p.stem for p in folder.glob("*.py") if listing.is_command(ast.parse(p.read_text()))} - {"__main__"}
    assert len(names) > 5
    for name in names:
        (line,) = [line for line in printed.splitlines() if line.startswith(f"| {name} ")]
        assert len([cell for cell in line.strip("| ").split(" | ") if cell.strip()]) == 4
    for name in sources.SOURCES:
        assert sources.file_of(name) in printed
    for part in sources.BENCH_PARTS:
        assert f"\n| {part} " in printed


def test_a_page_that_cannot_be_written_is_said_in_a_line(folder, tmp_path, monkeypatch, capsys):
    page = tmp_path / "results" / "codebook.json" / "page.md"
    monkeypatch.setattr("sys.argv", ["results_page", "--results", str(folder), "--output", str(page)])
    with pytest.raises(SystemExit):
        main()
    assert "cannot write" in capsys.readouterr().err
