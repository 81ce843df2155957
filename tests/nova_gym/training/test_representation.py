"""Stage 1: frames cut into cells, points of pixels, and the loss."""

import pytest
import torch
import torch.nn.functional as F

from nova_gym.data import to_unit, unlabelled_clips
from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.inr import coordinate_grid
from nova_gym.model.world_model import WorldModel
from nova_gym.training import preset
from nova_gym.training.representation import (
    JITTER,
    Representation,
    between,
    drawn_within,
    encode_all,
    in_cells,
    picture_loss,
)


def test_with_a_margin_black_lies_beyond_the_range_where_further_is_as_good_and_the_psnr_is_of_what_is_seen():
    truth = torch.tensor([[[0.0, 1.0, 0.5]]])

    def of(black, white, grey):
        loss, metrics = picture_loss(torch.tensor([[[black, white, grey]]]), truth, margin=0.1)
        return float(loss), float(metrics["psnr"])

    assert of(-0.1, 1.1, 0.5) == of(-3.0, 2.0, 0.5) == (0.0, float("inf"))
    just_black, dark_grey = of(0.0, 1.0, 0.5), of(0.01, 1.0, 0.5)
    assert 0.0 < just_black[0] < dark_grey[0]
    assert just_black[1] == float("inf") > dark_grey[1]
    assert of(-0.1, 1.1, 0.6)[1] == pytest.approx(of(-0.1, 1.1, 0.4)[1], rel=1e-3)


def test_cells_are_cut_out_row_by_row():
    frames = torch.arange(2 * 3 * 6 * 20).view(2, 3, 6, 20)
    cut = in_cells(frames, (2, 4))
    assert cut.shape == (2, 15, 3, 8)
    assert torch.equal(cut[1, 7], frames[1, :, 2:4, 8:12].flatten(1))  # row 1, column 2 of 3 × 5


def test_a_pixel_is_drawn_near_its_centre_at_another_point_in_each_step(tiny, clips):
    stage = Representation(tiny.world_model, clips, preset("tiny").training)
    seen = [stage.batch(torch.Generator().manual_seed(step), 0.0)["points"] for step in range(200)]
    off = (torch.stack(seen) - stage.grid) / stage.pixel
    assert off.abs().max() <= JITTER + 1e-5
    assert off.abs().max() > 0.95 * JITTER
    assert off.mean().abs() < 0.01
    assert not torch.equal(seen[0], seen[1])


def test_between_pixels_a_field_is_interpolated_also_across_cells():
    grid = coordinate_grid(4, 6)
    frames = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(between(frames, grid, (4, 6)), in_cells(frames, (4, 6)), atol=1e-5, rtol=0.0)
    slope = torch.arange(12.0).expand(1, 1, 8, 12) / 12 + torch.arange(8.0)[:, None] / 4
    moved = between(slope, grid + torch.tensor([0.4 * 2 / 6, 0.4 * 2 / 4]), (4, 6))
    inner = in_cells(F.pad(torch.ones(4, 8), (2, 2, 2, 2))[None, None], (4, 6)) > 0  # away from the frame's edges
    torch.testing.assert_close(moved[inner], (in_cells(slope, (4, 6)) + 0.4 / 12 + 0.4 / 4)[inner], atol=1e-2, rtol=0.0)


def test_fields_are_trained_on_what_lies_between_pixels_and_pictures_are_not(clips):
    config = ModelConfig(frame_size=(16, 16), inr=INRConfig(channels=1), cell=(8, 8))
    slope = (torch.arange(16.0) / 16).expand(4, 1, 16, 16).contiguous()
    seen = []
    for frames in (slope, (slope * 255).byte()):
        stage = Representation(
            WorldModel(config), unlabelled_clips(frames, torch.tensor([3]), {}), preset("tiny").training
        )
        batch = stage.batch(torch.Generator().manual_seed(0), 0.0)
        drawn = stage.model.draw(stage.model.encode(to_unit(batch["frames"])), batch["points"])
        truth = in_cells(to_unit(batch["frames"]), (8, 8)).flatten(0, 1)
        both = (each.unflatten(0, (-1, 4)).movedim(2, 1).flatten(2) for each in (drawn, truth))
        seen.append(float((stage(batch)[0] / picture_loss(*both)[0]).detach()))
    assert seen[1] == pytest.approx(1.0, abs=1e-5)
    assert abs(seen[0] - 1.0) > 1e-5


def test_a_card_says_how_well_nearly_all_cells_of_the_recording_are_drawn(tiny, clips):
    states = encode_all(tiny.world_model, clips)
    drawn = tiny.world_model.render(states)
    errors = in_cells((drawn - clips.frames / 255.0).square(), (8, 8)).mean((2, 3)).flatten()
    assert tiny.card.drawn_within == pytest.approx(drawn_within(tiny.world_model, clips, states))
    worse = (errors > 1.0001 * tiny.card.drawn_within).float().mean()  # equal cells are equal up to rounding
    assert 0 < worse <= 0.0012
