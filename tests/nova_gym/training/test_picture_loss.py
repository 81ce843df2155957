import pytest
import torch

from nova_gym.training.representation import picture_loss


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
