"""The renderer: a state is the weights of a tiny coordinate network, and a frame is that network on a grid.

Coordinates lie in [-1, 1]² at pixel centres, x to the right and y down. Their Fourier features are x, y and
sin and cos of π·2^k·x and π·2^k·y for k = 0 .. F-1 (arXiv 2605.06298, the renderer).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from nova_gym import kernels
from nova_gym.model.config import INRConfig

Resolution = int | tuple[int, int]

#: Pixels a side of a frame, at most.
LARGEST = 8192


def layer_sizes(config: INRConfig) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer, first to last."""
    features = 2 + 4 * config.frequencies
    return list(pairwise([features, *[config.width] * config.layers, config.channels]))


def weight_count(config: INRConfig) -> int:
    """D, the number of weights and biases of the coordinate network."""
    return sum((inputs + 1) * outputs for inputs, outputs in layer_sizes(config))


def unflatten(weights: Tensor, config: INRConfig) -> list[tuple[Tensor, Tensor]]:
    """Weight vectors as layers; views, nothing is copied.

    Args:
        weights: (B, D); a layer's matrix, outputs × inputs by rows, then its bias, first layer first.

    Returns:
        For each layer its matrix (B, outputs, inputs) and bias (B, outputs).
    """
    layers, start = [], 0
    for inputs, outputs in layer_sizes(config):
        matrix = weights[:, start : start + inputs * outputs].unflatten(1, (outputs, inputs))
        start += inputs * outputs
        layers.append((matrix, weights[:, start : start + outputs]))
        start += outputs
    return layers


def initial_weights(config: INRConfig, generator: torch.Generator) -> Tensor:
    """(D,) float32 base weights to start training from: Kaiming for GELU, biases zero, mid-grey output."""
    layers = []
    for inputs, outputs in layer_sizes(config):
        matrix = torch.randn(outputs, inputs, generator=generator) * math.sqrt(2.0 / inputs)
        layers += [matrix.flatten(), torch.zeros(outputs)]
    return torch.cat(layers)


def pixel_centres(count: int, device: torch.device | str | None = None) -> Tensor:
    """(count,) float32 coordinates in (-1, 1) of the centres of `count` pixels side by side."""
    return (torch.arange(count, device=device, dtype=torch.float32) + 0.5) * (2.0 / count) - 1.0


def coordinate_grid(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """(height · width, 2) float32 coordinates (x, y) of all pixels, row by row."""
    y, x = torch.meshgrid(pixel_centres(height, device), pixel_centres(width, device), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def fourier_features(coordinates: Tensor, frequencies: int) -> Tensor:
    """The network's inputs.

    Args:
        coordinates: (P, 2) float32, x and y in [-1, 1].
        frequencies: F octaves.

    Returns:
        (2 + 4F, P) float32: x, y, then for each octave sin x, sin y, cos x, cos y.
    """
    octaves = math.pi * 2.0 ** torch.arange(frequencies, device=coordinates.device, dtype=torch.float32)
    angles = coordinates.T[None] * octaves[:, None, None]  # (F, 2, P)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1).flatten(0, 1)
    return torch.cat([coordinates.T, waves])


def nyquist_mask(frequencies: int, height: int, width: int) -> Tensor:
    """Which features a training grid could sample.

    Octave k has 2^k periods over the frame, so `n` pixels resolve it only while 2^k < n / 2; what lies above was
    never constrained by training and shows as bars when rendered on a finer grid.

    Args:
        frequencies: F octaves.
        height, width: the training grid in pixels.

    Returns:
        (2 + 4F,) float32 of 0 and 1, in the order of `fourier_features`.
    """
    keep = [1.0, 1.0]
    for k in range(frequencies):
        x, y = float(2**k < width / 2), float(2**k < height / 2)
        keep += [x, y, x, y]
    return torch.tensor(keep)


def render_at(weights: Tensor, coordinates: Tensor, config: INRConfig, feature_mask: Tensor | None = None) -> Tensor:
    """Evaluates coordinate networks at any points, for training: the gradient reaches the weights.

    The kernel `points` does so in one pass and another one back, where there is one, elsewhere PyTorch.

    Args:
        weights: (B, D) float32.
        coordinates: (P, 2) float32 in [-1, 1], shared by the batch.
        config: sizes of the network.
        feature_mask: (2 + 4F,) float32 that multiplies the features, such as `nyquist_mask`.

    Returns:
        (B, C, P) float32, not clipped: values of a well-trained state lie in [0, 1] to within its error.

    Raises:
        ValueError: `weights` has not D columns.
    """
    _check_columns(weights, config)
    if config.layers and (fused := kernels.find("points", weights.device.type)):
        features = _features(coordinates, config, feature_mask)
        if weights.dtype == features.dtype == torch.float32 and not features.requires_grad:
            return fused.render_at(weights, features, config) + 0.5
    return render_at_by_layers(weights, coordinates, config, feature_mask)


def render_at_by_layers(
    weights: Tensor, coordinates: Tensor, config: INRConfig, feature_mask: Tensor | None = None
) -> Tensor:
    """`render_at` in plain PyTorch, on any device: the reference."""
    features = _features(coordinates, config, feature_mask)
    hidden = features.expand(len(weights), -1, -1)
    layers = unflatten(weights, config)
    for matrix, bias in layers[:-1]:
        hidden = F.gelu(torch.baddbmm(bias[:, :, None], matrix, hidden))
    matrix, bias = layers[-1]
    return torch.baddbmm(bias[:, :, None], matrix, hidden) + 0.5


def _features(coordinates: Tensor, config: INRConfig, feature_mask: Tensor | None) -> Tensor:
    features = fourier_features(coordinates, config.frequencies)
    return features if feature_mask is None else features * feature_mask[:, None].to(features.device)


def _check_columns(weights: Tensor, config: INRConfig) -> None:
    if weights.shape[-1] != weight_count(config):
        raise ValueError(
            f"weights have {weights.shape[-1]} columns; this coordinate network takes {weight_count(config)}"
        )


#: Pixels that are evaluated at once; the activations of one block then stay near the cache.
_BLOCK = 1 << 16


@torch.no_grad()
def render(
    weights: Tensor,
    height: int,
    width: int,
    config: INRConfig,
    feature_mask: Tensor | None = None,
    as_bytes: bool = False,
) -> Tensor:
    """Renders frames on a grid, at any resolution: in one pass where there is a kernel, elsewhere by PyTorch.

    Args:
        weights: (B, D) float32.
        height, width: of the frames, in pixels.
        config, feature_mask: as in `render_at`.
        as_bytes: what to return.

    Returns:
        (B, C, height, width) float32, clipped to [0, 1], or (B, height, width, C) uint8. All ways agree to 1 / 255 for
        such weights as training gives; where these are several times larger, a kernel's error grows with them.

    Raises:
        ValueError: `weights` has not D columns.
    """
    if weights.dtype == torch.float32 and config.layers and (fused := kernels.find("render", weights.device.type)):
        _check_columns(weights, config)
        sizes = enumerate((width, height))
        axes = [axis_features(count, axis, config, feature_mask, weights.device) for axis, count in sizes]
        return fused.render(weights, *axes, config, as_bytes)
    return render_by_layers(weights, height, width, config, feature_mask, as_bytes)


@torch.no_grad()
def combine(base: Tensor, basis: Tensor, states: Tensor) -> Tensor:
    """Weights of coordinate networks, `base + states @ basis`, for `render`: without gradients.

    Args:
        base: (D,) float32.
        basis: (K, D) float32.
        states: (B, K) float32.

    Returns:
        (B, D) float32.

    Raises:
        ValueError: the states have not K columns.
    """
    if states.ndim != 2 or states.shape[1] != len(basis):
        raise ValueError(f"states are {tuple(states.shape)}; expected are (B, {len(basis)})")
    alike = {(tensor.dtype, tensor.device.type) for tensor in (base, basis, states)}
    if alike == {(torch.float32, "cpu")} and (fused := kernels.find("render", "cpu")):
        return fused.combine(base, basis, states)
    return torch.addmm(base, states, basis)


def axis_features(
    count: int,
    axis: int,
    config: INRConfig,
    feature_mask: Tensor | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """(1 + 2F, count) float32: the Fourier features of one coordinate (0: x, 1: y) along `count` pixels."""
    features = _line_features(count, config.frequencies, torch.device(device or "cpu"))
    return features if feature_mask is None else features * feature_mask[axis::2, None].to(features.device)


@lru_cache(maxsize=32)
def _line_features(count: int, frequencies: int, device: torch.device) -> Tensor:
    return fourier_features(pixel_centres(count, device)[:, None].expand(-1, 2), frequencies)[::2].contiguous()


@torch.no_grad()
def render_by_layers(
    weights: Tensor,
    height: int,
    width: int,
    config: INRConfig,
    feature_mask: Tensor | None = None,
    as_bytes: bool = False,
) -> Tensor:
    """`render` in plain PyTorch, on any device: the reference."""
    coordinates = coordinate_grid(height, width, weights.device)
    frames = weights.new_empty(len(weights), config.channels, len(coordinates))
    frames_a_block = max(1, _BLOCK // len(coordinates))
    for first in range(0, len(weights), frames_a_block):
        rows = slice(first, first + frames_a_block)
        for start in range(0, len(coordinates), _BLOCK):
            points = slice(start, start + _BLOCK)
            block = render_at_by_layers(weights[rows], coordinates[points], config, feature_mask)
            frames[rows, :, points] = block.clamp_(0.0, 1.0)
    frames = frames.unflatten(2, (height, width))
    if as_bytes:
        return frames.mul_(255.0).add_(0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return frames


def parse_resolution(resolution: Resolution) -> tuple[int, int]:
    """(H, W) of a resolution given as one number or as a pair.

    Raises:
        ValueError: it is neither, or not within 1 to 8192.
    """
    try:
        pair = (
            tuple(map(operator.index, resolution))
            if isinstance(resolution, Sequence)
            else (operator.index(resolution),) * 2
        )
    except TypeError:
        pair = ()
    if len(pair) != 2 or not all(1 <= n <= LARGEST for n in pair):
        raise ValueError(
            f"resolution must be an int or a pair (height, width), each from 1 to {LARGEST}, not {resolution!r}"
        )
    return pair
