from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nova_gym import kernels
from nova_gym.model import inr
from nova_gym.model.config import INRConfig

RGB = INRConfig(frequencies=6, width=12, layers=5)
SMALL = INRConfig(frequencies=3, width=12, layers=2)


def weights(count=1, config=RGB, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, inr.weight_count(config), generator=generator) * 0.3


def test_the_paper_s_networks_have_987_and_961_weights():
    assert inr.weight_count(RGB) == 987
    assert inr.weight_count(replace(RGB, channels=1)) == 961


def test_a_cell_s_network_has_375_weights():
    assert inr.weight_count(SMALL) == 375


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


@pytest.mark.parametrize(
    "config",
    [
        RGB,
        INRConfig(channels=1, width=6),
        pytest.param(SMALL, marks=pytest.mark.slow),
        pytest.param(INRConfig(frequencies=4, width=8, layers=2), marks=pytest.mark.slow),
        INRConfig(width=5, layers=1),
        INRConfig(channels=4, width=3, layers=2),
    ],
    ids=["paper", "grey", "small", "eight", "shallow", "narrow"],
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


def test_without_numba_pytorch_draws_points(monkeypatch):
    points = torch.rand(5, 2)
    drawn = inr.render_at(weights(2), points, RGB)
    monkeypatch.setattr(kernels, "find", lambda kernel, device: None)
    plain = inr.render_at(weights(2), points, RGB)
    assert torch.equal(plain, inr.render_at_by_layers(weights(2), points, RGB))
    torch.testing.assert_close(drawn, plain, atol=1 / 255, rtol=0)


def test_the_nyquist_mask_drops_what_the_training_grid_could_not_sample():
    assert inr.nyquist_mask(3, 8, 8).tolist() == [1.0] * 10 + [0.0] * 4  # 4 periods need more than a cell's 8 pixels
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
