"""Fields of real numbers over time, such as temperatures: clips of grey frames, from NetCDF and Zarr."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nova_gym.data.clips import Clips, unlabelled_clips
from nova_gym.errors import BadInputError, needs_package
from nova_gym.tensor_file import first_line

if TYPE_CHECKING:
    import xarray

#: Suffixes of files, and of folders that are one store.
FILES, STORES = (".nc", ".nc4", ".cdf"), (".zarr",)
#: Rows and columns that fields are made of, as in WeatherBench, where they are as fine as that.
GRID = (32, 64)
#: Frames of a clip at most: a series is cut into clips of so many.
LENGTH = 32
#: The room that the scale leaves below the least and above the largest value, as a share of what lies between.
MARGIN = 0.05
#: Names of the variable that is taken where a file holds several: temperature 2 m above the ground.
PREFERRED = ("t2m", "2m_temperature", "tas", "air_temperature")
#: Names of the axes.
TIMES = ("time", "valid_time", "t")
LATITUDES, LONGITUDES = ("latitude", "lat", "y"), ("longitude", "lon", "x")

_CELL = 8
_GAP = 1.5
_AT_ONCE = 2**24


@dataclass(frozen=True)
class Scale:
    """What a frame's values mean: 0 is `low` and 1 is `high`, in `units`.

    Attributes:
        low: the least value.
        high: the largest value.
        name: of the variable, empty if it has none.
        units: of the variable, empty if they are not known.
    """

    low: float
    high: float
    name: str = ""
    units: str = ""

    @classmethod
    def of(cls, card: dict[str, Any]) -> Scale | None:
        """The scale of a dream, from what its card says of the recording (`Card.data`); None for pictures."""
        return cls(**card["scale"]) if "scale" in card else None

    @classmethod
    def around(cls, values: np.ndarray, name: str = "", units: str = "") -> Scale:
        """A scale for values of any shape.

        Raises:
            BadInputError: all of them are the same, so there is nothing to see.
        """
        low, high = float(values.min()), float(values.max())
        if not high > low:
            raise BadInputError(f"all values of {name or 'the field'} are {low:g}: there is nothing to learn")
        room = MARGIN * (high - low)
        return cls(low - room, high + room, name, units)

    def to_frames(self, values: np.ndarray) -> np.ndarray:
        """Values in units → float32 as frames have them, in [0, 1] for values between `low` and `high`."""
        return ((values - self.low) / (self.high - self.low)).astype(np.float32)

    def to_units(self, frames: np.ndarray) -> np.ndarray:
        """Values of frames, in [0, 1] → float64 in units."""
        return np.asarray(frames, dtype=np.float64) * (self.high - self.low) + self.low

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy, for a card."""
        return asdict(self)


def load_fields(
    paths: list[Path], variable: str | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> Clips:
    """Reads one variable of NetCDF files or Zarr stores, as one series over all of them, the earliest first.

    A variable has an axis of time, one of latitude and one of longitude; further axes must have the length 1. Fields
    are laid out with the north above and averaged over the parts of a grid of 32 × 64. One that is coarser than that
    keeps about its own size, in multiples of 8. Values become grey float32 frames in [0, 1]; what they mean stands in
    the metadata, and so in the card of a dream: `Scale.of(dream.card.data)`.

    The series is cut into clips of 32 frames, and where a time is missing or time begins anew, as it does in files that
    tell of the same times.

    Args:
        paths: of files or stores.
        variable: its name; None for the only one, or for the temperature at 2 m.
        progress: called with the number of files read and their total.

    Raises:
        BadInputError: a file cannot be read, holds no such variable, has no time, too few times or missing values; the
            grids of files differ; or xarray or what it needs for this kind of file is not installed.
    """
    needs_package("xarray", "fields", "fields")
    series, times, first = [], [], None
    for number, path in enumerate(paths):
        try:
            values, when, size, name, units = _read(path, variable)
        except BadInputError as error:
            raise BadInputError(f"{path.name}: {error}") from error
        first = first or (path.name, size, name, units)
        if size != first[1]:
            sizes = " and ".join(f"{h}×{w} in {file}" for file, (h, w) in (first[:2], (path.name, size)))
            raise BadInputError(f"fields differ in size (latitudes×longitudes): {sizes}")
        if (name, units) != first[2:]:
            raise BadInputError(f"{first[0]} holds {first[2]} in {first[3]!r}, {path.name} holds {name} in {units!r}")
        series.append(values)
        times.append(when)
        progress(number + 1, len(paths))
    order = sorted(range(len(paths)), key=lambda file: times[file][0])
    return field_clips(*(np.concatenate([each[file] for file in order]) for each in (series, times)), *first[2:])


def field_clips(values: np.ndarray, times: np.ndarray, name: str, units: str) -> Clips:
    """A series of fields as a recording without labels.

    Args:
        values: (T, H, W), the first row in the north.
        times: (T,) in any unit.
        name, units: of the variable.

    Raises:
        BadInputError: there are fewer than 2 frames in a row, or all values are the same.
    """
    steps = np.diff(times)
    gaps = np.flatnonzero((steps > _GAP * np.median(steps)) | (steps <= 0)) + 1 if len(steps) else []
    runs = [run for part in np.split(np.arange(len(values)), gaps) for run in np.split(part, _cuts(len(part)))]
    runs = [run for run in runs if len(run) > 1]
    if not runs:
        raise BadInputError(f"{name} has {len(values)} time in all, or none that follows another; a clip has 2 or more")
    kept = values[np.concatenate(runs)]
    scale = Scale.around(kept, name, units)
    frames = torch.from_numpy(scale.to_frames(kept))[:, None]
    return unlabelled_clips(
        frames, torch.tensor([len(run) - 1 for run in runs]), {"kind": "field", "scale": scale.to_dict()}
    )


def grid_for(rows: int, cols: int) -> tuple[int, int]:
    """The grid that a field of this size is averaged over: `GRID`, or less where the field is coarser than that.

    Raises:
        BadInputError: the field has fewer than 8 rows or columns.
    """
    if min(rows, cols) < _CELL:
        raise BadInputError(f"a field of {rows}×{cols} is too small; it has at least {_CELL}×{_CELL} values")
    return tuple(min(most, size // _CELL * _CELL) for most, size in zip(GRID, (rows, cols), strict=True))


def regrid(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Means over the parts of a grid; a value that lies in two parts counts in both, by how much of it lies there.

    Args:
        values: (T, H, W).
        grid: rows and columns.

    Returns:
        (T, rows, cols) float64.
    """
    down, across = (_shares(size, parts) for size, parts in zip(values.shape[1:], grid, strict=True))
    return np.einsum("rh,thw,cw->trc", down, values, across, optimize=True)


def _shares(size: int, parts: int) -> np.ndarray:
    """(parts, size): what each of `size` values has to do with the mean of each part."""
    edges, starts = np.linspace(0, size, parts + 1), np.arange(size)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return overlap.clip(0.0) / (size / parts)


def _cuts(length: int) -> np.ndarray:
    return np.arange(LENGTH, length, LENGTH)


def _read(path: Path, variable: str | None) -> tuple[np.ndarray, np.ndarray, tuple[int, int], str, str]:
    """Of a file's variable: means (T, rows, cols), times (T,) in seconds, size of its own grid, name and units."""
    found = _open(path)
    with found:
        try:
            chosen = _variable(found, variable)
            time, *sides = (_axis(chosen, names) for names in (TIMES, LATITUDES, LONGITUDES))
            extra = [str(axis) for axis in chosen.dims if axis not in (time, *sides) and chosen.sizes[axis] > 1]
            if extra:
                raise BadInputError(
                    f"{chosen.name} has the further axis {', '.join(extra)}: choose a place on it first"
                )
            ordered = chosen.squeeze([a for a in chosen.dims if a not in (time, *sides)]).transpose(time, *sides)
            if sides[0] in ordered.coords and ordered.sizes[sides[0]] > 1:
                north = ordered[sides[0]].values
                ordered = ordered[:, ::-1] if north[0] < north[-1] else ordered
            values, times, size = _means(ordered), _seconds(ordered, time), ordered.shape[1:]
        except BadInputError:
            raise
        except Exception as error:  # what others have written may be anything
            raise BadInputError(f"it cannot be read as fields: {first_line(error)}") from error
    return values, times, size, str(chosen.name), str(chosen.attrs.get("units", ""))


def _means(fields: xarray.DataArray) -> np.ndarray:
    """(T, rows, cols) means over the grid, read part by part, since a file may be larger than the memory."""
    grid, at_once = grid_for(*fields.shape[1:]), max(1, _AT_ONCE // (fields.shape[1] * fields.shape[2]))
    parts, missing = [], 0
    for begin in range(0, len(fields), at_once):
        values = np.asarray(fields[begin : begin + at_once].values, dtype=np.float64)
        missing += int((~np.isfinite(values)).sum())
        parts.append(regrid(values, grid))
    if missing:
        raise BadInputError(f"{missing:,} of {fields.size:,} values of {fields.name} are missing; fill them in first")
    return np.concatenate(parts)


def _open(path: Path) -> xarray.Dataset:
    import xarray

    store = path.suffix in STORES
    needs_package("zarr" if store else "netCDF4", "Zarr stores" if store else "NetCDF files", "fields")
    try:
        return xarray.open_dataset(path, engine="zarr" if store else "netcdf4")
    except Exception as error:  # each engine has errors of its own
        raise BadInputError(f"it is no {'Zarr store' if store else 'NetCDF file'}: {first_line(error)}") from error


def _variable(found: xarray.Dataset, wanted: str | None) -> xarray.DataArray:
    fields = [str(name) for name, values in found.data_vars.items() if _is_field(values)]
    if wanted is not None:
        if wanted not in found.data_vars:
            raise BadInputError(f"there is no variable {wanted!r}; there are {', '.join(map(str, found.data_vars))}")
        return found[wanted]
    preferred = [name for name in PREFERRED if name in fields]
    if len(fields) == 1 or preferred:
        return found[(preferred or fields)[0]]
    if fields:
        raise BadInputError(f"it holds several fields, {', '.join(fields)}: name one as PATH#NAME")
    axes = "; ".join(f"{name} ({', '.join(map(str, v.dims))})" for name, v in found.data_vars.items())
    raise BadInputError(f"no variable has axes of time, latitude and longitude, {axes or 'since there is none'}")


def _is_field(values: xarray.DataArray) -> bool:
    return all(any(name in values.dims for name in names) for names in (TIMES, LATITUDES, LONGITUDES))


def _axis(values: xarray.DataArray, names: tuple[str, ...]) -> str:
    for name in names:
        if name in values.dims:
            return name
    dims = ", ".join(map(str, values.dims))
    raise BadInputError(f"{values.name} has the axes {dims or 'none'}, none of which is called {' or '.join(names)}")


def _seconds(values: xarray.DataArray, axis: str) -> np.ndarray:
    """(T,) float64 seconds, or the numbers of the times where they are not known."""
    if axis not in values.coords:
        return np.arange(values.sizes[axis], dtype=np.float64)
    times = values[axis].values
    if np.issubdtype(times.dtype, np.datetime64):
        return times.astype("datetime64[s]").astype(np.float64)
    if times.dtype == object:  # dates of other calendars
        return np.array([(when - times[0]).total_seconds() for when in times]) + times[0].toordinal() * 86_400.0
    return times.astype(np.float64)
