"""Fields of real numbers are read with their units, and what cannot be read is refused in one line."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
import xarray
from iris_sample_data import path as samples

from nova_gym.data import Scale, fields, load_clips
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.training import Run, preset, train

REAL = Path(samples) / "A1B_north_america.nc"


def dataset(rows=32, cols=64, times=6, name="t2m", start="2020-01-01", **axes):
    """A warm front that moves eastwards; latitudes ascend, as they do not in ERA5."""
    shape = {"time": times, "lat": rows, "lon": cols}
    values = 250.0 + 40.0 * (np.arange(cols) < 4 * np.arange(times)[:, None, None]) + np.arange(rows)[:, None]
    coords = {
        "time": np.datetime64(start, "ns") + np.arange(times) * np.timedelta64(6, "h"),
        "lat": np.linspace(-90, 90, rows),
    }
    array = xarray.DataArray(np.broadcast_to(values, tuple(shape.values())).copy(), coords, tuple(shape), name)
    return array.rename(axes).to_dataset().assign_attrs(title="made up")


def test_a_dream_of_real_temperatures_gives_their_units_back(tmp_path):
    clips = load_clips(str(REAL))
    assert clips.frames.shape == (240, 1, 32, 48)  # the field has 37 × 49 values, too few for 32 × 64
    truth = xarray.open_dataset(REAL)["air_temperature"].values[:, ::-1]  # this file begins in the south
    units = Scale.of(clips.metadata).to_units(clips.frames.numpy())
    assert units.mean() == pytest.approx(truth.mean(dtype=float), abs=0.1)
    assert abs(units[:, 0, 0].mean() - truth[:, 0].mean()) < 1.0  # the north is above
    assert len(np.unique(clips.frames.numpy())) > 10_000  # real numbers, not bytes
    small = load_clips(str(REAL)).part(torch.arange(8) < 1)
    train(small, "air", preset("tiny"), Run(tmp_path / "a.ckpt", device="cpu")).save(tmp_path / "a.safetensors")
    dream = Dream.load(tmp_path / "a.safetensors")
    scale = Scale.of(dream.card.data)
    assert scale.units == "K"
    drawn = scale.to_units(dream.world_model.render(dream.starts["clips"]).numpy())
    assert scale.low <= drawn.min() < drawn.max() <= scale.high


def test_means_keep_the_mean_and_the_place():
    values = np.zeros((1, 64, 100))
    values[0, 0, 99] = 8.0
    coarse = fields.regrid(values, (32, 64))
    assert coarse.mean() == pytest.approx(values.mean())
    assert np.flatnonzero(coarse).tolist() == [63]


def test_several_files_and_stores_make_one_series_that_is_cut_at_gaps(tmp_path):
    later, first = dataset(start="2020-01-02T12"), dataset()
    later.to_netcdf(tmp_path / "a.nc")
    first.to_netcdf(tmp_path / "b.nc")
    whole = load_clips(str(tmp_path))
    assert whole.lengths.tolist() == [11]
    assert (whole.frames[1:, 0, 0].sum(1) > whole.frames[:-1, 0, 0].sum(1)).sum() == 10  # the earlier file comes first
    dataset(start="2020-03-01").to_netcdf(tmp_path / "c.nc")
    assert load_clips(str(tmp_path)).lengths.tolist() == [11, 5]
    first.to_zarr(tmp_path / "d.zarr")
    np.testing.assert_array_equal(
        load_clips(str(tmp_path / "d.zarr")).frames, load_clips(str(tmp_path / "b.nc")).frames
    )


def test_a_variable_is_chosen_by_name(tmp_path):
    both = dataset(name="wind").merge(dataset(name="rain") * 2.0)
    both.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(BadInputError, match="several fields, wind, rain: name one as PATH#NAME"):
        load_clips(str(tmp_path / "a.nc"))
    assert load_clips(f"{tmp_path / 'a.nc'}#rain").metadata["scale"]["name"] == "rain"
    with pytest.raises(BadInputError, match="no variable 'snow'; there are wind, rain"):
        load_clips(f"{tmp_path / 'a.nc'}#snow")


def holes():
    found = dataset()
    found["t2m"][2, 3, 4:6] = np.nan
    return found


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (dataset().isel(time=0, drop=True), r"no variable has axes of time, latitude and longitude, t2m \(lat, lon\)"),
        (dataset(lat="row", lon="column"), r"no variable has axes .* t2m \(time, row, column\)"),
        (dataset().expand_dims(level=2), "further axis level"),
        (dataset(times=1), "a clip has 2 or more"),
        (dataset(rows=4), "4×64 is too small"),
        (dataset() * 0.0, "all values of t2m are 0"),
        (holes(), "2 of 12,288 values of t2m are missing"),
    ],
)
def test_what_is_no_field_is_refused_in_one_line(made, message, tmp_path):
    made.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(BadInputError, match=message):
        load_clips(str(tmp_path / "a.nc"))


def test_files_that_do_not_go_together_are_refused(tmp_path, monkeypatch):
    dataset().to_netcdf(tmp_path / "a.nc")
    dataset(cols=32).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(BadInputError, match=r"32×64 in a\.nc and 32×32 in b\.nc"):
        load_clips(str(tmp_path))
    (tmp_path / "b.nc").write_bytes(b"nonsense")
    with pytest.raises(BadInputError, match=r"b\.nc: it is no NetCDF file"):
        load_clips(str(tmp_path))
    iio.imwrite(tmp_path / "c.gif", np.zeros((2, 8, 8, 3), dtype=np.uint8))
    with pytest.raises(BadInputError, match=r"several kinds: c\.gif \(video\), a\.nc \(fields\)"):
        load_clips(str(tmp_path))
    monkeypatch.setattr("nova_gym.errors.find_spec", lambda name: None)
    with pytest.raises(BadInputError, match=r"need the package xarray: pip install 'nova-gym\[fields\]'"):
        load_clips(str(tmp_path / "a.nc"))


def test_real_numbers_in_arrays_keep_their_scale(tmp_path):
    values = np.random.default_rng(0).normal(100.0, 20.0, (2, 5, 8, 8))
    np.savez(tmp_path / "a.npz", frames=values)
    clips = load_clips(str(tmp_path / "a.npz"))
    assert clips.lengths.tolist() == [4, 4]
    np.testing.assert_allclose(Scale.of(clips.metadata).to_units(clips.frames).reshape(values.shape), values, atol=1e-3)
    np.savez(tmp_path / "b.npz", frames=np.zeros((2, 5, 8, 8), dtype=np.uint8))
    with pytest.raises(BadInputError, match=r"real numbers, such as a\.npz, and some uint8"):
        load_clips(str(tmp_path))
    np.savez(tmp_path / "b.npz", frames=np.full((5, 8, 8), np.nan))
    with pytest.raises(BadInputError, match=r"b\.npz: 320 of 320 values are missing"):
        load_clips(str(tmp_path / "b.npz"))
