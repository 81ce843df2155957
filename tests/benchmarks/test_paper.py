"""The paper's table: every model keeps to the protocol, cells are made once, and the page says who wins."""

import json
from dataclasses import replace
from functools import partial

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from nova_gym import stepping
from nova_gym.benchmarks.baselines import MODELS, Contestant
from nova_gym.benchmarks.paper import __main__ as command
from nova_gym.benchmarks.paper import data as sets
from nova_gym.benchmarks.paper import measuring, runner
from nova_gym.benchmarks.paper.enlarging import FILTERS, MASKED, coarsened, measure_enlarging
from nova_gym.benchmarks.paper.measuring import JS, PSNR, SSIM, VELOCITY, W1
from nova_gym.benchmarks.paper.pictures import draw_figures
from nova_gym.benchmarks.paper.runner import Settings, collect_cells
from nova_gym.benchmarks.paper.tracking import track, velocity_errors
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.results_page.paper import section
from nova_gym.benchmarks.results_page.reading import Results
from nova_gym.data import load_clips, moving_digits, scenes, unlabelled_clips
from nova_gym.errors import BadInputError
from nova_gym.training import PRESETS, preset
from nova_gym.training.representation import pixel_metric


@pytest.fixture
def small(monkeypatch):
    """NOVA of the size of `tiny`, without compiling."""
    monkeypatch.setitem(PRESETS, "digits", preset("tiny", codes=0))
    monkeypatch.setattr("nova_gym.training.representation.pixel_metric", partial(pixel_metric, probes=64))
    monkeypatch.setattr(stepping, "_compiler", lambda part: None)


@pytest.fixture
def bars():
    """Clips of a grey bar of real numbers that moves to the right."""
    times, columns = torch.arange(12)[:, None, None], torch.arange(24)
    clip = (columns // 2 == times).float().expand(12, 16, 24) * 0.7 + 0.1
    return unlabelled_clips(clip.repeat(6, 1, 1)[:, None].contiguous(), torch.full((6,), 11), {})


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_and_goes_on_from_a_context(name, small, bars):
    model = MODELS[name]()
    model.fit(bars, 0.005, seed=0)
    frames = bars.frames.unflatten(0, (6, 12))[:2]
    drawn = model.go_on(frames[:, :4], 6)
    assert drawn.shape == (2, 6, 1, 16, 24)
    assert 0.0 <= drawn.min() <= drawn.max() <= 1.0
    torch.testing.assert_close(model.go_on(frames[:, :4], 6, every=3), drawn[:, 2::3])
    followed = model.follow(frames, 4)
    assert (followed is None) == (name in ("standard", "warp"))
    assert followed is None or followed.shape == (2, 8, 1, 16, 24)
    step = model.draw_step(frames[:1, :4])
    assert [tuple(step(factor).shape) for factor in (1, 4)] == [(1, 1, 16, 24), (1, 1, 64, 96)]
    assert model.parameters > 1000


class Perfect(Contestant):
    """Knows the future of a column, in grey levels that are off by a constant."""

    name, any_size, parameters = "perfect", False, 7

    def fit(self, clips, minutes, seed, progress=None):
        Perfect.trained += 1

    def go_on(self, context, steps, every=1):
        return context[:, -1:].expand(-1, steps // every, -1, -1, -1) * 0.9

    def draw_step(self, context):
        return lambda factor: context[:, -1].repeat(1, 1, factor, factor)


def explode(*_):
    raise RuntimeError("it explodes")


def test_a_frame_that_is_equal_counts_as_close_as_bytes_can_be():
    frames = np.random.default_rng(0).random((6, 8, 8, 3))
    rounded = (255.0 * frames).round() / 255.0
    assert abs(float(measuring._psnr(frames, rounded).mean()) - measuring.ROUNDED) < 1.0
    assert (measuring._psnr(frames, frames) == measuring.ROUNDED).all()


def test_a_run_makes_the_cells_that_are_missing_and_the_page_says_who_wins(monkeypatch, tmp_path, capsys):
    Perfect.trained = 0
    enlarged = {"bilinear": [30.0, 31.0], "bicubic": [30.0, 32.0], "NOVA, field": [20.0, 21.0]}
    monkeypatch.setattr(runner, "measure_enlarging", lambda *_: enlarged)
    monkeypatch.setitem(MODELS, "lapo", Perfect)
    monkeypatch.setitem(MODELS, "nova-field", type("Field", (Perfect,), {"name": "NOVA, field"}))
    sizes = sets.Sizes(digits=4, scenes=3, test=2, long=1, steps=20)
    settings = Settings(0.01, tmp_path / "work", tmp_path / "pictures", sizes=sizes)
    target = tmp_path / "paper.json"
    balls = command.run(["phyworld"], ["lapo"], [0], settings)
    command.print_table(balls)
    assert "PhyWorld, out of range, 2 clips" in capsys.readouterr().out
    assert {PSNR, SSIM, W1, JS, VELOCITY} <= balls["columns"]["PhyWorld, in range"]["rows"]["perfect"]["figures"].keys()
    names = ["weather"], ["lapo", "nova-field", "warp"]
    monkeypatch.setitem(MODELS, "warp", type("Broken", (Perfect,), {"fit": explode}))
    report = command.run(*names, [0, 1], settings, target)
    assert Perfect.trained == 5
    assert command.run(*names, [0, 1], settings, target) == report  # all cells are there
    assert Perfect.trained == 5
    assert "weather, warp, seed 1 is left out: it explodes" in capsys.readouterr().out
    assert report["columns"]["weather"]["rows"].keys() == {"perfect", "NOVA, field"}
    assert report["columns"]["weather"]["rows"]["perfect"]["figures"][PSNR]["n"] == 2  # seeds
    cells = {("weather", m, 0): json.loads(settings.file("weather", m, 0).read_text()) for m in names[1][:2]}
    assert collect_cells(cells, settings)["columns"]["weather"]["rows"]["perfect"]["figures"][PSNR]["n"] == 2  # clips
    page = "\n\n".join(section(Results(tmp_path)))
    assert "- weather: **missed:** perfect (" in page  # where another wins, the page says so
    assert "Standing still (" in page
    assert "LPIPS is not measured" in page
    assert "ahead of the bilinear filter: **missed:** -10.00 dB" in page
    with pytest.raises(BadInputError, match=r"was made with minutes 0\.01, not 3"):
        command.run(*names, [0], replace(settings, minutes=3.0), None)
    settings.file("weather", "lapo", 0).write_text("{")
    with pytest.raises(BadInputError, match="is no cell of the table"):
        command.run(*names, [0], settings, None)


def test_the_page_tells_a_lead_from_a_tie(tmp_path):
    def row(value, spread):
        return {"figures": {PSNR: {"value": value, "low": value - spread, "high": value + spread, "n": 3}}}

    def page(spread):
        rows = {"NOVA, field": row(20.0, spread), "LAPO": row(18.0, spread)}
        rows = {
            m: {**r, "milliseconds": {"1×": 1.0, "8×": 2.0}, "parameters": 1, "minutes": 1.0, "draws any size": True}
            for m, r in rows.items()
        }
        column = {"data": "d", "note": "n", "clips": 3, "rows": rows, "standing still": row(9.0, spread)["figures"]}
        found = {"minutes of training": 1, "seeds": [0], "intervals": "over clips", "steps of the long run": 9}
        write_results(
            tmp_path / "paper.json",
            {
                **found,
                "why no LPIPS": "x",
                "pictures": ["digits-nova-field"],
                "enlarged": {},
                "columns": {"digits": column},
            },
            None,
        )
        return "\n".join(section(Results(tmp_path)))

    lead = "- digits: NOVA's field is ahead of LAPO (18.00 [17.50, 18.50] dB) by 2.00 dB. Standing still (9.00"
    assert lead in page(0.5)
    assert "- digits: **missed:** ahead of LAPO" in page(1.5)


def test_fields_are_enlarged_by_weights_and_by_filters(small, bars):
    fine = replace(bars, frames=bars.frames.repeat_interleave(2, 2).repeat_interleave(2, 3))
    found = measure_enlarging(fine, fine.frames[:5], 0.02, 0)
    assert {name.removesuffix(MASKED) for name in found} == {*FILTERS, "NOVA, field", "NOVA, one network"}
    assert all(len(values) == 5 for values in found.values())
    assert coarsened(fine.frames[:5]).mean() == pytest.approx(float(fine.frames[:5].mean()), abs=1e-5)


def test_a_picture_shows_edits_and_layers(filmed, tmp_path):
    clips = torch.from_numpy(moving_digits(2, 0, length=20, size=32))[:, :, None]
    draw_figures(filmed, sets.Column("digits", clips, clips, []), tmp_path / "a.png")
    height, width, _ = iio.imread(tmp_path / "a.png").shape
    assert height > 9 * 64
    assert width > 10 * 64  # nine rows of ten frames, each pixel drawn as four


def test_tracked_balls_have_the_speed_they_have():
    made = scenes(6, seed=3, length=8)
    frames, radii = made.frames / 255.0, made.radii / 10.0
    places = np.stack([made.places[..., 0], 10.0 - made.places[..., 1]], axis=-1) / 10.0
    np.testing.assert_allclose(track(frames[:, 0]), places[:, 0], atol=0.003)
    error, missing = velocity_errors(places, radii, frames[:, 0], frames[:, 1:])
    assert error.max() < 0.3  # of a pixel's share: a pixel a frame is 0.8
    assert not missing.any()
    speed = np.nanmean(np.linalg.norm(np.diff(places, axis=1), axis=-1), axis=(1, 2)) * 100.0
    stood, _ = velocity_errors(places, radii, frames[:, 0], frames[:, :1].repeat(7, 1))
    np.testing.assert_allclose(stood, speed, rtol=0.02)
    blank, lost = velocity_errors(places, radii, frames[:, 0], np.ones_like(frames[:, 1:]))
    np.testing.assert_allclose(blank, stood, rtol=0.02)
    assert (lost == 1.0).all()


def test_data_that_is_too_small_is_refused_in_a_line(tmp_path, monkeypatch, dataset):
    np.savez(tmp_path / "a.npz", frames=np.random.default_rng(0).random((16, 8, 8)))
    with pytest.raises(BadInputError, match="too few times"):
        sets.weather(0, sets.Sizes(), str(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", frames=np.zeros((16, 8, 8), dtype=np.uint8))
    with pytest.raises(BadInputError, match="holds no field"):
        sets.weather(0, sets.Sizes(), str(tmp_path / "b.npz"))
    clips = load_clips(dataset)
    monkeypatch.setattr(sets, "load_clips", lambda *_, **__: clips.part(clips.lengths < 19))
    with pytest.raises(BadInputError, match="too few clips of 20 frames"):
        sets.minigrid(0, sets.Sizes(), dataset)
