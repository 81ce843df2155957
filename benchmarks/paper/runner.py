"""Cells of the table, each a model on a data set with a seed: a cell leaves one file, so a run can be continued."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nova_gym.benchmarks.baselines import MODELS
from nova_gym.benchmarks.paper import measuring
from nova_gym.benchmarks.paper.data import DATA, DataSet, Sizes
from nova_gym.benchmarks.paper.enlarging import measure_enlarging
from nova_gym.benchmarks.paper.pictures import draw_figures
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.sources import RECORDING
from nova_gym.errors import BadInputError
from nova_gym.measures import mean, why_no_lpips

#: The reference that stands beside all models.
STILL = "standing still"
#: What stands in place of a model's name where fields are enlarged.
ENLARGED = "enlarged"


@dataclass(frozen=True)
class Settings:
    """How cells are made.

    Attributes:
        minutes: of training, of every model on every data set.
        work: folder of one JSON a cell.
        pictures: folder of the figures of this package's models, one a model and data set; the last seed's are kept.
        weather: path of fields, as `nova-gym train` takes it; None for those of a climate model.
        minigrid: Minari id of a recording of MiniGrid.
        sizes: how much data there is.
    """

    minutes: float = 2.0
    work: Path = Path("runs/paper")
    pictures: Path = Path("docs/paper")
    weather: str | None = None
    minigrid: str = RECORDING
    sizes: Sizes = field(default_factory=Sizes)

    @property
    def asked(self) -> dict[str, Any]:
        """What all cells must have in common."""
        return {"minutes": self.minutes, "weather": self.weather, "minigrid": self.minigrid, "sizes": vars(self.sizes)}

    def file(self, data: str, model: str, seed: int) -> Path:
        """The file of a cell."""
        return self.work / f"{data}-{model}-{seed}.json"

    def done(self, data: str, model: str, seed: int) -> dict[str, Any] | None:
        """The figures of a cell; None if it is still to be made.

        Raises:
            BadInputError: it was made with other settings, or its file is damaged.
        """
        path = self.file(data, model, seed)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            made_with = found["asked"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise BadInputError(f"{path} is no cell of the table: remove it ({error})") from error
        for name, value in self.asked.items():
            if made_with.get(name) != value:
                raise BadInputError(
                    f"{path} was made with {name} {made_with.get(name)}, not {value}: another --work begins anew"
                )
        return found


@lru_cache(maxsize=1)
def _data(name: str, seed: int, sizes: Sizes, more: tuple[str | None, ...]) -> DataSet:
    """A data set, made or read once for all models."""
    return DATA[name](seed, sizes, *more)


@lru_cache(maxsize=1)
def _still(name: str, seed: int, sizes: Sizes, more: tuple[str | None, ...]) -> dict[str, measuring.Figures]:
    """The figures of standing still by column, measured once for all models."""
    return {column.name: measuring.still(column, sizes.steps) for column in _data(name, seed, sizes, more).columns}


def run_cell(
    data: str,
    model: str,
    seed: int,
    settings: Settings,
    progress: Callable[[str, float], None] = lambda what, done: None,
) -> dict[str, Any]:
    """Trains and measures a model on a data set, or reads what an earlier run found.

    Args:
        data, model: names.
        seed: of data and training.
        settings: how.
        progress: called with the stage and the share of it that is done.

    Raises:
        BadInputError: the data cannot be read, or the cell's file was made with other settings.
    """
    if (found := settings.done(data, model, seed)) is not None:
        return found
    sources = {"weather": (settings.weather,), "minigrid": (settings.minigrid,)}
    asked = data, seed, settings.sizes, sources.get(data, ())
    chosen = _data(*asked)
    contestant = MODELS[model]()
    began = time.monotonic()
    contestant.fit(chosen.clips, settings.minutes, seed, progress)
    minutes = (time.monotonic() - began) / 60
    progress("measuring", 0.0)
    if contestant.dream is not None and len(chosen.columns[0].clips) > 1:
        draw_figures(contestant.dream, chosen.columns[0], settings.pictures / f"{data}-{model}.png")
    columns = {
        column.name: {
            "figures": measuring.measure(contestant, column, settings.sizes.steps),
            STILL: _still(*asked)[column.name],
            "milliseconds": measuring.milliseconds(contestant, column),
            "note": column.note,
        }
        for column in chosen.columns
    }
    found = {
        "asked": settings.asked,
        "data": chosen.note,
        "parameters": contestant.parameters,
        "minutes with work between stages": round(minutes, 3),
        "draws any size": contestant.any_size,
        "dreams": contestant.dream is not None,
        "threads": torch.get_num_threads(),
        "columns": columns,
    }
    write_results(settings.file(data, model, seed), found, None)
    return found


def run_enlarging(seed: int, settings: Settings) -> dict[str, Any]:
    """Measures how fields are enlarged, or reads what an earlier run found. Arguments and errors as in `run_cell`."""
    if (found := settings.done("weather", ENLARGED, seed)) is not None:
        return found
    chosen = _data("weather", seed, settings.sizes, (settings.weather,))
    found = {"asked": settings.asked, "figures": measure_enlarging(chosen.clips, chosen.fields, settings.minutes, seed)}
    write_results(settings.file("weather", ENLARGED, seed), found, None)
    return found


def collect_cells(cells: dict[tuple[str, str, int], dict[str, Any]], settings: Settings) -> dict[str, Any]:
    """The table of all cells, JSON-ready. Intervals are over seeds; with one seed they are over clips.

    Args:
        cells: by names of data set and model, and seed.
        settings: that they were made with.
    """
    enlarged = [cell["figures"] for (_, model, _), cell in cells.items() if model == ENLARGED]
    cells = {key: cell for key, cell in cells.items() if key[1] != ENLARGED}
    seeds = sorted({seed for _, _, seed in cells})
    columns: dict[str, Any] = {}
    for (data, model, _), cell in cells.items():
        for name, column in cell["columns"].items():
            entry = columns.setdefault(name, {"data": cell["data"], "note": column["note"], "rows": {}})
            same = [cells[key]["columns"][name] for key in cells if key[:2] == (data, model)]
            entry["clips"] = len(column["figures"][measuring.PSNR])
            entry["rows"][MODELS[model].name] = {
                "figures": _estimates([each["figures"] for each in same]),
                "milliseconds": {
                    factor: float(np.median([each["milliseconds"][factor] for each in same]))
                    for factor in column["milliseconds"]
                },
                "parameters": cell["parameters"],
                "minutes": float(
                    np.mean([cells[k]["minutes with work between stages"] for k in cells if k[:2] == (data, model)])
                ),
                "draws any size": cell["draws any size"],
                "seeds": len(same),
            }
            entry.setdefault(STILL, _estimates([column[STILL]]))
    return {
        "minutes of training": settings.minutes,
        "seeds": seeds,
        "intervals": "over seeds" if len(seeds) > 1 else "over clips, since there is one seed",
        "steps of the long run": settings.sizes.steps,
        "why no LPIPS": why_no_lpips(),
        "pictures": sorted({f"{data}-{model}" for (data, model, _), cell in cells.items() if cell["dreams"]}),
        "threads": sorted({cell["threads"] for cell in cells.values()}),
        "columns": columns,
        ENLARGED: _estimates(enlarged) if enlarged else {},
    }


def _estimates(seeds: list[dict[str, list[float]]]) -> dict[str, Any]:
    """By figure its mean and interval: over seeds, or over the clips of one."""
    names = [name for name in seeds[0] if all(each.get(name) for each in seeds)]
    values = {name: [np.asarray(each[name]) for each in seeds] for name in names}
    over = {name: np.array([v.mean() for v in found]) if len(seeds) > 1 else found[0] for name, found in values.items()}
    return {name: mean(found).to_dict() for name, found in over.items()}
