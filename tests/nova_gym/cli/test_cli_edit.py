import imageio.v3 as iio
import numpy as np
import pytest
from typer.testing import CliRunner

from nova_gym.cli import app
from nova_gym.cli.edit import MODES
from nova_gym.dream import Card, Dream
from nova_gym.envs.reality.clips import read_clip, real_clip
from nova_gym.model.world_model import WorldModel
from nova_gym.training import preset


def run(*arguments):
    return CliRunner().invoke(app, ["edit", *(str(argument) for argument in arguments)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where clips of every kind lie, good and bad."""
    monkeypatch.chdir(tmp_path)
    frames = np.zeros((6, 72, 72, 3), dtype=np.uint8)
    np.savez("black.npz", frames=frames)
    np.savez("one.npz", frames=frames[:1])
    np.savez("grey.npz", frames=frames[..., :1])
    np.savez("small.npz", frames=frames[:, :64])
    np.savez("odd.npz", frames=frames[:, :70])
    np.savez("float.npz", frames=frames / 255.0)
    np.savez("other.npz", pictures=frames)
    (tmp_path / "text.gif").write_text("no film")
    (tmp_path / "notes.txt").write_text("no clip")
    return tmp_path


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_writes_a_film_and_rows(mode, folder):
    done = run(mode, "--steps", 5, "--at", 2, "--over", 2, "-o", "out/mine")
    assert done.exit_code == 0, done.output
    film = iio.imread("out/mine.gif", plugin="pillow")
    assert len(film) == (5 if mode == "layers" else 6)
    rows = 5 if mode == "layers" else len(MODES[mode]) + 1
    assert rows * 144 < iio.imread("out/mine.png").shape[0] < (rows + 1) * 144
    assert run(mode, "-o", "out/mine.gif").exit_code == 2  # nothing is replaced unasked


def test_the_same_seed_gives_the_same_pictures_and_files_stand_for_seeds(shipped, folder):
    np.savez("motion.npz", frames=real_clip(shipped, 8, 5))
    assert run("motion", "--seed", 7, "--steps", 5, "-o", "a").exit_code == 0
    assert run("motion", "--content", 7, "--motion", "motion.npz", "--steps", 5, "-o", "b").exit_code == 0
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    assert run("motion", "--seed", 8, "--steps", 5, "-o", "c").exit_code == 0
    assert (folder / "a.png").read_bytes() != (folder / "c.png").read_bytes()


@pytest.mark.parametrize("ending", ["npz", "gif", "mp4"])
def test_clips_are_read_from_every_kind_of_file(shipped, folder, ending):
    frames = real_clip(shipped, 0, 5)
    if ending == "npz":
        np.savez("clip.npz", frames=frames)
    else:
        iio.imwrite(f"clip.{ending}", frames, **({"fps": 5, "macro_block_size": 2} if ending == "mp4" else {}))
    assert np.abs(read_clip(folder / f"clip.{ending}", shipped).astype(int) - frames).mean() < 6


def test_a_grey_dream_reads_grey_films_and_refuses_colour(folder):
    grey = Dream(WorldModel(preset("tiny", inr=preset("tiny").model.inr.__class__(channels=1)).model), {}, Card())
    grey.save("grey.safetensors")
    ramp = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full((1, 72, 72, 3), 40, dtype=np.uint8)
    iio.imwrite("ramp.gif", ramp)
    done = run("layers", "--dream", "grey.safetensors", "--clip", "ramp.gif")
    assert done.exit_code == 0, done.output
    for arguments, message in (
        (("--clip", "black.npz"), "is RGB; this dream sees grey"),
        ((), "no real counterpart"),
    ):
        wrong = run("layers", "--dream", "grey.safetensors", "-o", "x", *arguments)
        assert (wrong.exit_code, message in wrong.output) == (2, True), wrong.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("blend",), "content, motion, both, interpolate, layers"),
        (("content", "--clip", "0"), "has no --clip"),
        (("motion", "--dream", "nothing"), "neither a file nor one that ships"),
        (("motion", "--motion", "one.npz"), "at least 2"),
        (("motion", "--motion", "grey.npz"), "is grey; this dream sees RGB"),
        (("motion", "--motion", "small.npz"), "one size, not content 72×72, motion 64×72"),
        (("motion", "--motion", "odd.npz"), "do not divide into cells"),
        (("motion", "--motion", "float.npz"), "uint8"),
        (("motion", "--motion", "other.npz"), "no array called frames"),
        (("motion", "--motion", "text.gif"), "cannot read the clip"),
        (("motion", "--motion", "nowhere.npz"), "cannot read the clip"),
        (("motion", "--motion", "notes.txt"), "must end in .npz, .gif, .mp4"),
        (("motion", "--motion", "black.npz", "--at", "5"), "has 5 steps"),
        (("motion", "--steps", "0"), "--steps"),
        (("layers", "--clip", "black.npz", "-o", "notes.txt/x"), "cannot write"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, folder):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_clips_of_another_level_are_edited_at_its_size(folder):
    done = run("motion", "--reality", "MiniGrid-FourRooms-v0", "--steps", 5, "-o", "rooms")
    assert done.exit_code == 0, done.output
    assert iio.imread("rooms.gif", plugin="pillow").shape[1] > 3 * 152


def test_an_episode_that_never_lasts_so_long_is_not_waited_for(folder, monkeypatch):
    monkeypatch.setattr("nova_gym.envs.reality.clips.ATTEMPTS", 2)
    result = run("layers", "--steps", 100_000)
    assert (result.exit_code, "ask for fewer" in result.output) == (2, True)


def test_the_command_explains_every_mode():
    explained = run("--help").output
    assert all(f"{mode}  " in explained for mode in MODES)
