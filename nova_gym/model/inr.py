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
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nova_gym import kernels
from nova_gym.model.config import INRConfig

Resolution = int | tuple[int, int]

#: Most pixels a side that a frame can be rendered with.
LARGEST = 8192


def layer_sizes(config: INRConfig) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer, first to last."""
    features = 2 + 4 * config.frequencies
    return list(pairwise([features, *[config.width] * config.layers, config.channels]))


def weight_count(config: INRConfig) -> int:
    """D, the number of weights and biases of the coordinate network."""
    return sum((inputs + 1) * outputs for inputs, outputs in layer_sizes(config))


def unflatten(weights: Tensor, config: INRConfig) -> list[tuple[Tensor, Tensor]]:
    """Weight vectors as layers; these are views of the weights.

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

    Octave k has 2^k periods over the frame, so `n` pixels resolve it only while 2^k < n / 2. Training does not
    constrain the octaves above, and on a finer grid they show as bars (`docs/how-it-works.md`, Renderer).

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

    On the CPU, `nova_gym.kernels.points` does this in one pass forward and one back (it needs Numba). Elsewhere PyTorch
    does it.

    Args:
        weights: (B, D) float32.
        coordinates: (P, 2) float32 in [-1, 1], shared by the batch.
        config: sizes of the network.
        feature_mask: (2 + 4F,) float32 that multiplies the features, such as `nyquist_mask`.

    Returns:
        (B, C, P) float32, not clipped; a well-trained state gives values in [0, 1], up to its error.

    Raises:
        ValueError: `weights` does not have D columns.
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


#: Pixels that are evaluated at once, so few that the activations of one block stay near the cache.
_BLOCK = 1 << 16


class Renderer(NamedTuple):
    """How states become frames: `base + z @ basis` are the weights of a cell's coordinate network.

    Attributes:
        base: (D,) float32.
        basis: (K, D) float32.
        config: sizes of the network.
        mask: (2 + 4F,) float32 that multiplies its features, or None.
        cell: (h, w) in pixels of a cell of the training frames.
        blend: whether neighbouring cells are blended where they meet.
    """

    base: Tensor
    basis: Tensor
    config: INRConfig
    mask: Tensor | None
    cell: tuple[int, int]
    blend: bool


@torch.no_grad()
def render(renderer, states, height, width, as_bytes=False, onto=None, changed=None):
    rows, cols = states.shape[2:]
    weights = torch.addmm(renderer.base, states.permute(0, 2, 3, 1).flatten(0, 2), renderer.basis)
    config, h, w = renderer.config, height // rows, width // cols
    drawn = render_at_by_layers(weights, coordinate_grid(h, w, weights.device), config, renderer.mask).clamp(0.0, 1.0)
    drawn = drawn.view(len(states), rows, cols, -1, h, w).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
    if as_bytes:
        return drawn.mul_(255.0).add_(0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return drawn


def parse_resolution(resolution: Resolution) -> tuple[int, int]:
    """(H, W) of a resolution given as one number or as a pair.

    Raises:
        ValueError: it is neither, or not within 1 to `LARGEST`.
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
