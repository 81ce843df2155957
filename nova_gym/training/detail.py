"""Training detail, the renderer for super-resolution, on scenes drawn larger; everything else stays frozen."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, replace

import torch
from torch import Generator, Tensor

from nova_gym.data import to_unit
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.model import inr
from nova_gym.model.detail import Detail, start_new_units, widen
from nova_gym.model.world_model import WorldModel
from nova_gym.simulator import DreamSimulator
from nova_gym.training.loop import Loop, Run, keep_freed_memory, step_generator
from nova_gym.training.parts import refitted, weights_digest, with_part
from nova_gym.training.presets import Recipe
from nova_gym.training.representation import beyond, encode_in_parts, of_cells, picture_loss
from nova_gym.training.stage import Batch, Metrics, Stage

#: The recipe of detail; `sharpen` may set another number of steps.
RECIPE = Recipe(18_000, 32, 8e-4, weight_decay=0.0, noise=0.02)
#: Units that a layer of detail has in addition to those of the usual renderer.
MORE_UNITS = 8
#: How far beyond [0, 1] black and white are aimed, before clipping.
MARGIN = 0.1
#: In each step: points of a real frame and of a dreamt frame, shared out among its cells, and number of dreamt frames.
POINTS, DREAMT_POINTS, DREAMT_BATCH = 2592, 1024, 16
#: A frame is even around a pixel if the pixel and its neighbours differ by less than this, for values in [0, 1].
EVEN = 0.05
#: Number of random walks in the dream, and steps of each; they give dreamt states.
WALKS, WALK_STEPS = 512, 24
#: Every so many steps of a walk, the layers of the step (content and motion) are taken as dreamt states too.
LAYERS_EVERY = 4

#: By factor: the dream's frames (n, C, H, W) uint8, and frames (n, C, factor · H, factor · W) uint8 of the same scenes.
Pictures = dict[int, tuple[Tensor, Tensor]]


class DetailStage(Stage):
    """Reconstruction as in stage 1, with frames of one size in each step; the largest come twice as often as others.

    Real scenes that were drawn larger are few, so dreamt states are used as well. They have no true larger frame. But
    where the dream's own frame is even, a larger frame should have the same colour everywhere in the pixel.

    Args:
        model: with `detail`.
        states: by factor, (n, K, rows, cols) float32 of its scenes.
        larger: by factor, (n, C, factor · H, factor · W) uint8.
        dreamt: (m, K, rows, cols) float32 states that were dreamt.
        recipe: how to train.
    """

    name, trains = "detail", ("detail",)

    def __init__(
        self,
        model: WorldModel,
        states: dict[int, Tensor],
        larger: dict[int, Tensor],
        dreamt: Tensor,
        recipe: Recipe,
    ) -> None:
        super().__init__(model, None, recipe)
        self.states, self.larger, self.dreamt = states, larger, dreamt
        self.sizes = [*sorted(larger), max(larger)]
        self.cells, self.cell = dreamt.shape[2:], model.config.cell
        parts = [self._small(states.to(model.device)) for states in dreamt.split(256)]
        self.small, self.even = (torch.cat(each) for each in zip(*parts, strict=True))

    @property
    def detail(self) -> Detail:
        """The part that it trains."""
        return self.parts["detail"]

    def batch(self, generator: Generator, progress: float) -> Batch:
        size = self.sizes[int(torch.randint(len(self.sizes), (1,), generator=generator))]
        states, frames, cell = self.states[size], self.larger[size], tuple(size * side for side in self.cell)
        chosen = torch.randint(len(states), (self.recipe.batch,), generator=generator)
        count = min(self._points(POINTS), math.prod(cell))
        points = torch.randint(math.prod(cell), (count,), generator=generator).sort().values
        pixels = self._pixels(torch.stack([points // cell[1], points % cell[1]], dim=1), cell)
        state = states[chosen]
        return {
            "states": state + torch.randn(state.shape, generator=generator) * self.recipe.noise,
            "points": inr.coordinate_grid(*cell)[points],
            "mask": self.detail.mask(*cell),
            "truth": frames.flatten(2)[chosen[:, None, None], torch.arange(frames.shape[1])[:, None], pixels],
            **self._dreamt_batch(generator),
        }

    def _points(self, of_a_frame: int) -> int:
        """How many points are drawn in each cell."""
        return max(1, of_a_frame // math.prod(self.cells))

    def _pixels(self, places: Tensor, cell: tuple[int, int]) -> Tensor:
        """(rows · cols · P,) int64: where the pixels (y, x) of cells, (P, 2) int64, are in a frame, cell by cell."""
        rows, cols = self.cells
        y = torch.arange(rows)[:, None, None] * cell[0] + places[:, 0]
        x = torch.arange(cols)[:, None] * cell[1] + places[:, 1]
        return (y * (cols * cell[1]) + x).flatten()

    def _dreamt_batch(self, generator: Generator) -> Batch:
        chosen = torch.randint(len(self.dreamt), (DREAMT_BATCH, 1), generator=generator)
        anywhere = torch.rand(self._points(DREAMT_POINTS), 2, generator=generator)
        pixels = self._pixels((anywhere.flip(1) * torch.tensor(self.cell)).long(), self.cell)
        return {
            "dreamt": self.dreamt[chosen[:, 0]],
            "anywhere": anywhere * 2.0 - 1.0,
            "wanted": self.small.flatten(1, 2)[chosen, pixels].mT,
            "even": self.even.flatten(1, 2)[chosen, pixels][:, None],
        }

    def _drawn(self, states: Tensor, points: Tensor, mask: Tensor) -> Tensor:
        """States (B, K, rows, cols) → their pixels (B, C, rows · cols · P) at points (P, 2) of each cell."""
        drawn = self.detail.draw(of_cells(states), points, mask)
        return drawn.unflatten(0, (len(states), -1)).movedim(2, 1).flatten(2)

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        drawn = self._drawn(batch["states"], batch["points"], batch["mask"])
        loss, metrics = picture_loss(drawn, to_unit(batch["truth"]), MARGIN)
        drawn = self._drawn(batch["dreamt"], batch["anywhere"], batch["mask"])
        wanted = beyond(drawn, to_unit(batch["wanted"]), MARGIN)
        uneven, _ = picture_loss(torch.where(batch["even"], drawn, wanted), wanted)
        return loss + uneven, {**metrics, "uneven": uneven}

    @torch.no_grad()
    def _small(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The dream's own frames (n, H, W, C) uint8, and where they are even, (n, H, W) bool, on the CPU."""
        drawn = self.model.render(states, as_bytes=True).cpu()
        return drawn, (neighbourhood(drawn, torch.maximum) - neighbourhood(drawn, torch.minimum)).amax(3) < EVEN * 255


def neighbourhood(frames: Tensor, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The largest or smallest value among each pixel and its neighbours: eight, or fewer at the border.

    On the CPU this is faster than max-pooling, which gives the same.

    Args:
        frames: (n, H, W, C).
        extreme: `torch.maximum` or `torch.minimum`.

    Returns:
        (n, H, W, C).
    """
    for dim in (1, 2):
        size = frames.shape[dim]
        inner = extreme(frames.narrow(dim, 0, size - 1), frames.narrow(dim, 1, size - 1))  # each pixel and the next
        middle = extreme(inner.narrow(dim, 0, size - 2), inner.narrow(dim, 1, size - 2))
        frames = torch.cat([inner.narrow(dim, 0, 1), middle, inner.narrow(dim, size - 2, 1)], dim)
    return frames


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
        BadInputError: all factors are below 2, the dream was made from video without actions, detail would not be drawn
            at any of these sizes, or the checkpoint to resume from is missing or belongs to another run.
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
    if not model.part("detail").suits(*(largest * side for side in model.config.cell)):
        height, width = (largest * side for side in model.config.frame_size)
        raise BadInputError(f"frames of {height}×{width} show no more than the dream's own: take a larger factor")
    seen = hashlib.sha256()
    for size in sorted(pictures):
        seen.update(str(size).encode() + pictures[size][0].numpy().tobytes())
    fingerprint = {
        "dream": weights_digest(dream),
        "pictures": seen.hexdigest(),
        "detail": repr((model.config.detail, recipe, MARGIN, seed, run.precision)),
    }
    loop = Loop(model, seed, run, fingerprint)
    loop.resume()
    states = {size: encode_in_parts(model, small) for size, (small, _) in pictures.items()}
    larger = {size: large for size, (_, large) in pictures.items()}
    loop.train(DetailStage(model, states, larger, _walk(dream, step_generator(seed, "walks", 0)), recipe))
    count = sum(map(len, states.values()))
    made = {"factor": largest, "scenes": count, "seed": seed, "recipe": asdict(recipe), **loop.finished["detail"]}
    return with_part(dream, model, "detail", made)


@torch.no_grad()
def _walk(dream: Dream, generator: Generator) -> Tensor:
    """Dreamt states (m, K, rows, cols) float32, on the CPU: of random walks from all starts, and layers of steps."""
    starts, model = torch.cat(list(dream.starts.values())), dream.world_model
    simulator = DreamSimulator(dream, WALKS, horizon=0, cells=starts.shape[2:])
    state = simulator.reset(states=starts[torch.randint(len(starts), (WALKS,), generator=generator).to(starts.device)])
    walking, states = torch.ones(WALKS, dtype=torch.bool, device=state.device), [torch.zeros_like(state[:1]), state]
    for step in range(WALK_STEPS):
        before, result = simulator.state, simulator.step(_random_actions(dream, generator).to(state.device))
        states.append(result.state[walking])
        if step % LAYERS_EVERY == 0:
            states += [model.content(before[walking]), model.motion(result.latent_action[walking])]
        walking = walking & ~(result.terminated | result.truncated)
    return torch.cat(states).cpu()


def _random_actions(dream: Dream, generator: Generator) -> Tensor:
    """`WALKS` of the environment's own actions."""
    config = dream.world_model.config
    if config.discrete:
        return torch.randint(config.actions, (WALKS,), generator=generator)
    low, high = torch.tensor(dream.card.action_bounds)
    return low + (high - low) * torch.rand(WALKS, config.actions, generator=generator)


@torch.no_grad()
def with_detail(model: WorldModel, factor: int, seed: int = 0) -> WorldModel:
    """A copy with new detail for frames `factor` times larger; untrained, it draws the same as the usual renderer."""
    usual = model.config.inr
    base, basis = model.part("renderer")
    octaves = usual.frequencies + factor.bit_length() - 1
    wider = replace(usual, frequencies=octaves, width=usual.width + MORE_UNITS)
    fresh = refitted(model, replace(model.config, detail=wider), "detail", seed)
    base = widen(base[None], usual, wider)[0]
    detail = fresh.part("detail")
    detail.base.copy_(start_new_units(base, usual, wider, torch.Generator().manual_seed(seed)))
    detail.basis.copy_(widen(basis, usual, wider))
    return fresh
