"""Large frames in which little happens are trained on where it happens, and are dreamt whole."""

import numpy as np
import torch

from nova_gym import DreamSimulator
from nova_gym.training import Run, preset, train
from nova_gym.training.windows import windows_of

from . import toys

CELL = (8, 8)


def clips(rows=24, cols=20):
    """Clips in each of which one cell somewhere blinks, another one in each clip; cells are 8 × 8 pixels."""
    places = [(2, 3), (12, 9), (23, 19)]
    frames = np.zeros((3, 9, 1, rows * 8, cols * 8), np.uint8)
    for clip, (row, col) in enumerate(places):
        frames[clip, ::2, 0, row * 8 : row * 8 + 8, col * 8 : col * 8 + 8] = 255
    return toys.clips_of(frames, np.zeros((3, 8), np.int64))


def test_windows_hold_what_changes_and_its_surroundings():
    recording = clips()
    (windows,) = windows_of([recording], CELL)
    assert windows.size == (56, 56)
    cut = windows.clips(recording)
    assert cut.frames.shape == (27, 1, 56, 56)
    assert [float(cut.frames[9 * clip].sum()) for clip in range(3)] == [255.0 * 64] * 3
    middle = cut.frames[0, 0].nonzero().float().mean(0) / 8
    assert torch.equal(middle.floor(), torch.tensor([2.0, 3.0]))  # beside the upper border of the frame


def test_frames_in_which_things_happen_everywhere_are_taken_whole():
    assert windows_of([clips(7, 8)], CELL) is None


def test_a_dream_of_large_frames_draws_them_whole(tmp_path):
    recording = clips()
    made = train(recording, "x/x-v0", preset("tiny", codes=0, control=None), Run(tmp_path / "x.ckpt"))
    assert made.cells == (24, 20)
    simulator = DreamSimulator(made, 2)
    simulator.reset(generator=torch.Generator().manual_seed(0))
    simulator.step(torch.zeros(2, dtype=torch.int64))
    assert simulator.render().shape == (2, 1, 192, 160)
