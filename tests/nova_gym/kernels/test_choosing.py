"""One place chooses the kernels. A compiler that is broken in any way is one warning with its cause, and no more."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from nova_gym import kernels

#: Trains a pixel, draws and steps, and tells the warnings of this package: their texts, then their kinds.
WORK = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import torch
    from nova_gym import Dream, DreamSimulator
    simulator = DreamSimulator(Dream.load("minigrid"), 2)
    simulator.reset(generator=torch.Generator())
    simulator.step(torch.tensor([2, 2]))
    simulator.render()
    simulator.dream.world_model.draw(simulator.state).sum()
print(*(str(warning.message) for warning in told if "nova-gym" in str(warning.message)), sep="\\n")
print(*(type(warning.message).__name__ for warning in told if "nova-gym" in str(warning.message)), sep="\\n")
"""


def warnings_of(**environment):
    run = subprocess.run(
        [sys.executable, "-c", WORK], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split("\n")[:-1]


def test_a_broken_numba_is_one_warning_with_its_cause_and_nothing_needs_it(tmp_path):
    """As one that was made for another NumPy: it raises what nobody expects of an import."""
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise SystemError('initialization of _internal failed')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    message, category = warnings_of(PYTHONPATH=path)
    assert category == "RuntimeWarning"
    assert message.startswith("Numba cannot be used, so that nova-gym computes with PyTorch alone")
    assert message.endswith("SystemError: initialization of _internal failed")


@pytest.fixture
def find(monkeypatch):
    """`kernels.find` of a process that has not looked for any yet."""
    monkeypatch.setattr(kernels, "_warned", set())
    return kernels.find.__wrapped__


@pytest.mark.parametrize("fails", ["import", "compile"])
@pytest.mark.parametrize(
    "cause", [ModuleNotFoundError("No module named 'numba'"), OSError("no libLLVM"), AttributeError("_cache")]
)
def test_all_kernels_together_warn_once_whatever_is_broken(find, monkeypatch, fails, cause):
    """Importing a compiler says nothing of whether it compiles: each kernel is tried on the smallest example."""

    def broken(*_):
        raise cause

    module = SimpleNamespace(probe=broken)
    monkeypatch.setattr(kernels.importlib, "import_module", broken if fails == "import" else lambda name: module)
    said = f"Numba cannot be used.*{type(cause).__name__}: {cause}"
    with pytest.warns(RuntimeWarning, match=said) as told:
        assert [find(kernel, "cpu") for kernel in ("render", "points", "step")] == [None] * 3
    assert len(told) == 1


def test_numba_that_is_told_not_to_compile_is_one_warning(find, monkeypatch):
    compiling = pytest.importorskip("nova_gym.kernels.compiling")
    monkeypatch.setattr(compiling.config, "DISABLE_JIT", True)
    monkeypatch.delitem(sys.modules, "nova_gym.kernels.render", raising=False)
    with pytest.warns(RuntimeWarning, match="NUMBA_DISABLE_JIT is set"):
        assert find("render", "cpu") is None


def test_a_missing_triton_is_one_warning_on_cuda(find, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "nova_gym.kernels.render_cuda", raising=False)
    with pytest.warns(RuntimeWarning, match="Triton cannot be used.*triton"):
        assert find("render", "cuda") is None


def test_where_numba_works_nothing_is_said_and_all_kernels_are_there(find, recwarn):
    pytest.importorskip("numba")
    for mode in (torch.no_grad, torch.inference_mode):  # whatever the caller is in the middle of
        with mode():
            assert all(find(kernel, "cpu") for kernel in ("render", "points", "step"))
    assert not recwarn


def test_what_has_no_kernel_has_none_silently(recwarn):
    assert [kernels.find(*pair) for pair in (("render", "mps"), ("points", "cuda"), ("step", "meta"))] == [None] * 3
    assert not recwarn
