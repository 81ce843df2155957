"""Models to compare the field with. Each differs from `WorldModel` in one thing, so the same stages train it."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from nova_gym.model import inr
from nova_gym.model.config import ControlConfig, INRConfig, ModelConfig
from nova_gym.model.dynamics import ForwardDynamics
from nova_gym.model.local import LocalNetwork
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import Preset, preset

#: Channels of the decoder's hidden layers. Each layer doubles the size, by a kernel of 4×4.
CHANNELS = (64, 32, 32)


def field(kind: str) -> Preset:
    """The preset of a field of networks, without a codebook; `kind` is `digits` or `minigrid`."""
    return preset("digits" if kind == "digits" else "cpu", codes=0)


def one_network(kind: str) -> Preset:
    """The preset of one network for the whole frame: the paper's model, in sizes that suit such frames and minutes.

    Its state has more numbers than that of one cell, its other networks more units, and all see the whole frame.
    """
    chosen = field(kind)
    digits = kind == "digits"
    model = replace(
        chosen.model,
        inr=INRConfig(chosen.model.inr.channels, frequencies=6, width=32 if digits else 16),
        rank=64 if digits else 256,
        latent_action=64 if digits else 16,
        hidden=256,
        reach=1,
        head_hidden=64,
        control=ControlConfig(hidden=256),
    )
    training = replace(
        chosen.training,
        representation=replace(chosen.training.representation, learning_rate=3e-3 if digits else 2.4e-3),
        dynamics=replace(chosen.training.dynamics, learning_rate=1e-3),
    )
    return Preset(f"{chosen.name}, one network", model, training, whole=True)


class VectorModel(WorldModel):
    """A plain vector latent of equal size with a transposed-CNN decoder, the paper's baseline.

    Base and basis give the decoder's features instead of a coordinate network's weights. The number of features makes
    base, basis and decoder together as large as base and basis of one network for the whole frame. All other parts are
    the same, down to the initial weights of encoder and dynamics. The frame is one cell.
    """

    def __init__(self, config: ModelConfig, generator: Generator | None = None) -> None:
        generator = generator or torch.Generator().manual_seed(0)
        super().__init__(config, generator)
        self.grid = tuple(math.ceil(side / 2 ** (len(CHANNELS) + 1)) for side in config.frame_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            widths = (*CHANNELS, config.inr.channels)
            layers = [layer for pair in pairwise(widths) for layer in (nn.GELU(), _doubling(*pair))]
            channel = math.prod(self.grid) * (1 + config.rank) + CHANNELS[0] * 4**2  # parameters of one channel
            wanted = parameter_count(self.base, self.basis) - sum(map(parameter_count, layers)) - CHANNELS[0]
            channels = max(round(wanted / channel), 1)
            self.decoder = nn.Sequential(nn.GELU(), _doubling(channels, CHANNELS[0]), *layers)
        features = channels * math.prod(self.grid)
        self.base = nn.Parameter(torch.zeros(features))
        self.basis = nn.Parameter(torch.randn(config.rank, features, generator=generator) / config.rank**0.5)

    def part(self, name: str) -> nn.Module | None:
        """As `WorldModel.part`; the decoder is a part of the renderer."""
        return nn.ModuleList([super().part(name), self.decoder]) if name == "renderer" else super().part(name)

    def draw(self, state: Tensor, points: Tensor | None = None) -> Tensor:
        """As `WorldModel.draw`, but at the centres of the pixels that the points lie in: (B, K, 1, 1) → (B, C, P)."""
        height, width = self.config.frame_size
        frames = self.decoder(self.weights(state).unflatten(1, (-1, *self.grid)))
        pixels = frames[:, :, :height, :width].flatten(2) + 0.5
        if points is None:
            return pixels
        size = torch.tensor([width, height], device=points.device)
        x, y = torch.minimum(((points.clamp(-1.0, 1.0) + 1.0) * 0.5 * size).long(), size - 1).unbind(1)
        return pixels[:, :, y * width + x]

    @torch.no_grad()
    def render(
        self, state: Tensor, resolution: inr.Resolution | None = None, nyquist: bool = False, as_bytes: bool = False
    ) -> Tensor:
        """As `WorldModel.render`, but only at the size of the training frames.

        Raises:
            ValueError: another resolution or a Nyquist mask is asked for.
        """
        if resolution is not None or nyquist:
            raise ValueError("a decoder draws frames of one size, and has no Fourier features")
        frames = self.draw(state).clamp_(0.0, 1.0).unflatten(2, self.config.frame_size)
        return frames.mul_(255.0).add_(0.5).to(torch.uint8).permute(0, 2, 3, 1) if as_bytes else frames


def _doubling(inputs: int, outputs: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


class JointDynamics(nn.Module):
    """`z' = z + F([z, u])` in every cell: one network for both, with as many parameters as A and B together."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes = config.rank + config.latent_action, config.rank
        with torch.device("meta"):
            wanted = parameter_count(ForwardDynamics(config))
            widths = range(1, 4 * config.hidden)
            wider = bisect(widths, wanted, key=lambda width: parameter_count(LocalNetwork(*sizes, width)))
        self.network = LocalNetwork(*sizes, widths[wider - 1])

    def forward(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """One step: states (B, K, rows, cols) and latent actions (B, U, rows, cols) → next states."""
        return state + self.network(torch.cat([state, latent_action], dim=1))


class JointModel(WorldModel):
    """NOVA with joint instead of additive dynamics."""

    def __init__(self, config: ModelConfig, generator: Generator | None = None) -> None:
        generator = generator or torch.Generator().manual_seed(0)
        super().__init__(config, generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            self.forward_dynamics = JointDynamics(config)


def parameter_count(*parts: nn.Module | Tensor | None) -> int:
    """Number of trained parameters in all parts; a part that is None counts 0."""
    tensors = ([part] if isinstance(part, Tensor) else part.parameters() for part in parts if part is not None)
    return sum(tensor.numel() for several in tensors for tensor in several)
