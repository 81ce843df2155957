"""Fields to draw in tests: of random numbers, or fitted to a smooth picture."""

import torch
import torch.nn.functional as F

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


def smooth_field():
    """A renderer, and a field (1, K, 3, 3) that draws a smooth picture as well as networks of equal hidden layers can.

    The last layer of each cell's network, its K numbers, is fitted to the cell's training pixels and those around it.
    """
    base, last = inr.initial_weights(SMALL, torch.Generator().manual_seed(0)), 3 * (SMALL.width + 1)
    basis = torch.eye(len(base))[-last:]
    line = (torch.arange(-1, 25) + 0.5) / 12 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    waves = [torch.sin(x + y / 2), torch.cos(x / 2 - y), torch.sin(x * y / 2 + 1)]
    picture = 0.4 * torch.stack(waves)  # (3, 26, 26), 0 being mid-grey
    cells = picture.unfold(1, 10, 8).unfold(2, 10, 8).permute(3, 4, 1, 2, 0).reshape(100, 27)
    mask = torch.tensor([1.5] * 2 + [0.0] * 12)  # what is smooth needs no octaves
    own = (torch.arange(-1, 9) + 0.5) / 4 - 1
    hidden = inr.fourier_features(torch.cartesian_prod(own, own).flip(1), 3) * mask[:, None]
    for matrix, bias in inr.unflatten(base[None], SMALL)[:-1]:
        hidden = F.gelu(matrix[0] @ hidden + bias[0][:, None])
    units = torch.cat([hidden, torch.ones(1, 100)]).T
    fitted = torch.linalg.lstsq(units, cells).solution.view(13, 3, 3, 3)
    matrix, bias = fitted[:-1].permute(3, 0, 1, 2).flatten(0, 1), fitted[-1].permute(2, 0, 1)
    field = torch.cat([matrix, bias])[None] - base[-last:].view(1, -1, 1, 1)
    return inr.Renderer(base, basis, SMALL, mask, (8, 8), True), field
