"""LAPO (arXiv 2312.10812): latent actions between pixels, without a state.

Inverse dynamics see the last two frames and the next, and give a latent action, which is quantised. Forward dynamics,
a U-net, draw the next frame from the last two and the latent action. Both are trained together on the next frame. A
policy then learns to guess the latent action from the last two frames, and the model goes on by its own frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nova_gym.benchmarks.baselines.common import (
    WIDTHS,
    Contestant,
    Progress,
    collect,
    count_parameters,
    downwards,
    drawing_loss,
    enlarge,
    flat_size,
    frames_of,
    mean_colour,
    seeded,
    sizes,
    train_for,
)
from nova_gym.data import Clips

#: A latent action consists of groups of numbers; each group is one of so many codes.
GROUPS, NUMBERS, CODES = 4, 8, 16
#: Weights of moving codes to latent actions, and latent actions to codes.
CODEBOOK, COMMITMENT = 1.0, 0.25
#: Transitions in a step of the optimiser, and the share of the minutes that the dynamics get.
BATCH, SHARE = 8, 0.75


class Codes(nn.Module):
    """Product quantisation with a straight-through gradient.

    Groups are normalised first, so that all codes come near some of them and none is left over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(GROUPS, CODES, NUMBERS))

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """(B, GROUPS · NUMBERS) → the nearest codes, of the same shape, and the loss of the quantisation."""
        groups = F.layer_norm(given.unflatten(1, (GROUPS, NUMBERS)), (NUMBERS,))
        nearest = torch.cdist(groups.transpose(0, 1), self.codes).argmin(-1)  # (GROUPS, B)
        chosen = torch.stack([codes[index] for codes, index in zip(self.codes, nearest, strict=True)], dim=1)
        loss = CODEBOOK * F.mse_loss(chosen, groups.detach()) + COMMITMENT * F.mse_loss(groups, chosen.detach())
        return (groups + (chosen - groups).detach()).flatten(1), loss


class UNet(nn.Module):
    """Two frames and a latent action → the next frame."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.sizes = sizes(height, width)
        widths = [2 * channels, *WIDTHS[: len(self.sizes) - 1]]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.action = nn.Linear(GROUPS * NUMBERS, widths[-1] * self.sizes[-1][0] * self.sizes[-1][1])
        ways = []
        for level in range(len(widths) - 1, 0, -1):
            before = widths[level] if level == len(widths) - 1 else 2 * widths[level]
            ways.append(nn.ConvTranspose2d(before, widths[level - 1] if level > 1 else 16, 4, stride=2, padding=1))
        self.up = nn.ModuleList(ways)
        self.last = nn.Conv2d(16 + 2 * channels, channels, 3, padding=1)

    def forward(self, pair: Tensor, action: Tensor) -> Tensor:
        """(B, 2 · C, H, W) and (B, GROUPS · NUMBERS) → (B, C, H, W), not clipped."""
        kept = [pair - 0.5]
        for layer in self.down:
            kept.append(F.gelu(layer(kept[-1])))
        drawn = kept.pop() + self.action(action).unflatten(1, (-1, *self.sizes[-1]))
        for layer, (height, width) in zip(self.up, self.sizes[-2::-1], strict=True):
            drawn = torch.cat([F.gelu(layer(drawn))[:, :, :height, :width], kept.pop()], dim=1)
        return self.last(drawn) + 0.5


class LAPO(Contestant):
    """See above."""

    name, any_size = "LAPO", False

    def fit(self, clips: Clips, minutes: float, seed: int, progress: Progress = lambda what, done: None) -> None:
        channels, *size = clips.frames.shape[1:]
        generator, seconds = torch.Generator().manual_seed(seed), 60.0 * minutes

        def network(frames: int) -> nn.Module:
            shape = (frames * channels, *size)
            return nn.Sequential(
                downwards(*shape), nn.Linear(flat_size(*shape), 128), nn.GELU(), nn.Linear(128, GROUPS * NUMBERS)
            )

        self.inverse = seeded(seed, lambda: network(3))
        self.codes = seeded(seed + 1, Codes)
        self.forward = seeded(seed + 2, lambda: UNet(channels, *size))
        self.forward.last.bias.data.copy_(mean_colour(clips))
        self.policy = seeded(seed + 3, lambda: network(2))

        def batch(generator: Generator) -> tuple[Tensor, Tensor]:
            chosen = clips.draw(BATCH, generator)
            now = clips.source[chosen]
            before = now - (clips.position[chosen] > 0).long()  # a clip begins as if it had stood still
            frames = frames_of(clips, torch.stack([before, now, now + 1], dim=1))
            return frames[:, :2].flatten(1, 2), frames[:, 2]

        def dynamics(generator: Generator, done: float) -> Tensor:
            pair, following = batch(generator)
            action, quantised = self.codes(self.inverse(torch.cat([pair, following], dim=1) - 0.5))
            return drawing_loss(self.forward(pair, action), following) + 0.1 * quantised

        def imitation(generator: Generator, done: float) -> Tensor:
            pair, following = batch(generator)
            with torch.no_grad():
                wanted = self.inverse(torch.cat([pair, following], dim=1) - 0.5)
            return F.mse_loss(self.policy(pair - 0.5), wanted)

        trained = [self.inverse, self.codes, self.forward]
        train_for(trained, dynamics, SHARE * seconds, generator, progress=lambda d: progress("dynamics", d))
        train_for(
            [self.policy], imitation, (1.0 - SHARE) * seconds, generator, progress=lambda d: progress("policy", d)
        )

    @property
    def parameters(self) -> int:
        return count_parameters(self.inverse, self.codes, self.forward, self.policy)

    @torch.no_grad()
    def go_on(self, context: Tensor, steps: int, every: int = 1) -> Tensor:
        return collect(self._steps(context, lambda pair, t: self.policy(pair - 0.5)), steps, every)

    @torch.no_grad()
    def follow(self, frames: Tensor, context: int) -> Tensor:
        def inferred(pair: Tensor, t: int) -> Tensor:
            return self.inverse(frames[:, context - 2 + t : context + 1 + t].flatten(1, 2) - 0.5)

        return collect(self._steps(frames[:, :context], inferred), frames.shape[1] - context, 1)

    def _steps(self, context: Tensor, act: Callable[[Tensor, int], Tensor]) -> Iterator[Callable[[], Tensor]]:
        before, now, t = context[:, -2], context[:, -1], 0
        while True:
            pair = torch.cat([before, now], dim=1)
            before, now, t = now, self.forward(pair, self.codes(act(pair, t))[0]).clamp(0.0, 1.0), t + 1
            yield lambda now=now: now

    @torch.no_grad()
    def draw_step(self, context: Tensor) -> Callable[[int], Tensor]:
        steps = self._steps(context, lambda pair, t: self.policy(pair - 0.5))
        return torch.no_grad()(lambda factor: enlarge(next(steps)(), factor))
