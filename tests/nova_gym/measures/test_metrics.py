import numpy as np
import pytest

from nova_gym.envs import make_reality
from nova_gym.envs.reality import grids
from nova_gym.errors import BadInputError
from nova_gym.measures import find_tiles, histogram, jensen_shannon, overlap, perceptual, wasserstein


def test_wasserstein_is_how_far_values_were_moved():
    dark = np.full((3, 4, 4, 1), 50, dtype=np.uint8)
    assert wasserstein(dark, dark + np.uint8(51)) == pytest.approx(51 / 256)
    assert wasserstein(dark, dark / 255.0) == 0.0
    noise = np.random.default_rng(0).random((2, 8, 8, 3))
    assert wasserstein(noise, noise[::-1, ::-1]) == 0.0  # where and when does not matter


def test_jensen_shannon_is_the_distance_not_the_divergence():
    black, white = np.zeros((2, 4)), np.ones((2, 4))
    assert jensen_shannon(black, black) == 0.0
    assert jensen_shannon(black, white) == pytest.approx(1.0)
    half = np.concatenate([black, white])
    divergence = (np.log2(1 / 0.75) + 0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25)) / 2
    assert jensen_shannon(black, half) == pytest.approx(np.sqrt(divergence))


@pytest.mark.parametrize("values", [np.zeros(0), np.array([1.5]), np.array([np.nan])])
def test_a_histogram_of_what_is_no_frame_is_refused(values):
    with pytest.raises(BadInputError, match="within"):
        histogram(values)


def test_the_agent_is_found_wherever_it_is(shipped):
    env = make_reality(shipped, "pixels")
    env.reset(seed=0)
    free = grids.free_cells(env)
    poses = [(cell, direction) for cell in free for direction in range(4)]
    frames = []
    for pose in poses:
        grids.place_agent(env, *pose)
        frames.append(env.frame() / 255.0)
    frames = np.stack(frames)
    looks = np.stack(
        [f[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] for f, ((x, y), _) in zip(frames, poses[:4], strict=False)]
    )
    places, errors = find_tiles(frames, looks)
    assert places.tolist() == [[y, x, direction] for (x, y), direction in poses]
    assert errors.max() == 0.0
    frames[0] = 0.0  # where there is no agent, the error says so
    assert find_tiles(frames[:1], looks)[1] > 0.02


def test_overlap_is_intersection_over_union():
    background = np.zeros((2, 4, 1))
    first, second = np.zeros((2, 2, 4, 1)), np.zeros((2, 2, 4, 1))
    first[0, 0, :2], second[0, 0, 1:3] = 1.0, 0.5  # one pixel of three in common, whatever its value
    second[0, 1] = 0.05  # noise is not foreground
    np.testing.assert_allclose(overlap(first, second, background), [1 / 3, 1.0])


def test_lpips_says_why_it_is_missing_and_never_downloads(tmp_path, monkeypatch):
    frames = np.zeros((1, 72, 72, 3))
    monkeypatch.setattr(perceptual, "find_spec", lambda name: object())
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    assert perceptual.lpips(frames, frames) is None
    assert "is not downloaded" in perceptual.why_no_lpips()
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    assert perceptual.lpips(frames, frames) is None
    assert "lpips is not installed" in perceptual.why_no_lpips()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(bool(perceptual.why_no_lpips()), reason=perceptual.why_no_lpips())
def test_lpips_of_a_frame_with_itself_is_zero():
    frames = np.random.default_rng(0).random((2, 72, 72, 1))
    assert perceptual.lpips(frames, frames) == pytest.approx([0.0, 0.0])
    assert (perceptual.lpips(frames, frames[::-1]) > 0).all()
