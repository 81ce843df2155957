"""Stage 1: encoder, basis and base weights on single frames; then the coordinates that the dynamics work in."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model import inr
from nova_gym.model.coordinates import change_states
from nova_gym.model.doubt import cell_errors
from nova_gym.model.world_model import WorldModel
from nova_gym.training.foresight import WEIGHT, WINDOW, Foresight
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage
from nova_gym.training.windows import Windows

#: Weight and share of a frame's worst pixels in the loss; without them small things are never drawn.
WORST_WEIGHT, WORST_SHARE = 0.1, 0.02
#: Mean squared difference of two looks' states below which they are too near to each other, as a share of the variance
#: of all; the weight of that as a share of the loss; and so many looks are compared in a step.
APART, CROWDED, TOGETHER = 0.1, 0.5, 256
#: Share of the mean that is added to the metric of states in all directions: what hardly shows in pixels must not be
#: blown up, and what tells looks must not vanish.
RIDGE, RIDGE_OF_LOOKS = 0.03, 1.0
#: Largest distance of a drawn point from its pixel's centre along each axis, in pixels.
JITTER = 0.4
#: Pixels of a cell that a step draws at most; of a larger cell these, drawn at random, more often where it varies.
POINTS = 1024
#: The coordinates of states are computed from about this many cells, or from all of a smaller recording.
SAMPLE = 400_000
#: Frames, evenly spread, that `drawn_within` looks at, and the share of cells that may be drawn worse than it says.
DRAWN, WORST_CELLS = 2048, 0.001


class Representation(Stage):
    """Reconstruction of single frames (arXiv 2605.06298, first stage; `docs/how-it-works.md`, Stage 1).

    A pixel is drawn at a random point near its centre, another one in each step: it is an area, and a network that saw
    its centre alone draws anything in between, which shows on finer grids. A field of real numbers says what is at the
    centres; there the truth is interpolated between them.

    Where cells have few looks (`looks_of`), different ones shall have states that are `APART`, however few pixels tell
    them: rules that cannot tell a passenger from an empty place never move one.

    Where one network draws the whole frame, half of the frames come in windows of consecutive ones, and states shall be
    such as can be foreseen (`Foresight`).
    """

    name, trains, least = "representation", ("encoder", "renderer"), 4

    def __init__(
        self,
        model: WorldModel,
        clips: Clips,
        config: TrainingConfig,
        windows: Windows | None = None,
        looks: Tensor | None = None,
    ) -> None:
        super().__init__(model, clips, config.representation)
        self.looks = looks
        self.margin, self.windows = config.margin, windows
        height, width = model.config.cell
        self.grid, self.pixel = inr.coordinate_grid(height, width), 2.0 / torch.tensor([width, height])
        self.lively = _lively(clips.frames, model.config.cell) if len(self.grid) > POINTS else None
        self.ends = torch.nonzero(clips.position >= WINDOW - 2).flatten()  # transitions that end a window
        if model.config.cells == (1, 1) and len(self.ends):
            self.helpers["foresight"] = Foresight(model.config.rank, model.config.actions)

    def batch(self, generator: Generator, progress: float) -> Batch:
        chosen = torch.randint(len(self.clips.frames), (self.recipe.batch,), generator=generator)
        last = self.ends[:0]
        if self.helpers:  # windows, and as many single frames
            last = self.ends[torch.randint(len(self.ends), (-(-len(chosen) // 2),), generator=generator)]
            windows = self.clips.source[last] + torch.arange(2 - WINDOW, 2)[:, None]
            chosen = torch.cat([windows.flatten(), chosen[len(last) :]])
        pixels = torch.arange(len(self.grid))
        if self.lively is not None:
            pixels = torch.multinomial(self.lively, POINTS, generator=generator)
        off = torch.rand(len(pixels), 2, generator=generator) * 2.0 - 1.0
        points = self.grid[pixels] + JITTER * self.pixel * off
        frames = self.clips.frames
        if self.windows:
            shown = self.windows.anywhere(frames, chosen, self.model.config.cell, generator)
        else:
            shown = frames[chosen]
        before = last[:, None] + torch.arange(2 - WINDOW, 1)
        acted = {"actions": self.clips.actions[before]} if self.clips.labelled else {}
        if self.looks is not None:
            acted["looks"] = self.looks[torch.randperm(len(self.looks), generator=generator)[:TOGETHER]]
        return {"frames": shown, "points": points, "pixels": pixels, **acted}

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        frames, count = to_unit(batch["frames"]), self.recipe.batch
        states = self.model.encode(frames)
        drawn = self.model.draw(states[-count:], batch["points"]).unflatten(0, (count, -1))
        if batch["frames"].is_floating_point():
            truth = between(frames[-count:], batch["points"], self.model.config.cell)
        else:
            truth = in_cells(frames[-count:], self.model.config.cell)[..., batch["pixels"]]
        loss, metrics = picture_loss(*(each.movedim(2, 1).flatten(2) for each in (drawn, truth)), self.margin)
        if "looks" in batch:
            crowded = crowding(self.model.encode(to_unit(batch["looks"])).flatten(1))
            loss, metrics = loss + CROWDED * loss.detach() * crowded, {**metrics, "crowding": crowded}
        if not self.helpers:
            return loss, metrics
        windows = states[: len(states) - count // 2].flatten(1).unflatten(0, (WINDOW, -1)).transpose(0, 1)
        shape = len(windows), WINDOW - 1
        acted = self.model.as_numbers(
            batch["actions"].flatten(0, 1) if "actions" in batch else None, shape[0] * shape[1]
        )
        surprise = self.helpers["foresight"](windows, acted.unflatten(0, shape))
        return loss + WEIGHT * loss.detach() * surprise, {**metrics, "surprise": surprise}

    def pictures(self) -> Tensor:
        frames = to_unit(self.clips.frames[:: max(1, len(self.clips.frames) // 8)][:8])
        drawn = self.model.render(self.model.encode(frames.to(self.model.device))).cpu()
        return torch.cat([frames, drawn])


def crowding(states: Tensor) -> Tensor:
    """how much too near to another states (n, K) are: from 0, where all are `APART`, to 1, where all are one."""
    states = states / (states.var(0).mean() + 1e-9).sqrt()
    sizes = states.square().sum(1)
    squares = (sizes[:, None] + sizes - 2.0 * states @ states.T) / states.shape[1]
    others = squares + torch.diag_embed(torch.full_like(states[:, 0], math.inf))
    return (1.0 - others.amin(1) / APART).clamp(min=0.0).mean()


def _lively(frames: Tensor, cell: tuple[int, int]) -> Tensor:
    """(P,) float32, how often each pixel of a cell is drawn: half of all evenly, half as much as they vary."""
    some = in_cells(to_unit(frames[:: max(1, len(frames) // DRAWN)]), cell)
    varies = some.std(0).mean((0, 1)) + 1e-6
    return 0.5 / len(varies) + 0.5 * varies / varies.sum()


def in_cells(frames: Tensor, cell: tuple[int, int]) -> Tensor:
    """Frames (B, C, H, W) cut into cells of (h, w) pixels: (B, rows · cols, C, h · w), all row by row."""
    height, width = cell
    cut = frames.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(4, 5).flatten(1, 2)


def between(frames: Tensor, points: Tensor, cell: tuple[int, int]) -> Tensor:
    """Frames (B, C, H, W) at the same points of all their cells, by cubic interpolation between pixels.

    Args:
        frames: that divide into cells of (h, w) pixels.
        points: (P, 2) coordinates in [-1, 1] of a cell, x and y.
        cell: (h, w).

    Returns:
        (B, rows · cols, C, P), in the order of `in_cells`.
    """
    height, width = frames.shape[2:]
    rows, cols = height // cell[0], width // cell[1]
    corners = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)).flip(1).to(points)  # x and y, in cells
    places = (corners[:, None] + (points + 1.0) / 2.0) / points.new_tensor([cols, rows]) * 2.0 - 1.0
    places = places.expand(len(frames), -1, -1, -1)
    found = F.grid_sample(frames, places, mode="bicubic", padding_mode="border", align_corners=False)
    return found.movedim(1, 2)


def picture_loss(drawn: Tensor, truth: Tensor, margin: float = 0.0) -> tuple[Tensor, Metrics]:
    """The loss of drawn pixels: mean squared error, plus a tenth of that of each frame's worst pixels.

    Source: `docs/how-it-works.md`, Stage 1. With a margin, black and white are right where they are drawn at least
    `margin` beyond [0, 1], before clipping. Without it a network draws dark grey where black is true.

    Args:
        drawn: (B, C, P) float32, not clipped.
        truth: (B, C, P) float32 in [0, 1].
        margin: 0 for no margin.

    Returns:
        () float32 loss; metrics `psnr` in dB and `worst`, the mean squared error of the worst pixels.
    """
    error = (drawn - (beyond(drawn, truth, margin) if margin else truth)).square().mean(1)
    worst = error.topk(max(1, round(WORST_SHARE * error.shape[1])), dim=1).values.mean()
    mean = error.mean()
    mistake = (drawn.detach().clamp(0.0, 1.0) - truth).square().mean() if margin else mean
    return mean + WORST_WEIGHT * worst, {"psnr": -10 * mistake.log10(), "worst": worst}


def beyond(drawn: Tensor, truth: Tensor, margin: float = 0.0) -> Tensor:
    """The target of drawn values before clipping: the truth, or for 0 and 1 any value at least `margin` beyond.

    Args:
        drawn, truth: of one shape, float32; `truth` in [0, 1].
        margin: how far beyond 0 and 1 a value must lie to be right.

    Returns:
        The target, of the same shape; it equals `drawn` where that is right already.
    """
    drawn = drawn.detach()
    target = torch.where(truth <= 0.0, drawn.clamp(max=-margin), truth)
    return torch.where(truth >= 1.0, drawn.clamp(min=1.0 + margin), target)


def encode_all(
    model: WorldModel, clips: Clips, progress: Callable[[int, int], None] = lambda done, total: None
) -> Tensor:
    """(F, K, rows, cols) float32 states of all frames, on the CPU."""
    return encode_in_parts(model, clips.frames, progress)


@torch.no_grad()
def encode_in_parts(
    model: WorldModel, frames: Tensor, progress: Callable[[int, int], None] = lambda done, total: None
) -> Tensor:
    """(F, C, H, W) uint8 frames → (F, K, rows, cols) float32 states, on the CPU."""
    rows, cols = model.config.cells_of(*frames.shape[2:])
    states = torch.empty(len(frames), model.config.rank, rows, cols)  # not joined from parts, which takes it twice
    for chosen in torch.arange(len(frames)).split(256):
        part = slice(int(chosen[0]), int(chosen[-1]) + 1)
        states[part] = model.encode(to_unit(frames[part].to(model.device))).cpu()
        progress(part.stop, len(frames))
    return states


@torch.no_grad()
def drawn_within(model: WorldModel, clips: Clips, states: Tensor) -> float:
    """Mean squared error of the worst cells that the model draws, those of the last thousandth (`Card.drawn_within`).

    Args:
        model: trained.
        clips: the recording.
        states: (F, K, rows, cols) float32 of all its frames.
    """
    errors = []
    for chosen in torch.arange(0, len(states), max(1, len(states) // DRAWN)).split(64):
        state, frames = states[chosen].to(model.device), to_unit(clips.frames[chosen].to(model.device))
        errors.append(cell_errors(model, state, frames).flatten().cpu())
    return float(torch.cat(errors).sort().values[int(-WORST_CELLS * sum(map(len, errors))) - 1])


def settle_coordinates(model: WorldModel, clips: Clips, generator: Generator, margin: float = 0.0) -> None:
    """Changes the coordinates of states as `change_coordinates` does, from a sample of the frames.

    Args:
        model: changed in place; every frame is drawn as before.
        clips: the recording.
        generator: of everything random.
        margin: that of the training before. If it is above 0, changes beyond [0, 1] do not count, since clipping hides
            them.
    """
    rows, cols = model.config.cells
    every = max(1, len(clips.frames) * rows * cols // SAMPLE)
    states = of_cells(encode_in_parts(model, clips.frames[::every]))
    metric = pixel_metric(model, states, generator, clip=margin > 0.0)
    change_coordinates(model, states, metric, RIDGE_OF_LOOKS if model.config.looks else RIDGE)


def of_cells(states: Tensor) -> Tensor:
    """States (F, K, rows, cols) → (F · rows · cols, K), those of single cells."""
    return states.movedim(1, 3).flatten(0, 2)


@torch.enable_grad()
def pixel_metric(
    model: WorldModel, states: Tensor, generator: Generator, probes: int = 16_384, clip: bool = False
) -> Tensor:
    """How much a small change of a cell's state changes its pixels, on average: E[JᵀJ] for J = ∂pixels/∂state.

    Estimated from products of Jᵀ with random ±1 pixels, whose expected outer product is JᵀJ.

    Args:
        model: the world model.
        states: (n, K) float32 states of cells to average over.
        generator: for the choice of states and for the random pixels.
        probes: number of products.
        clip: whether pixels are clipped first, so that changes beyond [0, 1] do not count.

    Returns:
        (K, K) float32, symmetric and positive semi-definite.
    """
    metric = states.new_zeros(states.shape[1], states.shape[1])
    for _ in range(-(-probes // 256)):
        chosen = torch.randint(len(states), (256,), generator=generator)
        state = states[chosen].to(model.device).requires_grad_()
        drawn = model.draw(state[:, :, None, None])
        drawn = drawn.clamp(0.0, 1.0) if clip else drawn
        signs = torch.randint(2, drawn.shape, generator=generator).to(drawn) * 2 - 1
        (gradient,) = torch.autograd.grad((drawn * signs).sum(), state)
        metric += (gradient.mT @ gradient).cpu()
    return metric / (-(-probes // 256) * 256)


@torch.no_grad()
def change_coordinates(model: WorldModel, states: Tensor, metric: Tensor, ridge: float = RIDGE) -> None:
    """Changes the states' coordinates so that equal distances are equal changes of pixels.

    That holds to first order and on average.

    The new axes are the principal directions in that metric, largest variance first; states get mean 0 and mean
    square 1 (over axes and cells). Encoder, basis and base weights change together, so every frame is drawn as
    before.

    Args:
        model: changed in place.
        states: (n, K) float32 of cells, in the old coordinates.
        metric: (K, K) float32 from `pixel_metric`.
        ridge: what is added to the metric in all directions, as a share of its mean.
    """
    size = states.shape[1]
    mean = states.mean(0)
    spread, metric = torch.cov(states.T).double(), metric.double()
    ridge = ridge * metric.trace() / size + 1e-9
    root = torch.linalg.cholesky(metric + ridge * torch.eye(size, dtype=torch.float64))
    variances, axes = torch.linalg.eigh(root.T @ spread @ root)
    matrix = axes.flip(1).T @ root.T / variances.clamp(min=0).mean().sqrt()
    inverse = torch.linalg.inv(matrix)
    device = model.device
    change_states(model, matrix.float().to(device), inverse.float().to(device), mean.to(device))
