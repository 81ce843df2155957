"""Fields are drawn cell by cell: at any size, without seams, only where something changed, and fast in the same way."""

import importlib
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gym import DreamSimulator, kernels
from nova_gym.kernels import compiling
from nova_gym.kernels import render as kernel
from nova_gym.model import inr
from nova_gym.model.config import INRConfig

from .fields import RANK, SMALL, renderer, smooth_field, states

CONFIGS = {
    "cell": SMALL,
    "paper": INRConfig(frequencies=6, width=12, layers=5),
    "grey": INRConfig(channels=1, frequencies=4, width=8, layers=2),
    "odd": INRConfig(channels=2, frequencies=1, width=5, layers=1),
}
GRIDS = st.tuples(st.integers(1, 4), st.integers(1, 4))
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))
SEEDS = st.integers(0, 99)


@pytest.mark.parametrize(
    "config",
    [pytest.param(each, marks=pytest.mark.slow if name == "grey" else (), id=name) for name, each in CONFIGS.items()],
)
@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(0, 3),
    grid=GRIDS,
    size=SIZES,
    blend=st.booleans(),
    masked=st.booleans(),
    scale=st.floats(0.1, 1.5),
    seed=SEEDS,
)
def test_the_kernel_agrees_with_pytorch_to_one_grey_level(config, count, grid, size, blend, masked, scale, seed):
    assert kernels.find("render", "cpu") is not None
    mask = inr.nyquist_mask(config.frequencies, 5, 9) if masked else None
    field, by = states(count, *grid, seed), renderer(config, seed, scale, mask, blend, (5, 9))
    drawn = inr.render(by, field, *size)
    assert drawn.shape == (count, config.channels, *size)
    torch.testing.assert_close(drawn, inr.render_by_layers(by, field, *size), atol=1 / 255, rtol=0)
    pictures, reference = (draw(by, field, *size, as_bytes=True) for draw in (inr.render, inr.render_by_layers))
    assert pictures.shape == (count, *size, config.channels)
    assert (pictures.int() - reference.int()).abs().max() <= 1 if count else True


def test_each_cell_is_drawn_by_its_own_network():
    by, field = renderer(), states(2, 3, 5)
    frames = inr.render_by_layers(by, field, 30, 40)  # 10 x 8 pixels a cell
    for row in range(3):
        for column in range(5):
            weights = by.base + field[:, :, row, column] @ by.basis
            alone = (
                inr.render_at_by_layers(weights, inr.coordinate_grid(10, 8), SMALL).clamp(0, 1).unflatten(2, (10, 8))
            )
            cell = frames[:, :, row * 10 : row * 10 + 10, column * 8 : column * 8 + 8]
            torch.testing.assert_close(cell, alone, atol=1e-5, rtol=0)


def test_a_field_of_one_cell_is_the_network_on_the_whole_frame():
    by, field = renderer(blend=True), states(2, 1, 1)
    weights = by.base + field[:, :, 0, 0] @ by.basis
    alone = inr.render_at_by_layers(weights, inr.coordinate_grid(20, 31), SMALL).clamp(0, 1).unflatten(2, (20, 31))
    torch.testing.assert_close(inr.render(by, field, 20, 31), alone, atol=1 / 255, rtol=0)


@pytest.mark.parametrize("draw", [inr.render, inr.render_by_layers], ids=["kernel", "plain"])
@pytest.mark.parametrize("cell", [(8, 8), (1, 1), (5, 9)])
def test_blending_leaves_frames_of_the_training_size_as_they_are(draw, cell):
    field, size = states(2, 3, 4), (3 * cell[0], 4 * cell[1])
    plain, blended = (draw(renderer(blend=blend, cell=cell), field, *size) for blend in (False, True))
    assert torch.equal(plain, blended)


def test_a_strip_between_two_cells_goes_from_one_to_the_other():
    """Two cells of one colour each, 0 and 1, of 4 training pixels: the strip is a quarter of a cell wide."""
    config = INRConfig(channels=1, frequencies=0, width=1, layers=1)
    only_the_last_bias = torch.eye(5)[-1:]
    by = inr.Renderer(torch.zeros(5), only_the_last_bias, config, None, (4, 4), True)
    field = torch.tensor([-0.5, 0.5]).view(1, 1, 1, 2)
    line = inr.render(by, field, 1, 32)[0, 0, 0]
    expected = torch.tensor([0.0] * 14 + [0.125, 0.375, 0.625, 0.875] + [1.0] * 14)
    torch.testing.assert_close(line, expected, atol=1e-6, rtol=0)
    assert inr.render(by, field, 1, 9)[0, 0, 0, 4] == 0.5  # a pixel on the border itself


def test_no_seam_shows_where_a_field_is_smooth():
    """Across the borders of cells neighbouring pixels differ as much as within cells."""
    by, field = smooth_field()

    def largest_steps(by):
        frame = inr.render(by, field, 1024, 1024)[0]
        steps = (
            (frame[:, :, 1:] - frame[:, :, :-1]).abs().amax((0, 1)),
            (frame[:, 1:] - frame[:, :-1]).abs().amax((0, 2)),
        )
        near = torch.zeros(1023, dtype=torch.bool)
        for border in (1024 / 3, 2048 / 3):  # the strip is an eighth of a cell wide, or 43 pixels
            near[round(border) - 22 : round(border) + 22] = True
        return max(step[near].max() for step in steps), max(step[~near].max() for step in steps)

    across, within = largest_steps(by)
    assert across <= 1.25 * within
    across, within = largest_steps(by._replace(blend=False))
    assert across > 5 * within


@settings(max_examples=25, deadline=None)
@given(GRIDS, SIZES, st.booleans(), st.booleans(), st.booleans(), SEEDS)
def test_drawing_what_changed_gives_whole_frames_to_the_bit(grid, size, blend, as_bytes, fused, seed):
    by, before, after = renderer(blend=blend), states(2, *grid, seed), states(2, *grid, seed + 100)
    changed = torch.rand(2, *grid, generator=torch.Generator().manual_seed(seed)) < 0.3
    after = torch.where(changed[:, None], after, before)
    with pytest.MonkeyPatch.context() as patch:
        if not fused:
            patch.setattr(kernels, "find", lambda kernel, device: None)
        frames = inr.render(by, before, *size, as_bytes)
        assert inr.render(by, after, *size, as_bytes, frames, changed) is frames
        assert torch.equal(frames, inr.render(by, after, *size, as_bytes))


@pytest.mark.parametrize("fused", [True, False])
def test_where_nothing_changed_nothing_is_drawn(fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(kernels, "find", lambda kernel, device: None)
    by, field, changed = renderer(), states(1, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool)
    changed[0, 1, 1] = True
    frames = torch.full((1, 24, 24, 3), 77, dtype=torch.uint8)
    inr.render(by, field, 24, 24, True, frames, changed)
    cell = inr.render(by, field, 24, 24, True)[:, 8:16, 8:16]
    assert torch.equal(frames[:, 8:16, 8:16], cell)
    frames[:, 8:16, 8:16] = 77
    assert (frames == 77).all()
    assert torch.equal(inr.render(by, field, 24, 24, True, frames), inr.render(by, field, 24, 24, True))


def test_a_frame_is_drawn_alike_alone_in_a_batch_and_by_any_number_of_threads(monkeypatch):
    """To the bit, with cells so large that threads share them, and with small ones."""
    by = renderer(blend=True)
    for grid, size in (((1, 1), 150), ((9, 9), 72), ((2, 3), 200)):
        field = states(3, *grid)
        expected = inr.render(by, field, size, size, as_bytes=True)
        assert torch.equal(inr.render(by, field[1:2], size, size, as_bytes=True), expected[1:2])
        for threads in (1, 3, 4):
            with monkeypatch.context() as patch:
                patch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
                assert torch.equal(inr.render(by, field, size, size, as_bytes=True), expected)


def test_states_in_any_memory_format_are_drawn_alike():
    field = states(2, 3, 4)
    assert field.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(inr.render(renderer(), field, 24, 32), inr.render(renderer(), field.contiguous(), 24, 32))


def test_odd_multiples_of_a_size_share_its_pixel_centres():
    field = states(1, 9, 9)
    once, thrice = (inr.render(renderer(), field, size, size) for size in (72, 216))
    torch.testing.assert_close(once, thrice[:, :, 1::3, 1::3], atol=1e-4, rtol=0)


def test_blocks_of_pixels_leave_no_seam(monkeypatch):
    whole = inr.render_by_layers(renderer(), states(2, 2, 2), 30, 20)
    monkeypatch.setattr(inr, "_BLOCK", 70)
    torch.testing.assert_close(inr.render_by_layers(renderer(), states(2, 2, 2), 30, 20), whole, atol=1e-5, rtol=0)


def test_the_kernel_draws_what_is_dreamt_to_one_grey_level(shipped):
    simulator = DreamSimulator(shipped, 16, horizon=0)
    generator = torch.Generator().manual_seed(0)
    simulator.reset(starts="random", generator=generator)
    for _ in range(30):
        simulator.step(torch.randint(0, 3, (16,), generator=generator))
    by = shipped.world_model.renderer(100, 100)
    drawn = inr.render(by, simulator.state, 100, 100, as_bytes=True).int()
    assert (drawn - inr.render_by_layers(by, simulator.state, 100, 100, as_bytes=True).int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("config", "grid", "size", "blend"),
    [
        (INRConfig(frequencies=1, width=3, layers=2), (1, 1), (20, 31), True),
        (INRConfig(frequencies=1, width=3, layers=2), (2, 3), (16, 24), False),
        (INRConfig(channels=1, frequencies=2, width=2, layers=3), (2, 2), (25, 37), True),
    ],
    ids=["one cell", "cells", "blended"],
)
def test_the_cuda_renderer_agrees_with_pytorch_to_one_grey_level(monkeypatch, config, grid, size, blend):
    """Triton's interpreter runs the kernel without a GPU."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="Triton comes with the CUDA builds of PyTorch")
    fused = importlib.reload(importlib.import_module("nova_gym.kernels.render_cuda"))
    monkeypatch.setattr(kernels, "find", lambda kernel, device: fused)
    by = renderer(config, mask=inr.nyquist_mask(config.frequencies, 8, 5), blend=blend)
    field, after = states(1, *grid), states(1, *grid, seed=1)
    drawn = inr.render(by, field, *size)
    torch.testing.assert_close(drawn, inr.render_by_layers(by, field, *size), atol=1 / 255, rtol=0)
    pictures = inr.render(by, field, *size, as_bytes=True)
    assert (pictures.int() - inr.render_by_layers(by, field, *size, as_bytes=True).int()).abs().max() <= 1
    changed = torch.zeros(1, *grid, dtype=torch.bool)
    changed[0, 0, -1] = True
    after = torch.where(changed[:, None], after, field)
    inr.render(by, after, *size, True, pictures, changed)
    assert torch.equal(pictures, inr.render(by, after, *size, as_bytes=True))
    monkeypatch.undo()
    importlib.reload(fused)  # for a GPU, should there be one


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_renders(monkeypatch):
    """As Gymnasium's AsyncVectorEnv makes them: the threads of the parent do not exist there."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    by, field = renderer(), states(2, 9, 9)
    expected = inr.render(by, field, 72, 72, True)  # now the pool has threads
    context = multiprocessing.get_context("fork")
    same = context.Queue()
    child = context.Process(target=lambda: same.put(torch.equal(inr.render(by, field, 72, 72, True), expected)))
    child.start()
    try:
        assert same.get(timeout=30)
    finally:
        child.kill()


def test_threads_may_render_at_the_same_time():
    """As the player does: a picture in the window, and another in its painter."""
    by, field = renderer(), states(8, 9, 9)
    alone = inr.render(by, field, 96, 96, True)
    with ThreadPoolExecutor(4) as pool:
        for picture in pool.map(lambda _: inr.render(by, field, 96, 96, True), range(12)):
            assert torch.equal(picture, alone)


def test_where_nothing_can_be_kept_compiled_code_is_made_anew(monkeypatch):
    def nowhere(*_):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(compiling, "_Kept", nowhere)
    kernel._kernel.cache_clear()
    by, field = renderer(INRConfig(frequencies=1, width=8, layers=1)), states(1, 1, 1)
    drawn, plain = inr.render(by, field, 8, 8), inr.render_by_layers(by, field, 8, 8)
    torch.testing.assert_close(drawn, plain, atol=1 / 255, rtol=0)


def test_without_numba_pytorch_renders(monkeypatch):
    by, field = renderer(blend=True), states(2, 2, 3)
    drawn = inr.render(by, field, 20, 30)
    monkeypatch.setattr(kernels, "find", lambda kernel, device: None)
    plain = inr.render(by, field, 20, 30)
    assert torch.equal(plain, inr.render_by_layers(by, field, 20, 30))
    torch.testing.assert_close(drawn, plain, atol=1 / 255, rtol=0)


def test_double_precision_is_left_to_pytorch():
    by, field = renderer(), states(1, 2, 2).double()
    by = by._replace(base=by.base.double(), basis=by.basis.double())
    assert inr.render(by, field, 16, 16).dtype == torch.float64


def test_what_does_not_go_together_is_refused():
    by, field, changed = renderer(), states(1, 2, 3), torch.ones(1, 2, 3, dtype=torch.bool)
    frames = inr.render(by, field, 16, 24, True)
    with pytest.raises(ValueError, match=rf"expected are \(B, {RANK}, rows, cols\)"):
        inr.render(by, field[:, :-1], 16, 24)
    with pytest.raises(ValueError, match="takes 375"):
        inr.render(by._replace(basis=by.basis[:, 1:]), field, 16, 24)
    with pytest.raises(ValueError, match="frames to draw them onto"):
        inr.render(by, field, 16, 24, True, None, changed)
    with pytest.raises(ValueError, match=r"expected are \(1, 2, 3\), bool"):
        inr.render(by, field, 16, 24, True, frames, changed[:, :, 1:])
    for other in (frames[:, 1:], frames.float(), frames.transpose(1, 2).contiguous().transpose(1, 2)):
        with pytest.raises(ValueError, match="frames to draw onto"):
            inr.render(by, field, 16, 24, True, other)
