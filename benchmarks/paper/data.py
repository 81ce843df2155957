"""The data of the paper's table: for each set clips to train on, and columns of clips that training did not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nova_gym.benchmarks.sources import RECORDING
from nova_gym.data import Clips, Scale, load_clips, load_fields, moving_digits, scenes, to_unit, unlabelled_clips
from nova_gym.errors import BadInputError, needs_package

#: Frames of context, frames that are predicted and compared one by one, and steps of the long run.
CONTEXT, PREDICTED, LONG = 10, 10, 1000
#: Of the long run every so many frames are drawn and compared.
EVERY = 10


@dataclass(frozen=True)
class Sizes:
    """How much there is of each.

    Attributes:
        digits, scenes, frames: clips of moving digits and scenes of PhyWorld to train on, and frames of MiniGrid.
        test, long: clips of a column, and clips of its long run.
        steps: of the long run.
    """

    digits: int = 4_000
    scenes: int = 300
    frames: int = 20_000
    test: int = 48
    long: int = 6
    steps: int = LONG


@dataclass(frozen=True)
class Column:
    """Clips that are compared.

    Attributes:
        name: of the column.
        clips: (N, 20, C, H, W) uint8 or float32, context and what follows.
        long: (n, 10, C, H, W), the context of the long run.
        truth: n arrays of frames, in [0, 1] or uint8, whose pixels are what the long run's should be like.
        balls: (N, 20, 2, 2) places of the balls in parts of a frame, x and y from its upper left corner, NaN where
            there is none; None where nothing is tracked.
        radii: (N, 2) their radii, likewise.
        note: what is special about it.
    """

    name: str
    clips: Tensor
    long: Tensor
    truth: list[np.ndarray] = field(repr=False)
    balls: np.ndarray | None = None
    radii: np.ndarray | None = None
    note: str = ""


@dataclass(frozen=True)
class DataSet:
    """Clips to train on, and columns.

    Attributes:
        name: on the command line.
        clips: without labels.
        columns: by measurement.
        note: where it comes from, in a sentence.
        fields: (n, 1, H, W) float32 that are not trained on, for enlarging; None where there are no fields.
    """

    name: str
    clips: Clips
    columns: list[Column]
    note: str
    fields: Tensor | None = None


def digits(seed: int, sizes: Sizes) -> DataSet:
    """Moving digits; those of the column are by other writers."""
    frames = torch.from_numpy(moving_digits(sizes.digits, seed))[:, :, None]
    clips = torch.from_numpy(moving_digits(sizes.test, 1, test=True))[:, :, None]
    long = moving_digits(sizes.long, 2, test=True, length=CONTEXT + sizes.steps)
    column = Column(
        "moving digits",
        clips,
        torch.from_numpy(long[:, :CONTEXT, None]),
        list(_thinned(long)),
        note="T = 1000: the same digits bouncing on",
    )
    return DataSet("digits", _recording(frames), [column], f"{sizes.digits} clips of 20 frames, grey, 64 × 64")


def phyworld(seed: int, sizes: Sizes) -> DataSet:
    """Scenes of PhyWorld, in and out of the range of radii and speeds that it trains on."""
    frames = torch.from_numpy(scenes(sizes.scenes, seed).frames).movedim(-1, 2).contiguous()
    columns = []
    for name, outside in (("PhyWorld, in range", False), ("PhyWorld, out of range", True)):
        seen = scenes(sizes.test, 1, test=True, outside=outside, length=CONTEXT + PREDICTED)
        long = scenes(sizes.long, 2, test=True, outside=outside, length=CONTEXT + sizes.steps)
        places = np.stack([seen.places[..., 0], 10.0 - seen.places[..., 1]], axis=-1) / 10.0
        columns.append(
            Column(
                name,
                torch.from_numpy(seen.frames).movedim(-1, 2),
                torch.from_numpy(long.frames[:, :CONTEXT]).movedim(-1, 2),
                list(_thinned(long.frames)),
                places,
                seen.radii / 10.0,
                "T = 1000: the same scene going on, which is white once the balls have left",
            )
        )
    note = f"{sizes.scenes} scenes of 32 frames that pymunk made by PhyWorld's rules, RGB, 128 × 128"
    return DataSet("phyworld", _recording(frames), columns, note)


def weather(seed: int, sizes: Sizes, source: str | None = None) -> DataSet:
    """Temperatures; the last third of the time is for the column. `source` names files; None for a climate model's."""
    if source is None:
        needs_package("iris_sample_data", "real fields where no file is given", "test")
        clips = load_fields([_sample("A1B_north_america.nc")])
        note = "no ERA5 at hand: yearly temperatures of North America by a climate model (A1B, 1860 to 2099), of "
    else:
        clips, note = load_clips(source), f"{Path(source).name}, "
    scale = Scale.of(clips.metadata)
    if scale is None:
        raise BadInputError(f"{source} holds no field")
    late = torch.arange(len(clips.lengths)) >= len(clips.lengths) * 2 // 3
    held_out = clips.part(late)
    shown = [
        to_unit(held_out.frames[first : first + CONTEXT + PREDICTED])
        for begin, count in zip(held_out.first_frames.tolist(), held_out.lengths.tolist(), strict=True)
        for first in range(begin, begin + count + 2 - CONTEXT - PREDICTED, 2)
    ]
    if not shown or late.all():
        raise BadInputError(f"too few times: a series of at least {3 * 32} in a row is needed to train and to compare")
    shown = torch.stack(shown)
    shown = shown[:: -(-len(shown) // sizes.test)]
    long = shown[:: -(-len(shown) // sizes.long), :CONTEXT]
    truth = held_out.frames.numpy()
    column = Column(
        "weather", shown, long, [truth] * len(long), note="T = 1000: all of the held-out time, by pixel values alone"
    )
    height, width = clips.frames.shape[2:]
    note += (
        f"{int((clips.lengths[~late] + 1).sum())} times to train on, {height} × {width}, {scale.name} in {scale.units}"
    )
    return DataSet("weather", clips.part(~late), [column], note, held_out.frames)


def minigrid(seed: int, sizes: Sizes, dataset: str = RECORDING) -> DataSet:
    """MiniGrid as video without labels; some of the clips that are long enough are those of the column."""
    clips = load_clips(dataset, labels=False)
    enough = (clips.lengths >= CONTEXT + PREDICTED - 1).nonzero().squeeze(1)
    held_out = enough[:: max(1, -(-len(enough) // sizes.test))]
    order = torch.randperm(len(clips.lengths), generator=torch.Generator().manual_seed(seed))
    taken = order[~torch.isin(order, held_out)]
    taken = taken[(clips.lengths[taken] + 1).cumsum(0) <= sizes.frames]
    chosen = torch.zeros(len(clips.lengths), dtype=torch.bool)
    chosen[taken] = True
    begins = clips.first_frames[held_out]
    if not len(begins) or not len(taken):
        raise BadInputError(f"{dataset!r} has too few clips of {CONTEXT + PREDICTED} frames, or none besides")
    shown = clips.frames[begins[:, None] + torch.arange(CONTEXT + PREDICTED)]
    long = shown[: sizes.long]
    column = Column(
        "MiniGrid",
        shown,
        long[:, :CONTEXT],
        [clip.numpy() for clip in long],
        note="T = 1000: the frames of the same clip, by pixel values alone",
    )
    note = f"{dataset}, {int((clips.lengths[taken] + 1).sum()):,} frames as video without actions, RGB, 72 × 72"
    return DataSet("minigrid", clips.part(chosen), [column], note)


#: By name on the command line, in the order of the table.
DATA: dict[str, Callable[..., DataSet]] = {
    "digits": digits,
    "phyworld": phyworld,
    "weather": weather,
    "minigrid": minigrid,
}


def _recording(frames: Tensor) -> Clips:
    """(E, T, C, H, W) uint8 as clips."""
    return unlabelled_clips(frames.flatten(0, 1), torch.full((len(frames),), frames.shape[1] - 1), {})


def _thinned(long: np.ndarray) -> np.ndarray:
    """The frames of long clips that are compared: those that a contestant draws."""
    return long[:, CONTEXT + EVERY - 1 :: EVERY]


def _sample(name: str) -> Path:
    return Path(find_spec("iris_sample_data").submodule_search_locations[0]) / "sample_data" / name
