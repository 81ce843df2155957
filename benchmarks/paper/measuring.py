"""What is measured of a contestant on a column."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nova_gym.benchmarks.baselines import Contestant
from nova_gym.benchmarks.paper.data import CONTEXT, EVERY, LONG, PREDICTED, Column
from nova_gym.benchmarks.paper.tracking import velocity_errors
from nova_gym.data import to_unit
from nova_gym.measures import jensen_shannon, lpips, psnr, ssim, wasserstein

#: Enlargements that are timed, and how often.
FACTORS, TIMES = (1, 8), 5

#: What rounding to bytes alone leaves of a PSNR, in dB; a frame that is equal counts as no closer.
ROUNDED = float(10.0 * np.log10(12.0 * 255.0**2))

PSNR, SSIM, LPIPS = "PSNR", "SSIM", "LPIPS"
FOLLOWED, ALIEN = "PSNR by inferred actions", "PSNR after an alien frame"
W1, JS = "Wasserstein-1", "Jensen–Shannon"
VELOCITY, NOT_FOUND = "velocity error", "balls not found"

#: By name of the figure, one number for each clip.
Figures = dict[str, list[float]]


@torch.no_grad()
def measure(contestant: Contestant, column: Column, steps: int = LONG) -> Figures:
    """All figures of a trained contestant on a column.

    Args:
        contestant: trained.
        column: the clips.
        steps: of the long run.
    """
    clips = to_unit(column.clips)
    drawn = contestant.go_on(clips[:, :CONTEXT], PREDICTED)
    figures = compare(column, drawn)
    followed = contestant.follow(clips, CONTEXT)
    if followed is not None:
        figures[FOLLOWED] = _by_clip(_psnr, clips[:, CONTEXT:], followed)
    alien = clips.roll(1, 0)[:, CONTEXT - 1 : CONTEXT]
    after = contestant.go_on(torch.cat([clips[:, : CONTEXT - 1], alien], dim=1), 1)
    figures[ALIEN] = _by_clip(_psnr, alien, after)
    dreamt = contestant.go_on(to_unit(column.long), steps, EVERY)
    return figures | distances(column, dreamt)


def compare(column: Column, drawn: Tensor) -> Figures:
    """How close drawn frames (N, 10, C, H, W) in [0, 1] are to the true ones."""
    truth = to_unit(column.clips)[:, CONTEXT:]
    figures = {PSNR: _by_clip(_psnr, truth, drawn), SSIM: _by_clip(ssim, truth, drawn)}
    perceived = _by_clip(lpips, truth, drawn) if min(truth.shape[-2:]) >= 32 else None
    if perceived is not None:
        figures[LPIPS] = perceived
    if column.balls is not None:
        last = to_unit(column.clips[:, CONTEXT - 1]).movedim(1, -1).numpy()
        pictures = drawn.movedim(2, -1).numpy()
        found = velocity_errors(column.balls[:, CONTEXT - 1 :], column.radii, last, pictures)
        for name, values in zip((VELOCITY, NOT_FOUND), found, strict=True):
            figures[name] = values[np.isfinite(values)].tolist()
    return figures


def distances(column: Column, dreamt: Tensor) -> Figures:
    """How far the pixels of long runs (n, T, C, H, W) in [0, 1] are from the true ones."""
    pairs = [(truth, clip.numpy()) for truth, clip in zip(column.truth, dreamt, strict=True)]
    return {name: [measure(*pair) for pair in pairs] for name, measure in ((W1, wasserstein), (JS, jensen_shannon))}


def still(column: Column, steps: int = LONG) -> Figures:
    """The figures of standing still: the last frame of the context for ever."""
    last = to_unit(column.clips[:, CONTEXT - 1 : CONTEXT])
    long = to_unit(column.long[:, -1:]).expand(-1, max(1, steps // EVERY), -1, -1, -1)
    return compare(column, last.expand(-1, PREDICTED, -1, -1, -1)) | distances(column, long)


def milliseconds(contestant: Contestant, column: Column) -> dict[str, float]:
    """By enlargement, the median time of a step and its frame, for one clip."""
    context = to_unit(column.clips[:1, :CONTEXT])
    step = contestant.draw_step(context)
    found: dict[str, Any] = {}
    for factor in FACTORS:
        step(factor)  # what is compiled, is compiled now
        found[f"{factor}×"] = float(np.median([_timed(step, factor) for _ in range(TIMES)]))
    return found


def _timed(step: Callable[[int], Tensor], factor: int) -> float:
    began = time.perf_counter()
    step(factor)
    return 1e3 * (time.perf_counter() - began)


def _psnr(truth: np.ndarray, frames: np.ndarray) -> np.ndarray:
    return np.minimum(psnr(truth, frames), ROUNDED)


def _by_clip(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray | None], truth: Tensor, drawn: Tensor
) -> list[float] | None:
    """Means over each clip of a measure of frames (N, T, C, H, W); None where the measure is missing here."""
    pairs = [[frames.movedim(2, -1).flatten(0, 1).numpy() for frames in (truth, drawn)]]
    values = measure(*pairs[0])
    return None if values is None else values.reshape(truth.shape[:2]).mean(1).tolist()
