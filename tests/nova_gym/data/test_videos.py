import warnings

import imageio.v3 as iio
import minari
import numpy as np
import pytest
import torch
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from nova_gym.data import load_clips
from nova_gym.data.loading import first_clips
from nova_gym.errors import BadInputError


def frames(count, height=32, width=48, channels=3):
    """A bright bar that moves down."""
    made = np.zeros((count, height, width, channels), dtype=np.uint8)
    for time in range(count):
        made[time, 4 + 2 * time : 8 + 2 * time] = 250
    return made


def test_a_folder_of_videos_makes_clips_without_labels(tmp_path):
    iio.imwrite(tmp_path / "a.mp4", frames(5), fps=10, macro_block_size=16)
    iio.imwrite(tmp_path / "b.gif", frames(4))
    np.savez(tmp_path / "c.npz", frames=np.stack([frames(3)] * 2))
    (tmp_path / "notes.txt").write_text("not a video")
    clips = load_clips(str(tmp_path))
    assert not clips.labelled
    assert clips.action_count == 0
    assert clips.lengths.tolist() == [4, 3, 2, 2]
    assert clips.frames.shape == (15, 3, 32, 48)
    assert clips.source.tolist() == [0, 1, 2, 3, 5, 6, 7, 9, 10, 12, 13]
    assert not clips.rewards.any()
    assert not clips.terminations.any()
    for start, time in ((0, 4), (5, 3), (9, 2)):  # MP4 is lossy, but shows the same
        truth = torch.from_numpy(frames(time + 1)[time]).permute(2, 0, 1)
        assert (clips.frames[start + time].float() - truth.float()).abs().mean() < 12


@pytest.mark.parametrize(
    ("shape", "count", "channels"),
    [((5, 8, 9), 1, 1), ((5, 8, 9, 3), 1, 3), ((2, 5, 8, 9), 2, 1), ((2, 5, 8, 9, 3), 2, 3)],
)
def test_an_array_s_layout_follows_from_its_shape(shape, count, channels, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "clip.npz", frames=array)
    read = load_clips(str(tmp_path / "clip.npz"))
    assert read.lengths.tolist() == [4] * count
    np.testing.assert_array_equal(read.frames.permute(0, 2, 3, 1).numpy(), array.reshape(count * 5, 8, 9, channels))


def test_moving_mnist_s_layout_has_time_first(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "some.npy", array)
    read = load_clips(str(tmp_path / "some.npy"))
    assert read.lengths.tolist() == [3, 3, 3]
    np.testing.assert_array_equal(read.frames[:4, 0].numpy(), array[:, 0])


def test_clips_of_mixed_size_are_refused_by_name_and_can_be_scaled(tmp_path):
    np.savez(tmp_path / "a.npz", frames=frames(3))
    np.savez(tmp_path / "b.npz", frames=frames(3, 64, 96))
    with pytest.raises(BadInputError, match=r"a\.npz has 32×48×3, b\.npz has 64×96×3"):
        load_clips(str(tmp_path))
    clips = load_clips(str(tmp_path), size=24)
    assert clips.frames.shape == (6, 3, 16, 24)


def test_what_is_no_video_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="no video at"):
        load_clips(str(tmp_path))
    for name, content in (("a.mp4", b"nonsense"), ("b.npz", b"nonsense"), ("c.gif", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInputError, match=f"cannot read .*{name}"):
            load_clips(str(tmp_path / name))
    np.savez(tmp_path / "d.npz", frames=np.zeros((3, 8, 8), dtype=np.int32))
    with pytest.raises(BadInputError, match=r"d\.npz: int32 .* must be uint8 or floating point"):
        load_clips(str(tmp_path / "d.npz"))
    np.savez(tmp_path / "e.npz", pictures=np.zeros((3, 8, 8), dtype=np.uint8))
    with pytest.raises(BadInputError, match=r"e\.npz.*frames"):
        load_clips(str(tmp_path / "e.npz"))
    np.savez(tmp_path / "f.npz", frames=np.zeros((1, 8, 8), dtype=np.uint8))
    with pytest.raises(BadInputError, match="at least 2"):
        load_clips(str(tmp_path / "f.npz"))


@pytest.mark.parametrize("space", [spaces.Box(-np.inf, np.inf, (2,)), spaces.Text(3)])
def test_a_dataset_of_others_needs_no_actions_that_a_dream_can_have(space):
    space.seed(0)
    buffer = EpisodeBuffer(
        observations=np.zeros((4, 16, 16, 3), dtype=np.uint8),
        actions=[space.sample() for _ in range(3)],
        rewards=[0.0] * 3,
        terminations=[False] * 3,
        truncations=[False, False, True],
    )
    name = f"others/{type(space).__name__.lower()}-v0"
    pictures = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    with warnings.catch_warnings(action="ignore"):  # Minari would like an author and a link
        minari.create_dataset_from_buffers(name, [buffer], observation_space=pictures, action_space=space)
    with pytest.raises(BadInputError, match="--no-actions"):
        load_clips(name)
    assert load_clips(name, labels=False).frames.shape == (4, 3, 16, 16)


def test_a_recording_can_be_read_without_its_labels(dataset, clips):
    bare = load_clips(dataset, labels=False)
    assert not bare.labelled
    assert torch.equal(bare.frames, clips.frames)
    assert torch.equal(bare.source, clips.source)
    assert bare.actions.shape == (len(clips.actions), 0)


def test_the_first_clips_that_are_long_enough_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", frames=np.stack([frames(3)] * 2))
    iio.imwrite(tmp_path / "b.gif", frames(6))
    assert first_clips(str(tmp_path), 4, 3).shape == (3, 3, 3, 32, 48)
    (clip,) = first_clips(str(tmp_path), 4, 5)
    np.testing.assert_array_equal(clip.permute(0, 2, 3, 1), frames(6)[:5])
    assert first_clips(str(tmp_path), 4, 7).shape == (0, 7, 3, 32, 48)
    assert first_clips("digits", 2, 10).shape == (2, 10, 1, 64, 64)
