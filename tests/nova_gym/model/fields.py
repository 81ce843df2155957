"""Fields to draw in tests: made of random numbers, or fitted to a smooth picture."""

from functools import cache

import torch

from nova_gym.model import inr
from nova_gym.model.config import INRConfig

SMALL = INRConfig(frequencies=3, width=12, layers=2)
RANK = 7


def renderer(config=SMALL, seed=0, scale=1.0, mask=None, blend=False, cell=(8, 8)):
    """A renderer of random base weights and basis."""
    generator = torch.Generator().manual_seed(seed)
    base = inr.initial_weights(config, generator) * 0.7
    basis = torch.randn(RANK, len(base), generator=generator) * 0.05 * scale
    return inr.Renderer(base, basis, config, mask, cell, blend)


def states(count, rows, cols, seed=0):
    """(count, RANK, rows, cols) random states, a cell's numbers side by side as the simulator has them."""
    numbers = torch.randn(count, rows, cols, RANK, generator=torch.Generator().manual_seed(seed))
    return numbers.permute(0, 3, 1, 2)


@cache
def smooth_field():
    """A renderer, and a field (1, D, 3, 3) that has learned a smooth picture cell by cell, at its training pixels."""
    base, count = inr.initial_weights(SMALL, torch.Generator().manual_seed(0)), inr.weight_count(SMALL)
    weights = base.repeat(9, 1).requires_grad_()
    y, x = torch.meshgrid(inr.pixel_centres(24), inr.pixel_centres(24), indexing="ij")
    waves = [torch.sin(2 * x + y), torch.cos(x - 3 * y), torch.sin(2 * x * y + 1)]
    picture = 0.5 + 0.4 * torch.stack(waves)  # (3, 24, 24)
    truth = picture.view(3, 3, 8, 3, 8).permute(1, 3, 0, 2, 4).reshape(9, 3, 64)
    points, mask = inr.coordinate_grid(8, 8), inr.nyquist_mask(3, 8, 8)
    optimizer = torch.optim.Adam([weights])
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 300)
        optimizer.zero_grad()
        (inr.render_at(weights, points, SMALL, mask) - truth).square().sum().backward()
        optimizer.step()
    field = (weights.detach() - base).view(1, 3, 3, count).permute(0, 3, 1, 2)
    return inr.Renderer(base, torch.eye(count), SMALL, mask, (8, 8), True), field
