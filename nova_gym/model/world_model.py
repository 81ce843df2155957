"""NOVA under one roof: encode, infer, bridge, step, render.

The state of the paper is the weight offset `z_t`, one number for each weight of the coordinate network. Here it is
kept in K principal coordinates: `θ = base + state @ basis` are the weights, so the same equation
`z' = A(z) + B(u)` holds in either, and a step costs K instead of D numbers. K = D is the paper's model.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from nova_gym.model import inr
from nova_gym.model.bridge import ActionBridge, action_features
from nova_gym.model.codebook import Codebook
from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.control import Memory, make_control
from nova_gym.model.detail import Detail
from nova_gym.model.dynamics import ForwardDynamics, InverseDynamics
from nova_gym.model.encoder import Encoder
from nova_gym.model.heads import Heads


class Renderer(NamedTuple):
    """How states become frames: `base + state @ basis` are the weights of a coordinate network.

    Attributes:
        base: (D,) float32.
        basis: (K, D) float32.
        config: sizes of the network.
        mask: (2 + 4F,) float32 that multiplies its features, or None.
    """

    base: Tensor
    basis: Tensor
    config: INRConfig
    mask: Tensor | None


class WorldModel(nn.Module):
    """The world model of arXiv 2605.06298 with the grounding that reinforcement learning needs.

    Shapes: B batch, C channels, H×W pixels, K = `config.rank`, U = `config.latent_action`,
    N = `config.actions`, D weights of the coordinate network.

    Without labels (`config.actions` = 0) there is neither `bridge` nor `heads`; `codebook`, `control` and
    `detail` are there where the configuration gives them a size. What is not there is None.

    Args:
        config: sizes.
        generator: of the initial weights; PyTorch's global one is left as it was.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.config = config
        weights = inr.weight_count(config.inr)
        self.base = nn.Parameter(inr.initial_weights(config.inr, generator))
        self.basis = nn.Parameter(torch.randn(config.rank, weights, generator=generator) * (0.4 / config.rank**0.5))
        with torch.random.fork_rng(devices=[]):  # PyTorch's layers know no generator: lend them the global one
            torch.manual_seed(generator.initial_seed())
            self.encoder = Encoder(config)
            self.forward_dynamics = ForwardDynamics(config)
            self.inverse_dynamics = InverseDynamics(config)
            self.bridge = ActionBridge(config) if config.actions else None
            self.heads = Heads(config) if config.actions else None
            self.codebook = Codebook(config) if config.codes else None
            self.control = make_control(config) if config.control else None
        self.detail = Detail(config) if config.detail else None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.base.device

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, C, H, W) float32 in [0, 1] → states (B, K) float32."""
        return self.encoder(frames)

    def weights(self, state: Tensor) -> Tensor:
        """States (B, K) → weights (B, D) of the usual coordinate networks: `θ = z̄ + z`."""
        return torch.addmm(self.base, state, self.basis)

    def render(
        self, state: Tensor, resolution: inr.Resolution | None = None, nyquist: bool = False, as_bytes: bool = False
    ) -> Tensor:
        """States (B, K) → frames (B, C, H, W) float32 in [0, 1], or (B, H, W, C) uint8.

        Args:
            state: (B, K) float32.
            resolution: pixels a side, or (H, W); default the size of the training frames. Where there is `detail`, it
                draws what is large enough to show it.
            nyquist: switch off the Fourier features that the training frames could not sample, and `detail` with them.
            as_bytes: which of the two.
        """
        height, width = inr.parse_resolution(self.config.frame_size if resolution is None else resolution)
        base, basis, config, mask = self.renderer(height, width, nyquist)
        return inr.render(inr.combine(base, basis, state), height, width, config, mask, as_bytes)

    def renderer(self, height: int, width: int, nyquist: bool = False) -> Renderer:
        """What draws frames of a size in pixels; `nyquist` as in `render`."""
        if self.detail is not None and not nyquist and self.detail.suits(height, width):
            detail = self.detail
            return Renderer(detail.base, detail.basis, detail.config, detail.mask(height, width))
        mask = inr.nyquist_mask(self.config.inr.frequencies, *self.config.frame_size) if nyquist else None
        return Renderer(self.base, self.basis, self.config.inr, mask)

    def draw(self, state: Tensor) -> Tensor:
        """States (B, K) → pixels of their own frames (B, C, H·W) float32, row by row, not clipped, with gradients."""
        grid = inr.coordinate_grid(*self.config.frame_size, state.device)
        return inr.render_at(self.weights(state), grid, self.config.inr)

    def infer(self, state: Tensor, next_state: Tensor) -> Tensor:
        """States (B, K) and the states after them (B, K) → latent actions (B, U)."""
        return self.inverse_dynamics(state, next_state)

    def action_features(self, actions: Tensor) -> Tensor:
        """Environment actions, (B,) int64 or (B, N) float32 → features (B, N) float32."""
        return action_features(actions, self.config)

    def step(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """States (B, K) and latent actions (B, U) → next states (B, K): `z' = A(z) + B(u)`."""
        return self.forward_dynamics(state, latent_action)

    def choose(self, memory: Memory, state: Tensor) -> tuple[Tensor | None, Tensor]:
        """What the control model does next.

        Where the dream knows discrete actions, its answer is taken as the nearest of theirs: half-way between two poses
        there is none, and the agent would fade.

        Args:
            memory: the control model's, of what happened so far.
            state: (B, K) float32.

        Returns:
            (B,) int64 actions, None where there are no discrete ones; (B, U) float32 latent actions in [-1, 1].
        """
        actions, latent_action = None, self.control.decode(memory, state).clamp(-1.0, 1.0)
        if self.bridge is not None and self.config.discrete:
            actions, latent_action = self.nearest_action(state, latent_action)
        return actions, latent_action.clamp(-1.0, 1.0)

    def nearest_action(self, state: Tensor, latent_action: Tensor) -> tuple[Tensor, Tensor]:
        """The discrete actions whose latent actions come nearest to those given.

        Args:
            state: (B, K) float32.
            latent_action: (B, U) float32.

        Returns:
            (B,) int64 actions; (B, U) float32 their latent actions.
        """
        count, batch = self.config.actions, len(state)
        actions = torch.arange(count, device=state.device)
        features = self.action_features(actions.repeat(batch))
        possible = self.bridge(state.repeat_interleave(count, 0), features).unflatten(0, (batch, count))
        nearest = (possible - latent_action[:, None]).square().sum(-1).argmin(1)
        return nearest, possible[torch.arange(batch, device=state.device), nearest]
