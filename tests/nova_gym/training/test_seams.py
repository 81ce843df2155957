"""Whether neighbouring cells are to be blended is read from the recording."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from nova_gym.data import moving_digits
from nova_gym.training.seams import smooth_across_cells


def frames_of(level, tile):
    env = gym.make(level).unwrapped
    frames = []
    for seed in range(12):
        env.reset(seed=seed)
        frames.append(env.get_frame(highlight=False, tile_size=tile))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("level", ["MiniGrid-SimpleCrossingS9N1-v0", "MiniGrid-DoorKey-8x8-v0"])
@pytest.mark.parametrize("tile", [8, 16])
def test_tiles_that_are_cells_are_not_smooth(level, tile):
    assert not smooth_across_cells(frames_of(level, tile), (tile, tile))


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("cell", [(4, 4), (8, 8), (8, 16)])
def test_moving_digits_are_smooth(size, cell):
    digits = torch.from_numpy(moving_digits(24, seed=0, length=12, size=size))
    assert smooth_across_cells(digits.flatten(0, 1)[:, None], cell)


def test_a_picture_that_changes_evenly_is_smooth():
    ramp = torch.arange(64, dtype=torch.uint8).expand(2, 1, 48, 64)
    assert smooth_across_cells(ramp, (8, 8))


def test_where_no_two_cells_meet_nothing_shows():
    noise = torch.randint(0, 256, (3, 3, 24, 16), dtype=torch.uint8)
    for cell in ((24, 16), (1, 1)):
        assert smooth_across_cells(noise, cell)
    assert smooth_across_cells(torch.zeros(1, 1, 16, 16, dtype=torch.uint8), (8, 8))
