"""What was compiled is kept, and is never older than the sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="without it nothing is compiled")

from nova_gym.kernels import compiling

SOURCES = Path(compiling.__file__).parent
#: A kernel like all others: what it computes stands in other files.
KERNEL = """
import numpy as np
from nova_gym.kernels.compiling import compiled
from nova_gym.kernels.tile import STRIP, gelu_strip

@compiled(nogil=True)
def gelu(values, out):
    gelu_strip(values, 0, np.float32(0.0), out, 0)

out = np.empty(STRIP, np.float32)
gelu(np.ones(STRIP, np.float32), out)
print(out[0], sum(gelu.stats.cache_hits.values()), gelu._cache.cache_path)
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the kernels, in a package of their own that imports nothing else, with one more."""
    folder = tmp_path / "nova_gym"
    shutil.copytree(SOURCES, folder / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "__init__.py").touch()
    (folder / "kernels" / "more.py").write_text(KERNEL)
    return folder / "kernels"


def run(package, **environment):
    """GELU(1), whether kept code computed it, and the folder of such code."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    plain |= {"PYTHONPATH": str(package.parent.parent), **environment}
    command = [sys.executable, "-c", "import nova_gym.kernels.more"]
    done = subprocess.run(command, env=plain, cwd=package, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    value, hits, folder = done.stdout.strip().split(maxsplit=2)
    return float(value), hits == "1", Path(folder)


def edit(file, before, after):
    text = file.read_text()
    assert text.count(before) == 1
    stamp = file.stat()
    file.write_text(text.replace(before, after))
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 10**9))  # what Python itself goes by, in seconds


@pytest.mark.slow
def test_whoever_edits_any_source_runs_the_new_code(package):
    """None of these files is the one whose function is compiled."""
    first, kept, folder = run(package)
    assert first == pytest.approx(0.8413, abs=1e-4)
    assert not kept
    assert run(package) == (first, True, folder)
    edit(package / "gelu.py", "COEFFICIENTS = _root()", "COEFFICIENTS = (0.0, 0.0)")
    assert run(package)[:2] == (1.0, False)
    edit(package / "tile.py", "return builder.fsub(positive_part(builder, x),", "return builder.fsub(constant(2.0),")
    assert run(package)[:2] == (2.0, False)
    assert run(package)[:2] == (2.0, True)
    codes = [file.name for file in folder.glob("more.gelu*.nbc")]
    assert len(codes) == 1, codes  # what older sources left is gone


def test_every_source_counts(package):
    stamps = {compiling.stamp_of(package)}
    for file in sorted(package.glob("*.py")):
        file.write_text(file.read_text() + "#\n")
        stamps.add(compiling.stamp_of(package))
    (package / "another.py").touch()
    stamps.add(compiling.stamp_of(package))
    assert len(stamps) == len(list(package.glob("*.py"))) + 1
    (package / "notes.txt").touch()
    assert compiling.stamp_of(package) in stamps


def test_sources_that_change_under_a_process_leave_nothing_behind(monkeypatch):
    """What it runs is not what its stamp would say to the next process that has it."""
    monkeypatch.setattr(compiling, "stamp_of", lambda folder: "newer")
    function = compiling.compiled(nogil=True)(lambda x: x + 1)
    assert function(1) == 2
    assert function._cache.cache_path is None


def test_the_folder_is_the_users_to_choose_and_spoilt_files_are_made_anew(package, tmp_path):
    chosen = {"NUMBA_CACHE_DIR": str(tmp_path / "chosen")}
    value, _, folder = run(package, **chosen)
    assert folder.parent == tmp_path / "chosen"
    assert run(package, **chosen) == (value, True, folder)
    for file in folder.glob("*.nb*"):
        file.write_bytes(file.read_bytes()[:50])  # as a power failure leaves them
    assert run(package, **chosen) == (value, False, folder)
    assert run(package, **chosen) == (value, True, folder)


def test_an_installation_that_cannot_be_written_to_keeps_code_in_the_users_own_folder(package, tmp_path):
    (package / "__pycache__").touch()  # so that no folder can be made there
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "mine"), "PYTHONDONTWRITEBYTECODE": "1"}
    _, _, folder = run(package, **home)
    assert (tmp_path / "mine") in folder.parents
    assert run(package, **home)[1]
