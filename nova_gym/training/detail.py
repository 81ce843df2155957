"""Detail: a second renderer that learns, with everything else frozen, from scenes that were drawn larger as well."""

from __future__ import annotations

import hashlib
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
from nova_gym.training.representation import beyond, encode_in_parts, picture_loss
from nova_gym.training.stage import Batch, Metrics, Stage

#: How detail is trained, but for the number of steps.
RECIPE = Recipe(18_000, 32, 8e-4, weight_decay=0.0, noise=0.02)
#: Units of a layer that detail has more than the usual renderer.
MORE_UNITS = 8
#: How far beyond their range black and white are to be drawn, before clipping.
MARGIN = 0.1
#: Points of a real frame that are drawn a step; of dreamt ones, and how many of these.
POINTS, DREAMT_POINTS, DREAMT_BATCH = 2592, 1024, 16
#: A frame is even around a pixel if that and its neighbours differ by less than this, of the range from 0 to 1.
EVEN = 0.05
#: Dreams that are walked at random, and steps of each, for states that need no real scene to be drawn.
WALKS, WALK_STEPS = 512, 24
#: Steps of these walks between two whose layers, content and motion, are such states as well.
LAYERS_EVERY = 4

#: By how many times larger: the dream's frames (n, C, H, W) uint8, and those so much larger of the same scenes.
Pictures = dict[int, tuple[Tensor, Tensor]]


class DetailStage(Stage):
    """Reconstruction as in stage 1, of frames of one size a step; the largest twice as often as others.

    Real scenes that were drawn larger are few. So dreamt states count beside them. Nothing real was drawn of these, but
    where the dream's own frame is even, a larger frame should have the same colour anywhere in the pixel.

    Args:
        model: with `detail`.
        states: by size, (n, K) of its scenes.
        larger: by size, (n, C, size · H, size · W) uint8.
        dreamt: (m, K) states that were dreamt.
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
        self.grids = {size: inr.coordinate_grid(*frames.shape[2:]) for size, frames in larger.items()}
        parts = [self._small(states.to(model.device)) for states in dreamt.split(256)]
        self.small, self.even = (torch.cat(each) for each in zip(*parts, strict=True))

    @property
    def detail(self) -> Detail:
        """The part that it trains."""
        return self.parts["detail"]

    def batch(self, generator: Generator, progress: float) -> Batch:
        size = self.sizes[int(torch.randint(len(self.sizes), (1,), generator=generator))]
        states, frames, grid = self.states[size], self.larger[size], self.grids[size]
        chosen = torch.randint(len(states), (self.recipe.batch,), generator=generator)
        points = torch.randint(len(grid), (min(POINTS, len(grid)),), generator=generator).sort().values
        noise = torch.randn(self.recipe.batch, states.shape[1], generator=generator) * self.recipe.noise
        return {
            "states": states[chosen] + noise,
            "points": grid[points],
            "mask": self.detail.mask(*frames.shape[2:]),
            "truth": frames.flatten(2)[chosen[:, None, None], torch.arange(frames.shape[1])[:, None], points],
            **self._dreamt_batch(generator),
        }

    def _dreamt_batch(self, generator: Generator) -> Batch:
        chosen = torch.randint(len(self.dreamt), (DREAMT_BATCH, 1), generator=generator)
        anywhere = torch.rand(DREAMT_POINTS, 2, generator=generator)
        y, x = (anywhere.flip(1) * torch.tensor(self.small.shape[1:3])).long().unbind(1)
        return {
            "dreamt": self.dreamt[chosen[:, 0]],
            "anywhere": anywhere * 2.0 - 1.0,
            "wanted": self.small[chosen, y, x].mT,
            "even": self.even[chosen, y, x][:, None],
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        drawn = self.detail.draw(batch["states"], batch["points"], batch["mask"])
        loss, metrics = picture_loss(drawn, to_unit(batch["truth"]), MARGIN)
        drawn = self.detail.draw(batch["dreamt"], batch["anywhere"], batch["mask"])
        wanted = beyond(drawn, to_unit(batch["wanted"]), MARGIN)
        uneven, _ = picture_loss(torch.where(batch["even"], drawn, wanted), wanted)
        return loss + uneven, {**metrics, "uneven": uneven}

    @torch.no_grad()
    def _small(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The dream's own frames (n, H, W, C) uint8, and where they are even, (n, H, W) bool, on the CPU."""
        drawn = self.model.render(states, as_bytes=True).cpu()
        return drawn, (neighbourhood(drawn, torch.maximum) - neighbourhood(drawn, torch.minimum)).amax(3) < EVEN * 255


def neighbourhood(frames: Tensor, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The largest or smallest values among each pixel of (n, H, W, C) and its eight neighbours, or those it has.

    Max-pooling does the same in five times as long on the CPU.
    """
    for dim in (1, 2):
        size = frames.shape[dim]
        inner = extreme(frames.narrow(dim, 0, size - 1), frames.narrow(dim, 1, size - 1))  # each pixel and the next
        middle = extreme(inner.narrow(dim, 0, size - 2), inner.narrow(dim, 1, size - 2))
        frames = torch.cat([inner.narrow(dim, 0, 1), middle, inner.narrow(dim, size - 2, 1)], dim)
    return frames


def sharpen(dream: Dream, pictures: Pictures, run: Run, steps: int = RECIPE.steps, seed: int = 0) -> Dream:
    """Gives a dream detail, or new detail; all that it draws at its own size stays the same to the last bit.

    Args:
        dream: left as it is.
        pictures: to learn from, of at least one size.
        run: where and how; its checkpoint is kept.
        steps: of the optimiser.
        seed: of everything random.

    Returns:
        The dream with detail, on the CPU.

    Raises:
        BadInputError: there is nothing to learn from, the dream has no actions to be walked by, detail would not be
            drawn at any of these sizes, or the checkpoint to resume from is missing or belongs to another run.
        KeyboardInterrupt: as it came in, after a checkpoint was written.
    """
    largest = max(pictures, default=1)
    if largest < 2:
        raise BadInputError("detail is learned from frames at least twice as large as the dream's: there are none")
    if not dream.world_model.has_actions:
        raise BadInputError("this dream was made from video without actions: there is no reality to be drawn larger")
    keep_freed_memory()
    recipe = replace(RECIPE, steps=steps, warmup=min(RECIPE.warmup, steps // 4))
    model = with_detail(dream.world_model, largest, seed).to(run.find_device())
    height, width = (largest * side for side in model.config.frame_size)
    if not model.part("detail").suits(height, width):
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
    """(m, K) float32 states of random walks from all starts to their ends, and layers of some of them, on the CPU."""
    starts, model = torch.cat(list(dream.starts.values())), dream.world_model
    simulator = DreamSimulator(dream, WALKS, horizon=0)
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
    """A copy with detail for frames so many times larger, which at first draws what the usual renderer does."""
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
