"""Floating-point operations and frames per second of the renderers, against a matrix product and a decoder."""

from __future__ import annotations

from collections.abc import Callable

import torch

from nova_gym.benchmarks.ablations.models import VectorModel
from nova_gym.benchmarks.figures import Figure, figures_of
from nova_gym.benchmarks.speed import in_turns, repeat
from nova_gym.dream import Dream
from nova_gym.model import inr
from nova_gym.model.config import INRConfig
from nova_gym.model.world_model import Renderer, WorldModel

SIZES, BATCHES = (72, 256, 512, 1024), (1, 64)
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
    network that draws frames of that size. Then frames per second at the dream's own frame size, beside the
    transposed-CNN decoder of the ablations. That decoder has about as many parameters; trained for equal time on
    digits, it draws at least as well.
    """
    model = dream.world_model
    bank = next(iter(dream.starts.values()))
    matrix = torch.rand(_MATRIX, _MATRIX)
    figures = {}
    cases = [(size, batch) for size in SIZES for batch in BATCHES if size * size * batch <= 64 * 512**2]
    for done, (size, batch) in enumerate(cases):
        renderer = model.renderer(size, size)
        weights = inr.combine(renderer.base, renderer.basis, bank[torch.arange(batch) % len(bank)])
        cost = batch * size**2 * operations_a_pixel(renderer.config)
        contestants = {
            "matrix product": repeat(lambda: matrix @ matrix, 2 * _MATRIX**3),
            "plain PyTorch": repeat(_drawing(inr.render_by_layers, weights, size, renderer), cost),
            "fused": repeat(_drawing(inr.render, weights, size, renderer), cost),
        }
        speeds = in_turns(contestants, rounds, seconds)
        figures[f"rendering {batch} × {size}²"] = figures_of(speeds, "FLOP/s")
        progress(done + 1, len(cases) + 1)
    decoder = VectorModel(model.config)  # untrained, since its cost is the same
    for batch in BATCHES:
        state = bank[torch.arange(batch) % len(bank)]
        contestants = {"transposed-CNN decoder": _frames(decoder, state), "fused": _frames(model, state)}
        figures[f"frames of states, {batch} at once"] = figures_of(in_turns(contestants, rounds, seconds), "frames/s")
    progress(len(cases) + 1, len(cases) + 1)
    return figures


def _frames(model: WorldModel, state: torch.Tensor) -> Callable[[float], float]:
    return repeat(lambda: model.render(state, as_bytes=True), len(state))


def _drawing(render: Callable, weights: torch.Tensor, size: int, renderer: Renderer) -> Callable[[], object]:
    return lambda: render(weights, size, size, renderer.config, renderer.mask, as_bytes=True)
