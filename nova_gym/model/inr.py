"""The renderer: a state is a field of tiny coordinate networks, and a frame is each of them on its own cell's pixels.

Coordinates lie in [-1, 1]² within a cell, at pixel centres, x to the right and y down. Their Fourier features are x, y
and sin and cos of π·2^k·x and π·2^k·y for k = 0 .. F-1 (arXiv 2605.06298, the renderer; its state is a single cell).
"""

from __future__ import annotations

import itertools
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
from nova_gym.kernels.patches import runs_of
from nova_gym.model.axes import Axis, axis_of, touched_pixels, windows_of
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

    Octave k has 2^k periods over a cell, so `n` pixels resolve it only while 2^k < n / 2. Training does not
    constrain the octaves above, and on a finer grid they show as bars (`docs/how-it-works.md`, Renderer).

    Args:
        frequencies: F octaves.
        height, width: training pixels of a cell.

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
        base: (D,) float32, D weights of a network.
        basis: (K, D) float32.
        config: sizes of the network.
        mask: (2 + 4F,) float32 that multiplies its features, or None.
        cell: (h, w), training pixels of a cell.
        blend: whether neighbouring cells are blended in a strip along their border. It lies between the outermost
            training pixels of the two cells, so frames of the training size stay as they were learned.
    """

    base: Tensor
    basis: Tensor
    config: INRConfig
    mask: Tensor | None = None
    cell: tuple[int, int] = (8, 8)
    blend: bool = False


@torch.no_grad()
def render(
    renderer: Renderer,
    states: Tensor,
    height: int,
    width: int,
    as_bytes: bool = False,
    onto: Tensor | None = None,
    changed: Tensor | None = None,
) -> Tensor:
    """Draws fields of tiny networks as frames, at any resolution.

    Each cell's network draws its own part of the frame, at coordinates that are [-1, 1]² within the cell. A pixel
    belongs to the cell that its centre falls in, so a frame need not have a multiple of rows × cols pixels.

    A fused renderer does this in one pass: `kernels.render` on the CPU (it needs Numba), `kernels.render_cuda` on CUDA
    (it needs Triton). Elsewhere PyTorch does it.

    Args:
        renderer: what draws.
        states: (B, K, rows, cols) float32.
        height, width: of the frames, in pixels.
        as_bytes: whether to return bytes.
        onto: frames of an earlier call with the same sizes, to be drawn over and returned; None for new ones.
        changed: (B, rows, cols) bool, the cells to draw onto them: those whose states are others than at that call.
            Blended neighbours are drawn with them, so that the frames are those that a whole drawing would give.
            None for all cells.

    Returns:
        (B, C, height, width) float32, clipped to [0, 1]; with `as_bytes` (B, height, width, C) uint8. Fused renderers
        agree with PyTorch to 1 / 255 for weights such as training gives. Their error grows with weights that are
        several times larger.

    Raises:
        ValueError: shapes do not go together, or there is `changed` without `onto`.
    """
    frames = _canvas(renderer, states, height, width, as_bytes, onto, changed)
    axes, fused = _axes(renderer, states.shape[2:], height, width), None
    if renderer.config.layers and {t.dtype for t in (states, renderer.base, renderer.basis)} == {torch.float32}:
        fused = kernels.find("render", states.device.type)
    if fused is None:
        drawn = render_by_layers(renderer, states, height, width, as_bytes)
        if changed is None:
            return frames.copy_(drawn)
        touched = torch.from_numpy(touched_pixels(*axes, changed.cpu().numpy())).to(frames.device)
        return torch.where(touched[..., None] if as_bytes else touched[:, None], drawn, frames, out=frames)
    lines = [_line_features(axis, k, renderer, states.device) for k, axis in zip((1, 0), axes, strict=True)]
    runs = tuple(runs_of(axis) for axis in axes)
    fused.render(renderer.base, renderer.basis, states, runs, lines, renderer.config, frames, changed)
    return frames


def _canvas(
    renderer: Renderer,
    states: Tensor,
    height: int,
    width: int,
    as_bytes: bool,
    onto: Tensor | None,
    changed: Tensor | None,
) -> Tensor:
    """The frames to draw on, new or `onto`, after a look at all shapes."""
    _check_columns(renderer.basis, renderer.config)
    if states.ndim != 4 or states.shape[1] != len(renderer.basis):
        raise ValueError(f"states are {tuple(states.shape)}; expected are (B, {len(renderer.basis)}, rows, cols)")
    batch, _, rows, cols = states.shape
    channels, dtype = renderer.config.channels, torch.uint8 if as_bytes else states.dtype
    shape = (batch, height, width, channels) if as_bytes else (batch, channels, height, width)
    if changed is not None:
        if onto is None:
            raise ValueError("where only changed cells are drawn, there must be frames to draw them onto")
        if changed.shape != (batch, rows, cols) or changed.dtype != torch.bool:
            raise ValueError(f"changed cells are {tuple(changed.shape)}; expected are {(batch, rows, cols)}, bool")
    if onto is None:
        return states.new_empty(shape, dtype=dtype)
    if onto.shape != shape or onto.dtype != dtype or not onto.is_contiguous():
        raise ValueError(f"frames to draw onto are {tuple(onto.shape)} {onto.dtype}; expected are {shape} {dtype}")
    return onto


def _axes(renderer: Renderer, cells: Sequence[int], height: int, width: int) -> tuple[Axis, Axis]:
    """The axes y and x of frames that (rows, cols) cells draw."""
    strips = renderer.cell if renderer.blend else (0, 0)
    return axis_of(height, cells[0], strips[0]), axis_of(width, cells[1], strips[1])


def _line_features(axis: Axis, which: int, renderer: Renderer, device: torch.device) -> Tensor:
    """(n, 1 + 2F, L) float32: the Fourier features of one coordinate (0: x, 1: y) along the lines of an axis."""
    features = _unmasked_line_features(axis, renderer.config.frequencies, device)
    return features if renderer.mask is None else features * renderer.mask[which::2, None].to(device)


@lru_cache(maxsize=32)
def _unmasked_line_features(axis: Axis, frequencies: int, device: torch.device) -> Tensor:
    coordinates = torch.from_numpy(runs_of(axis).coordinates).to(device)
    features = fourier_features(coordinates.flatten()[:, None].expand(-1, 2), frequencies)[::2]
    return features.unflatten(1, coordinates.shape).movedim(1, 0).contiguous()


@torch.no_grad()
def render_by_layers(renderer: Renderer, states: Tensor, height: int, width: int, as_bytes: bool = False) -> Tensor:
    """`render` of whole frames in plain PyTorch, on any device: the reference."""
    weights = renderer.base + states.movedim(1, 3) @ renderer.basis
    frames = weights.new_zeros(len(states), renderer.config.channels, height, width)
    y_windows, x_windows = (windows_of(axis) for axis in _axes(renderer, states.shape[2:], height, width))
    for rows, columns in itertools.product(y_windows, x_windows):
        cells = weights[:, rows.cells[:, None], columns.cells]
        shares = torch.from_numpy(rows.shares[:, None] * columns.shares).to(weights)
        y, x = (torch.from_numpy(window.coordinates).to(weights) for window in (rows, columns))
        drawn = _in_blocks(cells.flatten(0, 2), torch.cartesian_prod(y, x).flip(1), renderer)
        drawn = drawn.unflatten(2, (len(y), len(x))) * shares
        drawn = drawn.unflatten(0, cells.shape[:3]).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        frames[:, :, rows.pixels.reshape(-1, 1), columns.pixels.reshape(-1)] += drawn
    frames.clamp_(0.0, 1.0)
    if as_bytes:
        return frames.mul_(255.0).add_(0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return frames


def _in_blocks(weights: Tensor, coordinates: Tensor, renderer: Renderer) -> Tensor:
    """`render_at_by_layers`, some networks and points after the other."""
    drawn = weights.new_empty(len(weights), renderer.config.channels, len(coordinates))
    networks = max(1, _BLOCK // len(coordinates))
    for first in range(0, len(weights), networks):
        rows = slice(first, first + networks)
        for start in range(0, len(coordinates), _BLOCK):
            points = slice(start, start + _BLOCK)
            block = render_at_by_layers(weights[rows], coordinates[points], renderer.config, renderer.mask)
            drawn[rows, :, points] = block
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
