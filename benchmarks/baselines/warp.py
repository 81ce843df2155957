"""WARP (arXiv 2506.01153): a linear recurrence whose state is the weights of a network that draws the frame.

`θ[t] = A θ[t - 1] + B (o[t] - o[t - 1])`, and the network with the weights θ[t] draws the next frame. The first weights
come from the first frame by a network of their own. A begins as the identity and B as zero. Here the drawing network
takes places in the frame, as NOVA's does. B sees differences of frames by a linear patch embedding, since one matrix
from all pixels would be far larger than all other parts. In a quarter of the steps the model is trained on its own
frames after a context of random length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor, nn

from nova_gym.benchmarks.baselines.common import (
    Contestant,
    Progress,
    collect,
    count_parameters,
    downwards,
    draw_pieces,
    drawing_loss,
    flat_size,
    frames_of,
    pieces,
    seeded,
    train_for,
)
from nova_gym.data import Clips
from nova_gym.model import inr
from nova_gym.model.config import INRConfig

#: Pixels a side of a patch that B sees, about how many numbers all patches have, and numbers that a frame begins as.
PATCH, SEEN, BEGUN = 8, 1024, 64
#: Sizes of the drawing network, but for its channels.
FREQUENCIES, WIDTH, LAYERS = 6, 12, 3
#: Pieces of clips in a step of the optimiser, and pixels that are drawn of each frame.
BATCH, POINTS = 8, 512
#: Share of the steps that are trained on the model's own frames.
ALONE = 0.25


class WARP(Contestant):
    """See above."""

    name, any_size = "WARP", True

    def fit(self, clips: Clips, minutes: float, seed: int, progress: Progress = lambda what, done: None) -> None:
        self.shape = channels, height, width = tuple(clips.frames.shape[1:])
        self.config = INRConfig(channels, FREQUENCIES, WIDTH, LAYERS)
        generator = torch.Generator().manual_seed(seed)
        weights = inr.weight_count(self.config)
        self.base = nn.ParameterList([nn.Parameter(inr.initial_weights(self.config, generator))])
        flat = flat_size(*self.shape)

        def begin() -> nn.Module:
            return nn.Sequential(downwards(*self.shape), nn.Linear(flat, BEGUN), nn.GELU(), nn.Linear(BEGUN, weights))

        self.first = seeded(seed, begin)
        patches = (height // PATCH) * (width // PATCH)
        embedding = max(1, SEEN // patches)
        self.patches = seeded(seed + 1, lambda: nn.Conv2d(channels, embedding, PATCH, PATCH, bias=False))
        self.change = seeded(seed + 2, lambda: nn.Linear(embedding * patches, weights, bias=False))
        self.keep = nn.Linear(weights, weights, bias=False)
        with torch.no_grad():
            self.first[-1].weight.mul_(0.1)
            self.keep.weight.copy_(torch.eye(weights))
            self.change.weight.zero_()
        firsts, length = pieces(clips)
        self.grid = inr.coordinate_grid(height, width)

        def loss(generator: Generator, done: float) -> Tensor:
            frames = frames_of(clips, draw_pieces(clips, firsts, length, BATCH, generator))
            alone = float(torch.rand((), generator=generator)) < ALONE
            context = int(torch.randint(1, length, (), generator=generator)) if alone else length
            pixels = torch.randint(len(self.grid), (POINTS,), generator=generator)
            seen, states = frames[:, 0], [self._begin(frames[:, 0])]
            for t in range(1, length - 1):
                if t < context:
                    following = frames[:, t]
                else:
                    with torch.no_grad():
                        following = self._draw(states[-1]).clamp(0.0, 1.0)
                states.append(self._step(states[-1], following - seen))
                seen = following
            drawn = inr.render_at(torch.stack(states, dim=1).flatten(0, 1), self.grid[pixels], self.config)
            return drawing_loss(drawn, frames[:, 1:].flatten(0, 1).flatten(2)[..., pixels])

        train_for(self._parts(), loss, 60.0 * minutes, generator, progress=lambda d: progress("recurrence", d))

    def _parts(self) -> list[nn.Module]:
        return [self.base, self.first, self.patches, self.change, self.keep]

    @property
    def parameters(self) -> int:
        return count_parameters(*self._parts())

    def _begin(self, frames: Tensor) -> Tensor:
        return self.base[0] + self.first(frames - 0.5)

    def _step(self, weights: Tensor, difference: Tensor) -> Tensor:
        return self.keep(weights) + self.change(self.patches(difference).flatten(1))

    def _draw(self, weights: Tensor, factor: int = 1) -> Tensor:
        """Weights (B, D) → frames (B, C, H, W), not clipped."""
        height, width = (side * factor for side in self.shape[1:])
        grid = self.grid if factor == 1 else inr.coordinate_grid(height, width)
        return inr.render_at(weights, grid, self.config).unflatten(2, (height, width))

    @torch.no_grad()
    def go_on(self, context: Tensor, steps: int, every: int = 1) -> Tensor:
        return collect(self._steps(context), steps, every)

    def _steps(self, context: Tensor) -> Iterator[Callable[[int], Tensor]]:
        weights = self._begin(context[:, 0])
        for before, after in zip(context.unbind(1), context.unbind(1)[1:], strict=False):
            weights = self._step(weights, after - before)
        seen = context[:, -1]
        while True:
            following = self._draw(weights).nan_to_num(0.0).clamp(0.0, 1.0)
            yield (
                lambda factor=1, weights=weights, frame=following: frame if factor == 1 else self._draw(weights, factor)
            )
            weights, seen = self._step(weights, following - seen), following

    @torch.no_grad()
    def draw_step(self, context: Tensor) -> Callable[[int], Tensor]:
        steps = self._steps(context)
        return torch.no_grad()(lambda factor: next(steps)(factor))
