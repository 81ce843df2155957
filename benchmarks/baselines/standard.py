"""A standard world model (Ha and Schmidhuber, 2018): a vector for each frame, a decoder, and recurrence between.

It is trained in two stages, as NOVA is: encoder and decoder on single frames, then the dynamics on encoded clips. The
dynamics are a gated recurrent unit that gives the change to the next vector. It has no latent actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nova_gym.benchmarks.baselines.common import (
    Contestant,
    Progress,
    Upwards,
    collect,
    count_parameters,
    downwards,
    draw_pieces,
    drawing_loss,
    enlarge,
    flat_size,
    mean_colour,
    pieces,
    seeded,
    train_for,
)
from nova_gym.data import Clips, to_unit

#: Numbers of a frame's vector, and of the recurrent unit's memory.
VECTOR, MEMORY = 64, 256
#: Frames, and pieces of clips, in a step of the optimiser.
FRAMES, PIECES = 16, 32
#: Share of the minutes that encoder and decoder get.
SHARE = 0.6
#: Largest standard deviation of the noise on vectors, whose mean square is 1, as NOVA has it.
NOISE = 0.05


class Standard(Contestant):
    """See above."""

    name, any_size = "standard world model", False

    def fit(self, clips: Clips, minutes: float, seed: int, progress: Progress = lambda what, done: None) -> None:
        shape = tuple(clips.frames.shape[1:])
        generator = torch.Generator().manual_seed(seed)
        self.encoder = seeded(seed, lambda: nn.Sequential(downwards(*shape), nn.Linear(flat_size(*shape), VECTOR)))
        self.decoder = seeded(seed + 1, lambda: Upwards(VECTOR, *shape))
        self.memory = seeded(seed + 2, lambda: nn.GRUCell(VECTOR, MEMORY))
        self.change = seeded(
            seed + 3, lambda: nn.Sequential(nn.Linear(MEMORY, MEMORY), nn.GELU(), nn.Linear(MEMORY, VECTOR))
        )
        self.scale = torch.ones(())
        self.decoder.layers[-1].bias.data.copy_(mean_colour(clips))
        seconds = 60.0 * minutes

        def rebuild(generator: Generator, done: float) -> Tensor:
            frames = to_unit(clips.frames[torch.randint(len(clips.frames), (FRAMES,), generator=generator)])
            return drawing_loss(self.decoder(self.encoder(frames - 0.5)), frames)

        train_for(
            [self.encoder, self.decoder], rebuild, SHARE * seconds, generator, progress=lambda d: progress("frames", d)
        )
        vectors = self._encode_all(clips)
        firsts, length = pieces(clips)

        def predict(generator: Generator, done: float) -> Tensor:
            piece = vectors[draw_pieces(clips, firsts, length, PIECES, generator)]
            noise = torch.randn(piece.shape, generator=generator) * NOISE
            context = int(torch.randint(1, length, (), generator=generator))
            memory, predicted = piece.new_zeros(PIECES, MEMORY), piece[:, 0]
            errors = []
            for t in range(length - 1):
                vector = piece[:, t] + noise[:, t] if t < context else predicted
                memory = self.memory(vector, memory)
                predicted = vector + self.change(memory)
                errors.append(F.mse_loss(predicted, piece[:, t + 1]))
            return torch.stack(errors).mean()

        train_for(
            [self.memory, self.change],
            predict,
            (1.0 - SHARE) * seconds,
            generator,
            progress=lambda d: progress("dynamics", d),
        )

    @torch.no_grad()
    def _encode_all(self, clips: Clips) -> Tensor:
        """(F, VECTOR) vectors of all frames, whose mean square is 1 from now on."""
        vectors = torch.cat([self.encoder(to_unit(part) - 0.5) for part in clips.frames.split(256)])
        self.scale = vectors.square().mean().sqrt()
        return vectors / self.scale

    @property
    def parameters(self) -> int:
        return count_parameters(self.encoder, self.decoder, self.memory, self.change)

    @torch.no_grad()
    def go_on(self, context: Tensor, steps: int, every: int = 1) -> Tensor:
        return collect(self._steps(context), steps, every)

    def _steps(self, context: Tensor) -> Iterator[Callable[[], Tensor]]:
        memory = context.new_zeros(len(context), MEMORY)
        vectors = self.encoder(context.flatten(0, 1) - 0.5).unflatten(0, context.shape[:2]) / self.scale
        for vector in vectors.unbind(1):
            memory = self.memory(vector, memory)
        while True:
            vector = vector + self.change(memory)
            yield lambda vector=vector: self.decoder(vector * self.scale)
            memory = self.memory(vector, memory)

    @torch.no_grad()
    def draw_step(self, context: Tensor) -> Callable[[int], Tensor]:
        steps = self._steps(context)
        return torch.no_grad()(lambda factor: enlarge(next(steps)(), factor))
