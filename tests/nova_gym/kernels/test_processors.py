"""A processor with AVX-512 has two kinds of vectors, and what is promised of kernels holds with either.

The other tests run with the longer ones where there are any; here the same ones run with the shorter.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PROMISES = [
    "model/test_fields.py::test_the_kernel_agrees_with_pytorch_to_one_grey_level[cell]",
    "model/test_fields.py::test_drawing_what_changed_gives_whole_frames_to_the_bit",
    "model/test_fields.py::test_a_frame_is_drawn_alike_alone_in_a_batch_and_by_any_number_of_threads",
    "model/test_fields.py::test_the_kernel_draws_what_is_dreamt_to_one_grey_level",
    "model/test_inr.py::test_points_and_their_gradients_agree_with_pytorch[small]",
    "model/test_compiled_step.py::test_it_agrees_with_pytorch",
    "model/test_compiled_step.py::test_lost_dreams_are_lost_in_the_same_way",
    "model/test_compiled_step.py::test_what_it_remembers_changes_no_bit_of_a_step",
    "model/test_compiled_step.py::test_a_dream_knows_nothing_of_those_beside_it",
    "model/test_compiled_step.py::test_an_agent_walks_where_no_wall_is_and_everything_else_stays_to_the_bit",
]
RUN = """
import sys
import pytest
from nova_gym.kernels import tile
assert tile.LANES == 8, tile.LANES
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.slow  # all kernels are compiled once more; machines without AVX-512 hold these promises anyway
def test_all_promises_hold_without_avx512_too(request, tmp_path):
    binding = pytest.importorskip("llvmlite.binding", reason="without Numba PyTorch does it all")
    features = binding.get_host_cpu_features().flatten().split(",")
    if "+avx512f" not in features:
        pytest.skip("this processor has no AVX-512: all other tests are of the shorter vectors")
    shorter = ",".join(feature for feature in features if not feature.startswith(("+avx512", "+avx10")))
    cache = getattr(request.config, "cache", None)  # of pytest, which keeps it from one run to the next
    kept = cache.mkdir("shorter-vectors") if cache else tmp_path
    environment = {**os.environ, "NUMBA_CPU_FEATURES": shorter, "NUMBA_CACHE_DIR": str(kept)}
    command = [sys.executable, "-c", RUN, "-p", "no:cacheprovider", *(str(TESTS / name) for name in PROMISES)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
