import importlib
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nova_gym import DreamSimulator, kernels
from nova_gym.kernels import compiling
from nova_gym.kernels import render as kernel
from nova_gym.model import inr
from nova_gym.model.config import INRConfig

RGB = INRConfig()


def weights(count=1, config=RGB, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, inr.weight_count(config), generator=generator) * 0.3


def test_the_paper_s_networks_have_987_and_961_weights():
    assert inr.weight_count(RGB) == 987
    assert inr.weight_count(INRConfig(channels=1)) == 961


def test_a_state_is_an_ordinary_network_with_gelu_layers():
    theta = weights()
    network = nn.Sequential()
    for matrix, bias in inr.unflatten(theta, RGB):
        layer = nn.Linear(matrix.shape[2], matrix.shape[1])
        layer.weight.data, layer.bias.data = matrix[0], bias[0]
        network.extend([layer, nn.GELU()])
    points = torch.rand(50, 2) * 2 - 1
    expected = network[:-1](inr.fourier_features(points, RGB.frequencies).T) + 0.5
    torch.testing.assert_close(inr.render_at(theta, points, RGB)[0].T, expected, atol=1e-4, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 99))
def test_any_batch_renders_at_any_resolution_as_its_frames_do_alone(count, height, width, channels, seed):
    config = INRConfig(channels=channels)
    theta = weights(count, config, seed)
    frames = inr.render(theta, height, width, config)
    assert frames.shape == (count, channels, height, width)
    assert frames.min() >= 0
    assert frames.max() <= 1
    torch.testing.assert_close(frames[-1:], inr.render(theta[-1:], height, width, config), atol=1e-4, rtol=0)


def test_a_grid_is_its_points_and_blocks_leave_no_seam(monkeypatch):
    theta = weights(2)
    whole = inr.render_by_layers(theta, 30, 20, RGB)
    points = inr.render_at_by_layers(theta, inr.coordinate_grid(30, 20), RGB).clamp(0, 1).unflatten(2, (30, 20))
    torch.testing.assert_close(whole, points)
    monkeypatch.setattr(inr, "_BLOCK", 70)
    torch.testing.assert_close(inr.render_by_layers(theta, 30, 20, RGB), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "config",
    [RGB, INRConfig(channels=1), INRConfig(frequencies=4, width=8, layers=2)],
    ids=["paper", "grey", "small"],
)
@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(0, 5),
    height=st.integers(1, 40),
    width=st.integers(1, 300),
    masked=st.booleans(),
    scale=st.floats(0.05, 0.5),
    seed=st.integers(0, 99),
)
def test_the_kernel_agrees_with_pytorch_to_one_grey_level(config, count, height, width, masked, scale, seed):
    theta = weights(count, config, seed) * scale / 0.3
    mask = inr.nyquist_mask(config.frequencies, height, width) if masked else None
    assert kernels.find("render", "cpu") is not None
    drawn = inr.render(theta, height, width, config, mask)
    torch.testing.assert_close(drawn, inr.render_by_layers(theta, height, width, config, mask), atol=1 / 255, rtol=0)
    pictures = inr.render(theta, height, width, config, mask, as_bytes=True)
    reference = inr.render_by_layers(theta, height, width, config, mask, as_bytes=True)
    assert pictures.shape == (count, height, width, config.channels)
    assert (pictures.int() - reference.int()).abs().max() <= 1 if count else True


@pytest.mark.parametrize(
    "config",
    [
        RGB,
        INRConfig(channels=1, width=6),
        INRConfig(frequencies=4, width=8, layers=2),
        INRConfig(width=5, layers=1),
        INRConfig(channels=4, width=3, layers=2),
    ],
    ids=["paper", "grey", "small", "shallow", "narrow"],
)
@settings(max_examples=8, deadline=None)
@given(count=st.integers(0, 5), points=st.integers(1, 300), masked=st.booleans(), seed=st.integers(0, 99))
def test_points_and_their_gradients_agree_with_pytorch(config, count, points, masked, seed):
    """What training renders is compiled; it learns as it would from PyTorch's own gradients."""
    theta = weights(count, config, seed).requires_grad_()
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(points, 2, generator=generator) * 2 - 1
    mask = inr.nyquist_mask(config.frequencies, 9, 13) if masked else None
    assert kernels.find("points", "cpu") is not None
    drawn, reference = (draw(theta, places, config, mask) for draw in (inr.render_at, inr.render_at_by_layers))
    torch.testing.assert_close(drawn, reference, atol=1 / 255, rtol=0)
    slope = torch.randn(drawn.shape, generator=generator)
    (gradient,), (expected,) = (torch.autograd.grad(y, theta, slope) for y in (drawn, reference))
    assert (gradient - expected).norm() <= 2e-3 * expected.norm()


def test_the_kernel_draws_what_is_dreamt_to_one_grey_level(shipped):
    simulator = DreamSimulator(shipped, 16, horizon=0)
    generator = torch.Generator().manual_seed(0)
    simulator.reset(starts="random", generator=generator)
    for _ in range(30):
        simulator.step(torch.randint(0, 3, (16,), generator=generator))
    theta, config = shipped.world_model.weights(simulator.state), shipped.world_model.config.inr
    drawn = inr.render(theta, 100, 100, config, as_bytes=True).int()
    assert (drawn - inr.render_by_layers(theta, 100, 100, config, as_bytes=True).int()).abs().max() <= 1


@pytest.mark.parametrize("config", [RGB, INRConfig(channels=1, frequencies=4, width=8, layers=2)])
def test_the_cuda_renderer_agrees_with_pytorch_to_one_grey_level(monkeypatch, config):
    """Triton's interpreter runs the kernel without a GPU."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="Triton comes with the CUDA builds of PyTorch")
    fused_cuda = importlib.reload(importlib.import_module("nova_gym.kernels.render_cuda"))
    theta, mask = weights(2, config), inr.nyquist_mask(config.frequencies, 20, 13)
    axes = [inr.axis_features(count, axis, config, mask) for axis, count in enumerate((31, 20))]
    drawn = fused_cuda.render(theta, *axes, config, as_bytes=False)
    torch.testing.assert_close(drawn, inr.render_by_layers(theta, 20, 31, config, mask), atol=1 / 255, rtol=0)
    pictures = fused_cuda.render(theta, *axes, config, as_bytes=True).int()
    assert (pictures - inr.render_by_layers(theta, 20, 31, config, mask, as_bytes=True).int()).abs().max() <= 1
    monkeypatch.undo()
    importlib.reload(fused_cuda)  # for a GPU, should there be one


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_renders(shipped, monkeypatch):
    """As Gymnasium's AsyncVectorEnv makes them: the threads of the parent do not exist there."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    theta = shipped.world_model.weights(shipped.starts["random"][:2])  # PyTorch's threads do not survive a fork either
    config = shipped.world_model.config.inr
    axes = [inr.axis_features(64, axis, config) for axis in (0, 1)]
    expected = kernel.render(theta, *axes, config, True)  # now the pool has threads
    context = multiprocessing.get_context("fork")
    same = context.Queue()
    child = context.Process(target=lambda: same.put(torch.equal(kernel.render(theta, *axes, config, True), expected)))
    child.start()
    try:
        assert same.get(timeout=30)
    finally:
        child.kill()


@pytest.mark.parametrize("threads", [1, 3, 4])
def test_more_or_fewer_threads_draw_the_same_to_one_grey_level(shipped, monkeypatch, threads):
    """Not to the bit: where one thread's rows begin decides which of them are computed together."""
    states = shipped.starts["random"][:3]
    expected = shipped.world_model.render(states, 50, as_bytes=True).int()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert (shipped.world_model.render(states, 50, as_bytes=True).int() - expected).abs().max() <= 1


def test_where_nothing_can_be_kept_compiled_code_is_made_anew(monkeypatch):
    def nowhere(*_):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(compiling, "_Kept", nowhere)
    kernel._kernel.cache_clear()
    config = INRConfig(frequencies=1, width=8, layers=1)
    theta = weights(1, config)
    torch.testing.assert_close(
        inr.render(theta, 8, 8, config), inr.render_by_layers(theta, 8, 8, config), atol=1 / 255, rtol=0
    )


def test_without_numba_pytorch_renders(monkeypatch):
    theta = weights(2)
    drawn = inr.render(theta, 20, 30, RGB)
    monkeypatch.setattr(kernels, "find", lambda kernel, device: None)
    plain = inr.render(theta, 20, 30, RGB)
    assert torch.equal(plain, inr.render_by_layers(theta, 20, 30, RGB))
    torch.testing.assert_close(drawn, plain, atol=1 / 255, rtol=0)
    points = torch.rand(5, 2)
    assert torch.equal(inr.render_at(theta, points, RGB), inr.render_at_by_layers(theta, points, RGB))


@pytest.mark.parametrize("rank", [1, 6, 13, 256])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_weights_of_states_are_those_of_pytorch(count, rank):
    generator = torch.Generator().manual_seed(rank)
    base, basis = weights(1)[0], torch.randn(rank, len(weights(1)[0]), generator=generator)
    states = torch.randn(rank, count, generator=generator).T  # not in one piece
    combined = inr.combine(base, basis, states)
    torch.testing.assert_close(combined, torch.addmm(base, states, basis), atol=1e-4, rtol=1e-4)
    assert inr.combine(base.double(), basis.double(), states.double()).dtype == torch.float64
    with pytest.raises(ValueError, match=f"expected are .B, {rank}."):
        inr.combine(base, basis, torch.zeros(2, rank + 1))


def test_threads_may_render_at_the_same_time(shipped):
    """As the player does: a picture in the window, and another in its painter."""
    states = shipped.starts["random"][:8]
    alone = shipped.world_model.render(states, 96, as_bytes=True)
    with ThreadPoolExecutor(4) as pool:
        for picture in pool.map(lambda _: shipped.world_model.render(states, 96, as_bytes=True), range(12)):
            assert torch.equal(picture, alone)


def test_odd_multiples_of_a_resolution_share_its_pixel_centres():
    theta = weights()
    torch.testing.assert_close(
        inr.render(theta, 72, 72, RGB), inr.render(theta, 216, 216, RGB)[:, :, 1::3, 1::3], atol=1e-4, rtol=0
    )


def test_the_nyquist_mask_drops_what_the_training_grid_could_not_sample():
    assert inr.nyquist_mask(6, 72, 72).all()  # 32 periods need more than 64 pixels
    mask = inr.nyquist_mask(6, 72, 32)  # 16 and 32 periods over 32 pixels alias: x, sin and cos, of k = 4, 5
    assert mask.tolist() == [1.0] * 18 + [0.0, 1.0, 0.0, 1.0] * 2
    features = inr.fourier_features(torch.rand(5, 2), 6)
    masked = inr.render_at(weights(), torch.rand(5, 2), RGB, torch.zeros(26))
    assert features.shape == (26, 5)
    torch.testing.assert_close(masked, masked[:, :, :1].expand_as(masked))  # without features all points look the same


@pytest.mark.parametrize("resolution", [0, -1, (3,), (4, 5.5), 5.5, "72", 9000, None])
def test_a_resolution_that_is_none_says_so(resolution):
    with pytest.raises(ValueError, match="resolution"):
        inr.parse_resolution(resolution)


def test_weights_of_another_network_are_refused():
    with pytest.raises(ValueError, match="takes 987"):
        inr.render_at(torch.zeros(1, 961), torch.zeros(1, 2), RGB)
