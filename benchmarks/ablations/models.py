"""Models to compare NOVA with. Each differs from `WorldModel` in one thing, so the same stages train it."""

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
    """A plain vector latent of equal size with a transposed-CNN decoder, the paper's baseline.

    Base and basis give the decoder's features instead of a coordinate network's weights. The number of features makes
    base, basis and decoder together as large as base and basis in NOVA. All other parts are the same, down to the
    initial weights of encoder and dynamics.
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

    def draw(self, state: Tensor, points: Tensor | None = None) -> Tensor:
        """As `WorldModel.draw`, but whole frames only: states (B, K) float32 → (B, C, H · W) float32."""
        if points is not None:
            raise ValueError("a decoder draws whole frames")
        height, width = self.config.frame_size
        frames = self.decoder(self.weights(state).unflatten(1, (-1, *self.grid)))
        return frames[:, :, :height, :width].flatten(2) + 0.5

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


class VectorRepresentation(Representation):
    """The stage `representation` for a decoder, which draws whole frames, at the centres of pixels."""

    trains = ("encoder", "renderer", "decoder")

    def batch(self, generator: Generator, progress: float) -> Batch:
        """Whole frames, drawn at random."""
        chosen = torch.randint(len(self.clips.frames), (self.recipe.batch,), generator=generator)
        return {"frames": self.clips.frames[chosen]}

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """The loss of whole frames, and what to log."""
        frames = to_unit(batch["frames"])
        return picture_loss(self.model.draw(self.model.encode(frames)), frames.flatten(2), self.margin)


class StateUnrolling(Unrolling):
    """The stage `unrolling` with a loss on states alone, so that it is the same for all sides."""

    points = 0


class JointDynamics(nn.Module):
    """`z' = z + F([z, u])`: one residual network for both inputs, with as many parameters as A and B together."""

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
