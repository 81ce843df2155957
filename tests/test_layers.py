"""Who may import whom: whoever opens the tree sees what stands on what, and this test keeps it so."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Floors from the ground up. A module may import those of its own floor's package and of floors below it.
FLOORS = (
    ("nova_gym.errors", "nova_gym.version"),
    ("nova_gym.files", "nova_gym.hub", "nova_gym.noise", "nova_gym.pixels"),
    ("nova_gym.kernels", "nova_gym.measures", "nova_gym.pictures", "nova_gym.tensor_file", "nova_gym.terminal"),
    ("nova_gym.model", "nova_gym.data"),
    ("nova_gym.dream",),
    ("nova_gym.stepping",),
    ("nova_gym.generation",),
    ("nova_gym.canvas", "nova_gym.editing", "nova_gym.simulator"),
    ("nova_gym.export", "nova_gym.publishing", "nova_gym.web"),
    ("nova_gym",),  # what `import nova_gym` gives: only what stands on it may use the short names
    ("nova_gym.training",),
    ("nova_gym.envs",),
    ("nova_gym.agents",),
    ("nova_gym.benchmarks",),
    ("nova_gym.cli",),
    ("nova_gym.benchmarks.reliability",),  # which breaks what stands below, commands included
)
#: Libraries that only some floors may use.
LIBRARIES = {
    "gymnasium": (
        "nova_gym",
        "nova_gym.data",
        "nova_gym.envs",
        "nova_gym.agents",
        "nova_gym.benchmarks",
        "nova_gym.benchmarks.reliability",
        "nova_gym.cli",
    ),
    "huggingface_hub": ("nova_gym.hub",),
    "llvmlite": ("nova_gym.kernels",),
    "minari": (
        "nova_gym.data",
        "nova_gym.envs",
        "nova_gym.agents",
        "nova_gym.benchmarks",
        "nova_gym.benchmarks.reliability",
    ),
    "minigrid": ("nova_gym.envs",),
    "numba": ("nova_gym.kernels",),
    "pygame": ("nova_gym.envs", "nova_gym.benchmarks"),
    "stable_baselines3": (
        "nova_gym.agents",
        "nova_gym.benchmarks",
        "nova_gym.benchmarks.reliability",
        "nova_gym.cli",
    ),
    "triton": ("nova_gym.kernels",),
    "typer": ("nova_gym.terminal", "nova_gym.benchmarks", "nova_gym.benchmarks.reliability", "nova_gym.cli"),
}


def modules():
    """Names and files of all modules of the package."""
    for folder, name in (("nova_gym", "nova_gym"), *((n, f"nova_gym.{n}") for n in ("envs", "agents", "benchmarks"))):
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join((name, *(part for part in parts if part != "__init__"))), file


MODULES = dict(modules())


def imports(name, file):
    """All that a module imports at run time, wherever in it that stands; what only type checkers see is left out."""
    tree = ast.parse(file.read_text())
    unseen = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def floor(name):
    """The number of a module's floor, and the package that it is of."""
    for package in sorted((p for level in FLOORS for p in level), key=len, reverse=True):
        if name == package or (package != "nova_gym" and name.startswith(f"{package}.")):
            return next(i for i, level in enumerate(FLOORS) if package in level), package
    raise AssertionError(f"{name} is on no floor: say in FLOORS where it stands")


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    level, package = floor(name)
    for imported in imports(name, MODULES[name]):
        if imported.split(".")[0] != "nova_gym":
            allowed = LIBRARIES.get(imported.split(".")[0])
            assert allowed is None or package in allowed, f"{name} imports {imported}, which {package} does without"
            continue
        below, other = floor(imported)
        assert package == other or below < level, f"{name} imports {imported}, which stands on it or beside it"


def test_no_module_is_called_as_a_library_that_it_uses():
    libraries = {found.split(".")[0] for name, file in MODULES.items() for found in imports(name, file)}
    assert not {name.rsplit(".", 1)[1] for name in MODULES if "." in name} & (libraries - {"nova_gym"})
