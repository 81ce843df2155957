import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imported_with(module):
    code = f"import sys, {module}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_core_imports_no_environment_agent_or_window():
    modules = imported_with("nova_gym")
    assert not modules & {"nova_gym.envs", "nova_gym.agents", "stable_baselines3", "pygame", "minigrid", "minari"}


def test_dreams_and_type_hints_are_part_of_the_package():
    files = {path.name for path in resources.files("nova_gym").iterdir()}
    assert "py.typed" in files
    assert "minigrid.safetensors" in {path.name for path in (resources.files("nova_gym") / "dreams").iterdir()}


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_every_example_runs(example, tmp_path):
    subprocess.run([sys.executable, example], cwd=tmp_path, check=True, timeout=120)
