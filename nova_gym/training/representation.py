"""Stage 1: encoder, basis and base weights on single frames; then the coordinates that the dynamics work in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model import inr
from nova_gym.model.coordinates import change_states
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage

#: Weight and share of a frame's worst pixels in the loss; without them small things are never drawn.
WORST_WEIGHT, WORST_SHARE = 0.1, 0.02
#: Frames that coordinates of states are found by, where a recording has so many.
SAMPLE = 20_000


class Representation(Stage):
    """Reconstruction of single frames (arXiv 2605.06298, first stage; `docs/how-it-works.md` says why so)."""

    name, trains = "representation", ("encoder", "renderer")

    def __init__(self, model: WorldModel, clips: Clips, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.representation)
        height, width = model.config.frame_size
        self.grid = inr.coordinate_grid(height, width)
        self.pixels = max(1, round(config.pixels * height * width))
        self.margin = config.margin

    def batch(self, generator: Generator, progress: float) -> Batch:
        chosen = torch.randint(len(self.clips.frames), (self.recipe.batch,), generator=generator)
        pixels = torch.randperm(len(self.grid), generator=generator)[: self.pixels].sort().values
        return {"frames": self.clips.frames[chosen], "pixels": pixels, "points": self.grid[pixels]}

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        frames = to_unit(batch["frames"])
        drawn = self.model.draw(self.model.encode(frames), batch["points"])
        return picture_loss(drawn, frames.flatten(2)[:, :, batch["pixels"]], self.margin)

    def pictures(self) -> Tensor:
        frames = to_unit(self.clips.frames[:: max(1, len(self.clips.frames) // 8)][:8])
        drawn = self.model.render(self.model.encode(frames.to(self.model.device))).cpu()
        return torch.cat([frames, drawn])


def picture_loss(drawn: Tensor, truth: Tensor, margin: float = 0.0) -> tuple[Tensor, Metrics]:
    """Mean squared error and that of each frame's worst pixels, of (B, C, P) pixels drawn and true.

    If there is a margin, black and white are to lie at least so far beyond the range of pixels, before clipping, and
    what lies further beyond is as good. Otherwise a network hardly ever draws black, but dark grey.
    """
    error = (drawn - (beyond(drawn, truth, margin) if margin else truth)).square().mean(1)
    worst = error.topk(max(1, round(WORST_SHARE * error.shape[1])), dim=1).values.mean()
    mean = error.mean()
    mistake = (drawn.detach().clamp(0.0, 1.0) - truth).square().mean() if margin else mean
    return mean + WORST_WEIGHT * worst, {"psnr": -10 * mistake.log10(), "worst": worst}


def beyond(drawn: Tensor, truth: Tensor, margin: float = 0.0) -> Tensor:
    """What is to be drawn, before clipping, of any shape: the truth, and where that is 0 or 1, whatever lies at least
    `margin` beyond.
    """
    drawn = drawn.detach()
    target = torch.where(truth <= 0.0, drawn.clamp(max=-margin), truth)
    return torch.where(truth >= 1.0, drawn.clamp(min=1.0 + margin), target)


def encode_all(
    model: WorldModel, clips: Clips, progress: Callable[[int, int], None] = lambda done, total: None
) -> Tensor:
    """(F, K) float32 states of all frames, on the CPU."""
    return encode_in_parts(model, clips.frames, progress)


@torch.no_grad()
def encode_in_parts(
    model: WorldModel, frames: Tensor, progress: Callable[[int, int], None] = lambda done, total: None
) -> Tensor:
    """(F, C, H, W) uint8 frames → (F, K) float32 states, on the CPU."""
    states = []
    for part in frames.split(256):
        states.append(model.encode(to_unit(part.to(model.device))).cpu())
        progress(len(states) * 256, len(frames))
    return torch.cat(states)


def settle_coordinates(model: WorldModel, clips: Clips, generator: Generator, margin: float = 0.0) -> None:
    """Changes the coordinates of states by what a sample of the frames shows; `change_coordinates` says to which.

    Args:
        model: changed in place; every frame is drawn as before.
        clips: the recording.
        generator: of everything random.
        margin: how far beyond their range black and white were to be drawn. If at all, what changes beyond it does not
            count, for nobody sees it.
    """
    sample = replace(clips, frames=clips.frames[:: max(1, len(clips.frames) // SAMPLE)])
    states = encode_all(model, sample)
    change_coordinates(model, states, pixel_metric(model, states, generator, clip=margin > 0.0))


@torch.enable_grad()
def pixel_metric(
    model: WorldModel, states: Tensor, generator: Generator, probes: int = 4096, clip: bool = False
) -> Tensor:
    """How much a small change of the state changes pixels, on average: E[JᵀJ] for J = ∂frame/∂state.

    Estimated from products of Jᵀ with random ±1 frames, whose expected outer product is JᵀJ.

    Args:
        model: the world model.
        states: (F, K) states to average over.
        generator: of the choice of states and of the random frames.
        probes: number of products.
        clip: whether a change of what lies beyond the range of pixels counts as none.

    Returns:
        (K, K) float32, symmetric and positive.
    """
    metric = states.new_zeros(states.shape[1], states.shape[1])
    for _ in range(-(-probes // 32)):
        chosen = torch.randint(len(states), (32,), generator=generator)
        state = states[chosen].to(model.device).requires_grad_()
        drawn = model.draw(state)
        drawn = drawn.clamp(0.0, 1.0) if clip else drawn
        signs = torch.randint(2, drawn.shape, generator=generator).to(drawn) * 2 - 1
        (gradient,) = torch.autograd.grad((drawn * signs).sum(), state)
        metric += (gradient.mT @ gradient).cpu()
    return metric / (-(-probes // 32) * 32)


@torch.no_grad()
def change_coordinates(model: WorldModel, states: Tensor, metric: Tensor) -> None:
    """Turns the states' axes so that equal distances are, to first order and on average, equal changes of pixels.

    The new axes are the principal directions in that metric, largest variance first; states get mean 0 and mean
    square 1 (over axes and frames). Encoder, basis and base weights change together, so every frame is drawn as
    before.

    Args:
        model: changed in place.
        states: (F, K) of all frames, in the old coordinates.
        metric: (K, K) from `pixel_metric`.
    """
    size = states.shape[1]
    mean = states.mean(0)
    spread, metric = torch.cov(states.T).double(), metric.double()
    ridge = 0.03 * metric.trace() / size + 1e-9  # what hardly shows in pixels must not be blown up
    root = torch.linalg.cholesky(metric + ridge * torch.eye(size, dtype=torch.float64))
    variances, axes = torch.linalg.eigh(root.T @ spread @ root)
    matrix = axes.flip(1).T @ root.T / variances.clamp(min=0).mean().sqrt()
    inverse = torch.linalg.inv(matrix)
    device = model.device
    change_states(model, matrix.float().to(device), inverse.float().to(device), mean.to(device))
