"""Work in parts is all done, once, and nothing goes on behind the caller's back."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nova_gym.kernels.threads import in_parts


@given(st.integers(0, 60), st.integers(1, 7), st.one_of(st.none(), st.integers(1, 5)), st.integers(1, 4))
def test_parts_make_up_the_whole_and_keep_their_bounds(total, multiple, times, threads):
    done, parts = np.zeros(total, int), []
    most = times and multiple * times

    def work(start, stop):
        done[start:stop] += 1
        parts.append((start, stop))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: threads)
        in_parts(work, total, multiple, most)
    assert (done == 1).all()
    sizes = [stop - start for start, stop in sorted(parts)]
    assert all(size <= (most or total) for size in sizes)
    assert all(size % multiple == 0 for size in sizes[:-1])


@pytest.mark.parametrize("broken", [0, 3])
def test_what_fails_is_raised_when_all_threads_are_done(broken, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    running = []

    def work(start, stop):
        running.append(start)
        time.sleep(0.02)
        running.remove(start)
        if start == broken:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        in_parts(work, 4, 1, 1)
    assert not running
