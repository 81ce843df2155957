import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest

from nova_gym import __version__

ROOT = Path(__file__).parent.parent


def imported_with(module):
    code = f"import sys, {module}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_core_imports_no_environment_agent_or_window():
    modules = imported_with("nova_gym")
    assert not modules & {"nova_gym.envs", "nova_gym.agents", "stable_baselines3", "pygame", "minigrid", "minari"}


@pytest.mark.parametrize(
    ("chosen", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_how_pytorchs_idle_threads_wait_is_the_users_to_choose(chosen, spins):
    others = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = "import os, nova_gym; print(os.environ.get('GOMP_SPINCOUNT'))"
    run = subprocess.run([sys.executable, "-c", code], env=others | chosen, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == spins


def test_dreams_and_type_hints_are_part_of_the_package():
    files = {path.name for path in resources.files("nova_gym").iterdir()}
    assert "py.typed" in files
    assert "minigrid.safetensors" in {path.name for path in (resources.files("nova_gym") / "dreams").iterdir()}


def test_setup_cfg_says_the_lowest_version_of_all_that_it_asks_for():
    run = subprocess.run([sys.executable, ROOT / "tools" / "lowest.py"], capture_output=True, text=True, check=True)
    lines = run.stdout.split()
    assert "numpy==2.0" in lines  # what the shipped agent's file names is not in NumPy 1
    assert all(re.fullmatch(r"[\w-]+==[\d.]+(\.\*)?", line) for line in lines)


def test_a_wheel_holds_all_packages_the_dream_and_the_type_marker(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "runs", "demo"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    subprocess.run([*command, source], check=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    wanted = ["py.typed", "dreams/minigrid.safetensors", "envs/dream_env.py", "agents/__init__.py", "training/loop.py"]
    wanted += ["benchmarks/ablations/__main__.py", "web/page.html"]
    assert {f"nova_gym/{name}" for name in wanted} <= names
    assert {name.split("/")[0] for name in names} == {"nova_gym", f"nova_gym-{__version__}.dist-info"}


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, marks=pytest.mark.slow if path.name == "dream_your_own.py" else ())
        for path in sorted((ROOT / "examples").glob("*.py"))
    ],
    ids=lambda path: path.name,
)
def test_every_example_runs(example, tmp_path):
    subprocess.run([sys.executable, example], cwd=tmp_path, check=True, timeout=120)
