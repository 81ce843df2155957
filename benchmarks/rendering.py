"""Floating-point operations and frames per second of the renderers, against a matrix product and a decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from nova_gym.benchmarks.ablations.models import VectorModel, one_network
from nova_gym.benchmarks.figures import Figure, figures_of
from nova_gym.benchmarks.speed import in_turns, repeat
from nova_gym.dream import Dream
from nova_gym.model import inr
from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.inr import Renderer
from nova_gym.model.world_model import WorldModel

SIZES, BATCHES = (72, 256, 512, 1024), (1, 64)
#: Cells of a frame that change, about as many as where an agent takes a step.
CHANGED = 3
#: Side of a matrix product that is large enough to run at the machine's full rate.
_MATRIX = 2048

Progress = Callable[[int, int], None]


def operations_a_pixel(config: INRConfig) -> int:
    """Floating-point operations of the whole network at one point: a multiplication and an addition for each weight.

    Activations are not counted. The first layer is counted in full, although the fused renderer shares it among pixels.
    """
    return 2 * sum(inputs * outputs for inputs, outputs in inr.layer_sizes(config))


def measure_rendering(dream: Dream, rounds: int, seconds: float, progress: Progress) -> dict[str, list[Figure]]:
    """Measures the renderers in FLOP per second and in frames per second.

    For each size and batch, FLOP per second: of a matrix product, and of plain PyTorch and the fused renderer on the
    networks that draw frames of that size. Then frames per second at the dream's own frame size. First, of whole
    frames against the few cells that a step changes. Then, beside two that know nothing of cells: the transposed-CNN
    decoder of the ablations, and one network for the whole frame, which has about as many parameters as that decoder.
    """
    model, states = dream.world_model, next(iter(dream.starts.values()))
    matrix = torch.rand(_MATRIX, _MATRIX)
    figures = {}
    cases = [(size, batch) for size in SIZES for batch in BATCHES if size * size * batch <= 64 * 512**2]
    for done, (size, batch) in enumerate(cases):
        renderer, some = model.renderer(size, size), _first(states, batch)
        cost = batch * size**2 * operations_a_pixel(renderer.config)
        contestants = {
            "matrix product": repeat(lambda: matrix @ matrix, 2 * _MATRIX**3),
            "plain PyTorch": repeat(_drawing(inr.render_by_layers, renderer, some, size), cost),
            "fused": repeat(_drawing(inr.render, renderer, some, size), cost),
        }
        speeds = in_turns(contestants, rounds, seconds)
        figures[f"rendering {batch} × {size}²"] = figures_of(speeds, "FLOP/s")
        progress(done + 1, len(cases) + 2)
    for batch in BATCHES:
        title = f"frames of which {CHANGED} cells change, {batch} at once"
        figures[title] = figures_of(in_turns(_changes(model, _first(states, batch)), rounds, seconds), "frames/s")
    progress(len(cases) + 1, len(cases) + 2)
    whole = _one_cell(model.config)
    others = {
        "transposed-CNN decoder": VectorModel(whole),
        "one network": WorldModel(whole),
    }  # the cost of trained ones
    for batch in BATCHES:
        contestants = {name: _frames(other, torch.randn(batch, whole.rank, 1, 1)) for name, other in others.items()}
        contestants["fused"] = _frames(model, _first(states, batch))
        figures[f"frames of states, {batch} at once"] = figures_of(in_turns(contestants, rounds, seconds), "frames/s")
    progress(len(cases) + 2, len(cases) + 2)
    return figures


def _first(states: Tensor, batch: int) -> Tensor:
    """(batch, K, rows, cols) of a bank of states, again and again."""
    return states[torch.arange(batch) % len(states)].contiguous(memory_format=torch.channels_last)


def _one_cell(config: ModelConfig) -> ModelConfig:
    """Sizes of the ablations' model of one network for the whole frame, for frames like these."""
    model = one_network("minigrid").model
    network = replace(model.inr, channels=config.inr.channels)
    return replace(model, frame_size=config.frame_size, cell=config.frame_size, inr=network)


def _changes(model: WorldModel, states: Tensor) -> dict[str, Callable[[float], float]]:
    """Draws whole frames, or the first cells of some rows alone."""
    height, width = model.size_of(states)
    renderer = model.renderer(height, width, states.shape[2:])
    frames = inr.render(renderer, states, height, width, as_bytes=True)
    changed = torch.zeros(len(states), *states.shape[2:], dtype=torch.bool)
    changed[:, :CHANGED, 0] = True
    return {
        "whole frames": repeat(lambda: inr.render(renderer, states, height, width, True), len(states)),
        "changed cells": repeat(
            lambda: inr.render(renderer, states, height, width, True, frames, changed), len(states)
        ),
    }


def _frames(model: WorldModel, states: Tensor) -> Callable[[float], float]:
    return repeat(lambda: model.render(states, as_bytes=True), len(states))


def _drawing(render: Callable, renderer: Renderer, states: Tensor, size: int) -> Callable[[], object]:
    return lambda: render(renderer, states, size, size, as_bytes=True)
