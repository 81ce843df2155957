"""Training detail, the renderer for super-resolution, on scenes drawn larger; everything else stays frozen."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from itertools import count, takewhile

import torch
from torch import Generator, Tensor

from nova_gym.data import to_unit
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.model import inr
from nova_gym.model.detail import Detail, start_new_units, widen
from nova_gym.model.world_model import WorldModel
from nova_gym.training.freed_memory import keep_freed_memory
from nova_gym.training.loop import Loop, Run
from nova_gym.training.parts import refitted, weights_digest, with_part
from nova_gym.training.presets import Recipe
from nova_gym.training.representation import encode_in_parts, in_cells, of_cells, picture_loss
from nova_gym.training.stage import Batch, Metrics, Stage

#: The recipe of detail, by cells; `sharpen` may set another number of steps.
RECIPE = Recipe(2_000, 64, 1e-2, noise=0.1)
#: Units that a layer of detail has in addition to those of the usual renderer.
MORE_UNITS = 4
#: How far beyond [0, 1] black and white are aimed, before clipping.
MARGIN = 0.1
#: Points of a cell in each step, at most.
POINTS = 512

#: By factor: the dream's frames (n, C, H, W) uint8, and frames (n, C, factor · H, factor · W) uint8 of the same scenes.
Pictures = dict[int, tuple[Tensor, Tensor]]
#: By factor: cells (m, C, h, w) uint8, and the same cells drawn larger (m, C, factor · h, factor · w) uint8.
Cells = dict[int, tuple[Tensor, Tensor]]


class DetailStage(Stage):
    """Reconstruction of single cells as in stage 1, but of cells drawn larger, all of one size in each step.

    Args:
        model: with `detail`.
        cells: different cells, by factor; the largest factor comes twice as often as others.
        recipe: how to train; `batch` counts cells.
    """

    name, trains = "detail", ("detail",)

    def __init__(self, model: WorldModel, cells: Cells, recipe: Recipe) -> None:
        super().__init__(model, None, recipe)
        self.states = {size: of_cells(encode_in_parts(model, small)) for size, (small, _) in cells.items()}
        self.larger = {size: large for size, (_, large) in cells.items()}
        self.sizes = [*sorted(cells), max(cells)]
        self.grids = {size: inr.coordinate_grid(*large.shape[2:]) for size, large in self.larger.items()}

    @property
    def detail(self) -> Detail:
        """The part that it trains."""
        return self.parts["detail"]

    def batch(self, generator: Generator, progress: float) -> Batch:
        size = self.sizes[int(torch.randint(len(self.sizes), (1,), generator=generator))]
        states, larger, grid = self.states[size], self.larger[size], self.grids[size]
        chosen = torch.randint(len(states), (self.recipe.batch,), generator=generator)
        points = torch.randint(len(grid), (min(POINTS, len(grid)),), generator=generator)
        scale = torch.rand(len(chosen), 1, generator=generator) * self.recipe.noise
        return {
            "states": states[chosen] + torch.randn(len(chosen), states.shape[1], generator=generator) * scale,
            "points": grid[points],
            "mask": self.detail.mask(*larger.shape[2:]),
            "truth": larger.flatten(2)[chosen[:, None, None], torch.arange(larger.shape[1])[:, None], points],
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        drawn = self.detail.draw(batch["states"], batch["points"], batch["mask"])
        return picture_loss(drawn, to_unit(batch["truth"]), MARGIN)


def different_cells(pictures: Pictures, cell: tuple[int, int]) -> Cells:
    """Cuts frames and their larger versions into cells; cells that look alike at both sizes count once.

    Args:
        pictures: by factor.
        cell: (h, w) in pixels of a cell of the dream's frames.

    Returns:
        By factor; in the order in which they first appear.
    """
    cells = {}
    for factor, (small, large) in pictures.items():
        sizes = [tuple(scale * side for side in cell) for scale in (1, factor)]
        cut = [in_cells(frames, size).flatten(0, 1) for frames, size in zip((small, large), sizes, strict=True)]
        pairs = zip(*cut, strict=True)
        different = {first.numpy().tobytes() + second.numpy().tobytes(): (first, second) for first, second in pairs}
        parts = (torch.stack(part) for part in zip(*different.values(), strict=True))
        cells[factor] = tuple(part.unflatten(2, size) for part, size in zip(parts, sizes, strict=True))
    return cells


def sharpen(dream: Dream, pictures: Pictures, run: Run, steps: int = RECIPE.steps, seed: int = 0) -> Dream:
    """Gives a dream detail, for super-resolution, or replaces its detail.

    Frames at the dream's own size stay the same to the last bit.

    Args:
        dream: left as it is.
        pictures: frames to learn from, with at least one factor of 2 or more.
        run: where and how; its checkpoint is kept.
        steps: of the optimiser.
        seed: of everything random.

    Returns:
        The dream with detail, on the CPU.

    Raises:
        BadInputError: all factors are below 2, the dream was made from video without actions, or the checkpoint to
            resume from is missing or belongs to another run.
        KeyboardInterrupt: training was interrupted; a checkpoint was written first.
    """
    largest = max(pictures, default=1)
    if largest < 2:
        raise BadInputError("detail is learned from frames at least twice as large as the dream's, which are missing")
    if not dream.world_model.has_actions:
        raise BadInputError(
            "this dream was made from video without actions: it has no reality that draws larger frames"
        )
    keep_freed_memory()
    recipe = replace(RECIPE, steps=steps, warmup=min(RECIPE.warmup, steps // 4))
    model = with_detail(dream.world_model, largest, seed).to(run.find_device())
    cells, seen = different_cells(pictures, model.config.cell), hashlib.sha256()
    for size in sorted(cells):
        seen.update(str(size).encode() + cells[size][1].numpy().tobytes())
    fingerprint = {
        "dream": weights_digest(dream),
        "pictures": seen.hexdigest(),
        "detail": repr((model.config.detail, recipe, MARGIN, seed, run.precision)),
    }
    loop = Loop(model, seed, run, fingerprint)
    loop.resume()
    loop.train(DetailStage(model, cells, recipe))
    scenes, different = (sum(len(small) for small, _ in found.values()) for found in (pictures, cells))
    made = {"factor": largest, "scenes": scenes, "cells": different, "seed": seed, "recipe": asdict(recipe)}
    return with_part(dream, model, "detail", made | loop.finished["detail"])


@torch.no_grad()
def with_detail(model: WorldModel, factor: int, seed: int = 0) -> WorldModel:
    """A copy with new detail for frames `factor` times larger; untrained, it draws the same as the usual renderer."""
    usual = model.config.inr
    base, basis = model.part("renderer")
    sampled = takewhile(lambda octave: 2**octave < factor * max(model.config.cell) / 2, count())
    octaves = max(usual.frequencies, sum(1 for _ in sampled))
    wider = replace(usual, frequencies=octaves, width=usual.width + MORE_UNITS)
    fresh = refitted(model, replace(model.config, detail=wider), "detail", seed)
    base = widen(base[None], usual, wider)[0]
    detail = fresh.part("detail")
    detail.base.copy_(start_new_units(base, usual, wider, torch.Generator().manual_seed(seed)))
    detail.basis.copy_(widen(basis, usual, wider))
    return fresh
