"""Scenes obey the laws of mechanics, and the public files' layout is read."""

import h5py
import imageio.v3 as iio
import numpy as np
import pytest

from nova_gym.data import load_clips, phyworld, scenes
from nova_gym.errors import BadInputError


@pytest.fixture(scope="module")
def made():
    return scenes(24, seed=0, length=16, size=64)


def velocities(made):
    return np.diff(made.places, axis=1) / phyworld.SECONDS


def test_balls_roll_on_fall_and_collide_without_loss(made):
    rolling, colliding, falling = (made.kinds == kind for kind in range(3))
    speed = velocities(made)
    np.testing.assert_allclose(np.diff(speed[rolling, :, 0], axis=1), 0.0, atol=1e-6)
    np.testing.assert_allclose(
        np.diff(speed[falling, :, 0, 1], axis=1), -phyworld.GRAVITY * phyworld.SECONDS, atol=1e-6
    )
    mass, before, after = made.radii[colliding] ** 2, speed[colliding, 0], speed[colliding, -1]
    assert (np.sign(before[..., 0]) != np.sign(after[..., 0])).any(1).mean() > 0.5  # most have met within 16 frames
    for quantity in (lambda v: (mass[..., None] * v).sum((1, 2)), lambda v: (mass * np.square(v).sum(-1)).sum(1)):
        np.testing.assert_allclose(quantity(before), quantity(after), atol=1e-6)


def test_what_is_drawn_lies_where_the_ball_is(made):
    clip = int(np.flatnonzero(made.kinds == 0)[0])
    red = 255.0 - made.frames[clip, 0, :, :, 1]
    rows, cols = np.indices(red.shape) + 0.5
    x, y = ((red * each).sum() / red.sum() / 64 * phyworld.WORLD for each in (cols, rows))
    np.testing.assert_allclose((x, phyworld.WORLD - y), made.places[clip, 0, 0], atol=0.02)
    assert red.sum() / 255 == pytest.approx(np.pi * (made.radii[clip, 0] / phyworld.WORLD * 64) ** 2, rel=0.02)


def test_scenes_follow_from_their_seed_and_held_out_ones_are_out_of_range(made):
    np.testing.assert_array_equal(scenes(3, seed=0, length=16, size=64).frames, made.frames[:3])
    assert (scenes(3, seed=0, test=True, length=16, size=64).frames != made.frames[:3]).any()
    inside, outside = made, scenes(24, seed=0, outside=True, length=2, size=8)
    for found, ranges in ((inside, [phyworld.RADII]), (outside, phyworld.OUTSIDE_RADII)):
        radii = found.radii[np.isfinite(found.radii)]
        assert np.any([(low <= radii) & (radii <= high) for low, high in ranges], axis=0).all()
    speed = np.linalg.norm(velocities(outside)[:, 0], axis=-1)[outside.kinds == 0]
    assert not ((speed[:, 0] > 0.81) & (speed[:, 0] < 4.49)).any()


def test_the_public_files_are_read(made, tmp_path):
    file = tmp_path / "collision_30K.hdf5"
    with h5py.File(file, "w") as stored:
        for at, name in enumerate(("00000", "00001")):
            streams = stored.create_dataset(f"video_streams/{name}", 1, dtype=h5py.vlen_dtype(np.dtype("uint8")))
            stream = iio.imwrite("<bytes>", made.frames[at, :4].repeat(4, 1).repeat(4, 2), extension=".mp4")
            streams[0] = np.frombuffer(stream, dtype=np.uint8)
    clips = load_clips(str(file))
    assert clips.frames.shape == (8, 3, 128, 128)
    assert clips.lengths.tolist() == [3, 3]
    shown = clips.frames[4:8, :, ::2, ::2].permute(0, 2, 3, 1).numpy()
    assert np.abs(shown.astype(float) - made.frames[1, :4]).mean() < 3.0


def test_files_of_another_kind_are_refused_in_one_line(tmp_path):
    file = tmp_path / "a.hdf5"
    file.write_bytes(b"nonsense")
    with pytest.raises(BadInputError, match=r"cannot read .*a\.hdf5 as PhyWorld"):
        load_clips(str(file))
    for key, message in (
        ("frames", "holds frames; a file of PhyWorld holds video_streams"),
        ("video_streams", "no MP4"),
    ):
        with h5py.File(file, "w") as stored:
            stored[key] = np.zeros((2, 5), dtype=np.uint8)
        with pytest.raises(BadInputError, match=message):
            load_clips(str(file))
    with pytest.raises(BadInputError, match="at least 1 clip"):
        scenes(0, seed=0)
