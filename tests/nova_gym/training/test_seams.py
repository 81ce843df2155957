"""Neighbouring cells are blended where a recording's frames are smooth across them."""

import pytest
import torch

from nova_gym.data import moving_digits
from nova_gym.training.seams import smooth_across_cells


def test_blending_follows_from_the_recording(tiny, filmed):
    """MiniGrid's tiles have edges on the borders; digits have them anywhere."""
    assert not tiny.world_model.config.blend
    assert filmed.world_model.config.blend


def test_one_cell_has_no_borders():
    frames = torch.randint(0, 256, (4, 3, 16, 24), dtype=torch.uint8)
    assert not smooth_across_cells(frames, (16, 24))
    assert smooth_across_cells(frames, (8, 24))  # noise is as rough on the border as elsewhere


@pytest.mark.parametrize("cell", [(8, 8), (4, 16), (16, 4)])
def test_edges_that_lie_on_the_borders_alone_stay_sharp(cell):
    tiles = torch.randint(0, 256, (20, 3, 64 // cell[0], 64 // cell[1]), dtype=torch.uint8)
    frames = tiles.repeat_interleave(cell[0], 2).repeat_interleave(cell[1], 3)
    assert not smooth_across_cells(frames, cell)
    assert smooth_across_cells(frames.roll((cell[0] // 2, cell[1] // 2), (2, 3)), cell)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("cell", [(8, 8), (4, 4), (16, 8)])
def test_digits_are_smooth_for_cells_of_any_size_however_few_there_are(size, cell):
    """Nothing stands at the very edge of their frames, where there is no border either."""
    frames = torch.from_numpy(moving_digits(12, seed=3, length=4, size=size)).flatten(0, 1)[:, None]
    assert smooth_across_cells(frames, cell)
