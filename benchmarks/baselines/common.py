"""What contestants of the paper's table have in common: how they are asked, their clips, their training by the clock.

Shapes: B clips, T frames, C channels, H×W pixels. Frames are float32 in [0, 1].
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grad_norm_

from nova_gym.data import Clips, to_unit
from nova_gym.dream import Dream
from nova_gym.training.representation import picture_loss

#: Frames of the pieces of clips that recurrent models are trained on, at most.
PIECE = 20
#: Channels of the convolutions of encoders and decoders, which halve and double the size until it is `SMALLEST`.
WIDTHS, SMALLEST = (16, 32, 64, 64, 64), 8
#: Share of the steps in which the learning rate rises, and its share of the peak at the end.
WARMUP, FINAL = 0.05, 0.01

Progress = Callable[[str, float], None]


class Contestant(ABC):
    """A model of video that is trained for some minutes and then goes on from a context.

    Attributes:
        name: in the table.
        any_size: whether it draws frames of any size; others are enlarged by a bilinear filter.
        dream: what `fit` made, for a model that is one of this package.
    """

    name: str
    any_size: bool
    dream: Dream | None = None

    @abstractmethod
    def fit(self, clips: Clips, minutes: float, seed: int, progress: Progress = lambda what, done: None) -> None:
        """Trains it.

        Args:
            clips: without labels.
            minutes: of training; work between its stages comes on top.
            seed: of everything random.
            progress: called with the stage and the share of it that is done.
        """

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Number of trained parameters."""

    @abstractmethod
    def go_on(self, context: Tensor, steps: int, every: int = 1) -> Tensor:
        """Continues clips by itself.

        Args:
            context: (B, T, C, H, W).
            steps: frames to go on for.
            every: how many of them make one that is drawn.

        Returns:
            (B, steps // every, C, H, W): the frames `every`, 2 · `every` … steps after the context.
        """

    def follow(self, frames: Tensor, context: int) -> Tensor | None:
        """Continues clips by latent actions that are inferred from the true frames, which it sees for that alone.

        Args:
            frames: (B, T, C, H, W), context and what follows.
            context: frames of context.

        Returns:
            (B, T - context, C, H, W); None for a model without latent actions.
        """
        return None

    @abstractmethod
    def draw_step(self, context: Tensor) -> Callable[[int], Tensor]:
        """What is timed: a function of an enlargement that makes one step from a context and draws its frame.

        Args:
            context: (1, T, C, H, W).
        """


def pieces(clips: Clips) -> tuple[Tensor, int]:
    """The first frames of all pieces of clips that are as long as most transitions' clips are, and that length."""
    typical = int(clips.lengths.repeat_interleave(clips.lengths).median()) + 1
    length = min(PIECE, typical)
    return clips.source[clips.remaining >= length - 1], length


def draw_pieces(clips: Clips, firsts: Tensor, length: int, batch: int, generator: Generator) -> Tensor:
    """(batch, length) int64 frames of random pieces."""
    return firsts[torch.randint(len(firsts), (batch, 1), generator=generator)] + torch.arange(length)


def frames_of(clips: Clips, chosen: Tensor) -> Tensor:
    """Frames of a recording by number, of any shape: (…) int64 → (…, C, H, W)."""
    return to_unit(clips.frames[chosen.flatten()]).unflatten(0, chosen.shape)


def train_for(
    modules: list[nn.Module],
    loss: Callable[[Generator, float], Tensor],
    seconds: float,
    generator: Generator,
    rate: float = 2e-3,
    progress: Callable[[float], None] = lambda done: None,
) -> int:
    """Trains modules for some time, by AdamW on a cosine schedule that is as long as that.

    Args:
        modules: whose parameters are trained.
        loss: called with the generator and the share of the time that is over; draws a batch.
        seconds: of training.
        generator: of everything random.
        rate: peak of the learning rate.
        progress: called with the share of the time that is over.

    Returns:
        The number of steps.
    """
    parameters = [parameter for module in modules for parameter in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=0.0)
    began, steps = time.monotonic(), 0
    while (done := (time.monotonic() - began) / seconds) < 1.0:
        fade = FINAL + (1.0 - FINAL) * 0.5 * (1.0 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate * fade * min(1.0, done / WARMUP + 0.01)
        value = loss(generator, done)
        if torch.isfinite(value):
            value.backward()
            clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps += 1
        progress(done)
    return steps


def drawing_loss(drawn: Tensor, truth: Tensor) -> Tensor:
    """The loss of all contestants' frames, that of NOVA: squared error, and more of each frame's worst pixels.

    Args:
        drawn, truth: (n, C, H, W) or (n, C, P).
    """
    return picture_loss(drawn.flatten(2), truth.flatten(2))[0]


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(H, W) after each halving, the frame's own first, until both are at most `SMALLEST`."""
    found = [(height, width)]
    while max(found[-1]) > SMALLEST and len(found) <= len(WIDTHS):
        found.append(tuple((side + 1) // 2 for side in found[-1]))
    return found


def downwards(channels: int, height: int, width: int) -> nn.Sequential:
    """Convolutions that halve frames until they are small, and give all numbers of the last: (B, C, H, W) → (B, n)."""
    count = len(sizes(height, width)) - 1
    layers: list[nn.Module] = []
    for before, after in zip((channels, *WIDTHS), WIDTHS[:count], strict=False):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GELU()]
    return nn.Sequential(*layers, nn.Flatten())


class Upwards(nn.Module):
    """Transposed convolutions that draw a frame from a vector."""

    def __init__(self, numbers: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.sizes = sizes(height, width)[::-1]
        count = len(self.sizes) - 1
        widths = (*WIDTHS[:count][::-1], channels)
        self.first = nn.Linear(numbers, widths[0] * self.sizes[0][0] * self.sizes[0][1])
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )

    def forward(self, vector: Tensor) -> Tensor:
        """(B, numbers) → (B, C, H, W), not clipped."""
        drawn = self.first(vector).unflatten(1, (-1, *self.sizes[0]))
        for layer, (height, width) in zip(self.layers, self.sizes[1:], strict=True):
            drawn = layer(F.gelu(drawn))[:, :, :height, :width]
        return drawn + 0.5


def flat_size(channels: int, height: int, width: int) -> int:
    """Numbers that `downwards` gives."""
    last = sizes(height, width)
    return WIDTHS[len(last) - 2] * last[-1][0] * last[-1][1]


def mean_colour(clips: Clips) -> Tensor:
    """(C,) the mean of a recording's pixels less the 0.5 that decoders add: a bias to begin with."""
    some = to_unit(clips.frames[:: max(1, len(clips.frames) // 256)])
    return some.mean((0, 2, 3)) - 0.5


def count_parameters(*modules: nn.Module) -> int:
    """Number of trained parameters in all modules."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def enlarge(frames: Tensor, factor: int) -> Tensor:
    """Frames (B, C, H, W), enlarged by a bilinear filter."""
    return frames if factor == 1 else F.interpolate(frames, scale_factor=factor, mode="bilinear")


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """A module whose initial weights follow from a seed; PyTorch's global generator is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def collect(steps: Iterator[Callable[[], Tensor]], count: int, every: int) -> Tensor:
    """Takes `count` steps, of which every `every`-th is drawn: (B, count // every, C, H, W)."""
    drawn = []
    for number in range(1, count + 1):
        draw = next(steps)
        if number % every == 0:
            drawn.append(draw().clamp(0.0, 1.0))
    return torch.stack(drawn, dim=1)
