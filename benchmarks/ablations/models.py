"""What NOVA is compared with: models that differ from `WorldModel` in one thing, so that all stages train them."""

from __future__ import annotations

import math
from bisect import bisect
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from nova_gym.data import to_unit
from nova_gym.model import inr
from nova_gym.model.config import ModelConfig
from nova_gym.model.dynamics import ForwardDynamics
from nova_gym.model.mlp import ResidualMLP
from nova_gym.model.world_model import WorldModel
from nova_gym.training.representation import Representation, picture_loss
from nova_gym.training.stage import Batch, Metrics
from nova_gym.training.unrolling import Unrolling

#: Channels of the decoder's hidden layers. Each layer doubles the size, by a kernel of 4×4.
CHANNELS = (64, 32, 32)


class VectorModel(WorldModel):
    """A plain vector latent of equal size with a transposed-CNN decoder (what the paper compares with).

    Base and basis give the decoder's features instead of a coordinate network's weights: as many as make the decoder as
    large as base and basis are in NOVA. All else is the same, down to the initial weights of encoder and dynamics.
    """

    def __init__(self, config: ModelConfig, generator: Generator | None = None) -> None:
        generator = generator or torch.Generator().manual_seed(0)
        super().__init__(config, generator)
        self.grid = tuple(math.ceil(side / 2 ** (len(CHANNELS) + 1)) for side in config.frame_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            widths = (*CHANNELS, config.inr.channels)
            layers = [layer for pair in pairwise(widths) for layer in (nn.GELU(), _doubling(*pair))]
            channel = math.prod(self.grid) * (1 + config.rank) + CHANNELS[0] * 4**2  # parameters of one of features
            wanted = parameter_count(self.base, self.basis) - sum(map(parameter_count, layers)) - CHANNELS[0]
            channels = max(round(wanted / channel), 1)
            self.decoder = nn.Sequential(nn.GELU(), _doubling(channels, CHANNELS[0]), *layers)
        features = channels * math.prod(self.grid)
        self.base = nn.Parameter(torch.zeros(features))
        self.basis = nn.Parameter(torch.randn(config.rank, features, generator=generator) / config.rank**0.5)

    def draw(self, state: Tensor, points: Tensor | None = None) -> Tensor:
        if points is not None:
            raise ValueError("a decoder draws whole frames")
        height, width = self.config.frame_size
        frames = self.decoder(self.weights(state).unflatten(1, (-1, *self.grid)))
        return frames[:, :, :height, :width].flatten(2) + 0.5

    @torch.no_grad()
    def render(
        self, state: Tensor, resolution: inr.Resolution | None = None, nyquist: bool = False, as_bytes: bool = False
    ) -> Tensor:
        """As `WorldModel.render`, at the size of the training frames alone."""
        if resolution is not None or nyquist:
            raise ValueError("a decoder draws frames of one size, and has no Fourier features")
        frames = self.draw(state).clamp_(0.0, 1.0).unflatten(2, self.config.frame_size)
        return frames.mul_(255.0).add_(0.5).to(torch.uint8).permute(0, 2, 3, 1) if as_bytes else frames


def _doubling(inputs: int, outputs: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


class VectorRepresentation(Representation):
    """The same stage for a decoder: it draws whole frames or nothing, and only the centres of pixels."""

    trains = ("encoder", "renderer", "decoder")

    def batch(self, generator: Generator, progress: float) -> Batch:
        chosen = torch.randint(len(self.clips.frames), (self.recipe.batch,), generator=generator)
        return {"frames": self.clips.frames[chosen]}

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        frames = to_unit(batch["frames"])
        return picture_loss(self.model.draw(self.model.encode(frames)), frames.flatten(2), self.margin)


class StateUnrolling(Unrolling):
    """The same stage for all sides, by the states alone: a decoder draws whole frames or nothing."""

    points = 0


class JointDynamics(nn.Module):
    """`z' = z + F([z, u])`: the residual network of A, but one for both, with as many parameters as A and B have."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes = config.rank + config.latent_action, config.rank
        with torch.device("meta"):
            wanted = parameter_count(ForwardDynamics(config))
            widths = range(1, 4 * config.hidden)
            wider = bisect(widths, wanted, key=lambda width: parameter_count(ResidualMLP(*sizes, width, config.depth)))
        self.network = ResidualMLP(*sizes, widths[wider - 1], config.depth)

    def forward(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """One step: states (B, K) and latent actions (B, U), float32 → next states (B, K)."""
        return state + self.network(torch.cat([state, latent_action], dim=-1))


class JointModel(WorldModel):
    """NOVA but for the sum in `z' = A(z) + B(u)`."""

    def __init__(self, config: ModelConfig, generator: Generator | None = None) -> None:
        generator = generator or torch.Generator().manual_seed(0)
        super().__init__(config, generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            self.forward_dynamics = JointDynamics(config)


def parameter_count(*parts: nn.Module | Tensor | None) -> int:
    """Numbers that training changes; None has none."""
    tensors = ([part] if isinstance(part, Tensor) else part.parameters() for part in parts if part is not None)
    return sum(tensor.numel() for several in tensors for tensor in several)
