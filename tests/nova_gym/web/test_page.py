"""What the exporter writes, and what it refuses; and that its page is the one that the sources in `web/` make."""

import importlib.util
import json
import shutil
import subprocess
import tempfile
import webbrowser
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nova_gym import BadInputError
from nova_gym.agents import DreamVecEnv, load_agent, make_agent, portable_policy
from nova_gym.cli import app
from nova_gym.dream import Dream
from nova_gym.web import level_of, page, write_page

ROOT = Path(__file__).parents[3]
needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="there is no node here: apt-get install nodejs npm"
)


def export(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_export_writes_one_file_that_asks_for_no_other(tmp_path):
    file = tmp_path / "dream.html"
    made = export("minigrid", "-o", file, "--reality", "MiniGrid-FourRooms-v0")
    assert made.exit_code == 0, made.output
    text = file.read_text()
    assert len(text) < 1.5 * 2**20
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    card = json.loads(text.split('<script id="card" type="application/json">')[1].split("</script>")[0])
    assert [level["cells"] for level in card["levels"]] == [[9, 9], [19, 19]]
    assert card["policy"]["features"] == "FieldFeatures"  # the shipped agent is for this dream


def test_export_replaces_a_file_only_where_that_is_asked_for(tmp_path, shipped):
    file = tmp_path / "dream.html"
    file.write_text("mine")
    refused = export("minigrid", "-o", file)
    assert refused.exit_code == 2
    assert refused.stderr == f"nova-gym: {file} exists; --overwrite replaces it\n"
    assert file.read_text() == "mine"
    assert write_page(file, shipped, [level_of(shipped)], overwrite=True) == file.stat().st_size


@pytest.mark.parametrize("name", ["dream", "dream.txt", ""])
def test_a_page_is_named_as_one(name, shipped, tmp_path):
    with pytest.raises(BadInputError, match=r"ends in .html or .htm"):
        write_page(tmp_path / name, shipped, [level_of(shipped)], overwrite=True)
    (tmp_path / "x.html").mkdir()
    with pytest.raises(BadInputError, match="is a folder"):
        write_page(tmp_path / "x.html", shipped, [level_of(shipped)], overwrite=True)


def test_the_page_of_ones_own_dream_is_named_after_its_environment(tiny, tmp_path):
    tiny.save(tmp_path / "dream.safetensors")
    made = export(tmp_path / "dream.safetensors", "-o", tmp_path / "x.html")
    assert made.exit_code == 0, made.output
    assert '"name":"MiniGrid-SimpleCrossingS9N1"' in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize(
    "asked", [("nothing",), ("digits", "--agent", "minigrid-ppo"), ("minigrid", "--reality", "Pong")]
)
def test_what_cannot_be_exported_is_told_in_one_line(asked, tmp_path):
    refused = export(*asked, "-o", tmp_path / "x.html")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("nova-gym: ")
    assert refused.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_dream_too_large_for_one_page_is_refused(monkeypatch, tmp_path, shipped):
    monkeypatch.setattr(page, "LARGEST", 2**17)
    with pytest.raises(BadInputError, match=r"too large for one page: it would have 0 MiB"):
        write_page(tmp_path / "x.html", shipped, [level_of(shipped)])
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadInputError, match="no starts"):
        level_of(Dream(shipped.world_model, {}, shipped.card))


def test_web_writes_the_page_and_opens_it(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = CliRunner().invoke(app, ["web", "minigrid", "--reality", "MiniGrid-SimpleCrossingS9N1-v0"])
    (page,) = tmp_path.rglob("minigrid.html")
    assert made.exit_code == 0, made.output
    assert opened == [page.as_uri()]
    assert f"{page}: no browser was found here" in made.stdout


def test_numbers_are_halved_only_where_that_loses_nothing():
    third = torch.tensor([1 / 3])
    places, numbers = page._in_one_piece({"exact": torch.tensor([0.5, 2.0, -1.0]), "not": third})
    assert (places["exact"]["dtype"], places["not"]["dtype"]) == ("float16", "float32")
    assert numbers[places["not"]["offset"] :] == third.numpy().tobytes()


def test_agents_that_a_page_cannot_run_are_refused(shipped):
    pixels, latents = (DreamVecEnv(shipped, 2, observation=kind, device="cpu") for kind in ("pixels", "latent"))
    with pytest.raises(BadInputError, match="PatchCNN"):
        portable_policy(make_agent("ppo", pixels, "pixels", device="cpu"), shipped)
    with pytest.raises(BadInputError, match="DQN agents cannot drive"):
        portable_policy(make_agent("dqn", latents, device="cpu"), shipped)
    assert portable_policy(load_agent("minigrid-ppo", shipped, "cpu"), shipped).card["layers"]


def test_the_reference_numbers_are_those_of_python():
    spec = importlib.util.spec_from_file_location("web_numbers", ROOT / "tools" / "web_numbers.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    kept, made = json.loads(tool.FILE.read_text()), json.loads(tool.text())
    for name in made:
        assert kept[name]["actions"] == made[name]["actions"]
        for before, now in zip(kept[name]["trace"], made[name]["trace"], strict=True):
            assert before["state"] == pytest.approx(now["state"], abs=1e-4)
            assert before["reward"] == pytest.approx(now["reward"], abs=1e-4)


@needs_node
def test_javascript_steps_as_python_does():
    run = subprocess.run(["npm", "test", "--prefix", "web"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@needs_node
@pytest.mark.skipif(not (ROOT / "web/node_modules").exists(), reason="esbuild is not here: npm ci --prefix web")
def test_the_page_is_what_its_sources_make():
    run = subprocess.run(["node", "build.mjs", "--check"], cwd=ROOT / "web", capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
