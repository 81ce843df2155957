"""NOVA under one roof, as the method goes: encode, infer, translate, step, outcome, render.

The state of the paper is the weight offset `z_t`, one number for each weight of the coordinate network. Here it is
kept in K principal coordinates: `θ = base + state @ basis` are the weights, so the same equation
`z' = A(z) + B(u)` holds in either, and a step costs K instead of D numbers. K = D is the paper's model.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from nova_gym.errors import BadInputError
from nova_gym.model import inr
from nova_gym.model.bridge import ActionBridge
from nova_gym.model.codebook import Codebook
from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.control import Control, Memory, make_control
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

    The methods stand in the order of the method. They are verbs, and all that callers need: a frame is *encoded* as a
    state, what happened between two states is *inferred* as a latent action, an environment's own action is
    *translated* into one (by the action bridge), a *step* is `z' = A(z) + B(u)`, its *outcome* is a reward and whether
    the episode ends, and a state is *rendered*. Below them stand the codebook and the control model.

    The parts behind them are nouns (`encoder`, `bridge`, `heads` …), and their names are those of the tensors in a
    dream's file. `part` hands one out to the stage that trains it. Whether the model has a part is a property:
    `has_actions` (bridge and heads; a model of video without labels has neither), `has_codebook`, `has_control`,
    `has_detail`.

    Shapes: B batch, C channels, H×W pixels, K = `config.rank`, U = `config.latent_action`,
    N = `config.actions`, D weights of the coordinate network. All numbers are float32 unless it says otherwise.

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

    # What happens from a frame to the next.

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, C, H, W) in [0, 1] → states (B, K).

        Raises:
            ValueError: the frames are of another size than `config.frame_size`.
        """
        return self.encoder(frames)

    def infer(self, state: Tensor, next_state: Tensor) -> Tensor:
        """States (B, K) and the states after them (B, K) → latent actions (B, U), by inverse dynamics."""
        return self.inverse_dynamics(state, next_state)

    def translate(self, state: Tensor, actions: Tensor) -> Tensor:
        """The environment's own actions as latent actions, by the action bridge: `u = bridge(z, a)`.

        Args:
            state: (B, K).
            actions: (B,) int64 where the environment's actions are discrete, else (B, N).

        Returns:
            (B, U).

        Raises:
            BadInputError: the model knows no actions but latent ones.
        """
        if self.bridge is None:
            raise BadInputError("this dream was made from video without actions: only latent actions or codes step it")
        return self.bridge(state, actions)

    def content(self, state: Tensor) -> Tensor:
        """A: states (B, K) → what there is in the next states (B, K)."""
        return self.forward_dynamics.content(state)

    def motion(self, latent_action: Tensor) -> Tensor:
        """B: latent actions (B, U) → what moves in the next states (B, K)."""
        return self.forward_dynamics.motion(latent_action)

    def step(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """States (B, K) and latent actions (B, U) → next states (B, K): `z' = A(z) + B(u)`."""
        return self.forward_dynamics(state, latent_action)

    def outcome(self, state: Tensor, latent_action: Tensor, next_state: Tensor) -> tuple[Tensor, Tensor]:
        """What a step pays and whether it ends the episode; without labels it pays 0 and ends nothing.

        Args:
            state, next_state: (B, K).
            latent_action: (B, U).

        Returns:
            (B,) undiscounted reward; (B,) probability that the episode ends here.
        """
        if self.heads is None:
            nothing = next_state.new_zeros(len(next_state))
            return nothing, nothing
        return self.heads.outcome(state, latent_action, next_state)

    # From a state to pixels.

    def weights(self, state: Tensor) -> Tensor:
        """States (B, K) → weights (B, D) of the usual coordinate networks: `θ = z̄ + z`."""
        return torch.addmm(self.base, state, self.basis)

    def render(
        self, state: Tensor, resolution: inr.Resolution | None = None, nyquist: bool = False, as_bytes: bool = False
    ) -> Tensor:
        """States (B, K) → frames (B, C, H, W) in [0, 1], or (B, H, W, C) uint8.

        Args:
            state: (B, K).
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

    def draw(self, state: Tensor, points: Tensor | None = None) -> Tensor:
        """States (B, K) → pixels (B, C, P), not clipped, with gradients; for training.

        Args:
            state: (B, K).
            points: (P, 2) coordinates in [-1, 1]; None for the pixels of the model's own frames, row by row.
        """
        if points is None:
            points = inr.coordinate_grid(*self.config.frame_size, state.device)
        return inr.render_at(self.weights(state), points, self.config.inr)

    # Codes: learned discrete actions.

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B,) int64 → the latent actions (B, U) that they stand for.

        Raises:
            BadInputError: the model has no codebook.
        """
        return self._codebook().decode(codes)

    def nearest_code(self, latent_action: Tensor) -> Tensor:
        """Latent actions (B, U) → the codes (B,) int64 that come nearest to them.

        Raises:
            BadInputError: the model has no codebook.
        """
        return self._codebook().nearest(latent_action)

    def _codebook(self) -> Codebook:
        if self.codebook is None:
            raise BadInputError("this dream has no codebook: `nova-gym train --stage codebook` makes one")
        return self.codebook

    # The control model: what happens next, from what happened so far.

    def fresh_memory(self, batch: int) -> Memory:
        """The control model's memory before anything has happened, of so many dreams.

        Raises:
            BadInputError: the model has no control model.
        """
        return self._control().reset(batch)

    def remember(self, memory: Memory, state: Tensor, latent_action: Tensor) -> Memory:
        """The memory after one step more, of states (B, K) and latent actions (B, U)."""
        return self._control().encode(memory, state, latent_action)

    def forget(self, memory: Memory, rows: Tensor) -> Memory:
        """The memory, in which nothing has happened yet in the rows that are chosen, (B,) bool."""
        return self._control().restart(memory, rows)

    def choose(self, memory: Memory, state: Tensor) -> tuple[Tensor | None, Tensor]:
        """What the control model does next.

        Where the dream knows discrete actions, its answer is taken as the nearest of theirs: half-way between two poses
        there is none, and the agent would fade.

        Args:
            memory: of what happened so far.
            state: (B, K).

        Returns:
            (B,) int64 actions, None where there are no discrete ones; (B, U) latent actions in [-1, 1].

        Raises:
            BadInputError: the model has no control model.
        """
        actions, latent_action = None, self._control().decode(memory, state).clamp(-1.0, 1.0)
        if self.has_discrete_actions:
            actions, latent_action = self.nearest_action(state, latent_action)
        return actions, latent_action.clamp(-1.0, 1.0)

    def nearest_action(self, state: Tensor, latent_action: Tensor) -> tuple[Tensor, Tensor]:
        """The discrete actions whose latent actions come nearest to those given.

        Args:
            state: (B, K).
            latent_action: (B, U).

        Returns:
            (B,) int64 actions; (B, U) their latent actions.
        """
        count, batch = self.config.actions, len(state)
        actions = torch.arange(count, device=state.device)
        possible = self.translate(state.repeat_interleave(count, 0), actions.repeat(batch))
        possible = possible.unflatten(0, (batch, count))
        nearest = (possible - latent_action[:, None]).square().sum(-1).argmin(1)
        return nearest, possible[torch.arange(batch, device=state.device), nearest]

    def _control(self) -> Control:
        if self.control is None:
            raise BadInputError("this dream has no control model: `nova-gym train --stage control` makes one")
        return self.control

    # What the model is made of.

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.base.device

    @property
    def has_actions(self) -> bool:
        """Whether it knows the environment's actions, rewards and endings: it has a bridge and heads."""
        return self.bridge is not None

    @property
    def has_discrete_actions(self) -> bool:
        """Whether it knows the environment's actions, and these are discrete."""
        return self.has_actions and self.config.discrete

    @property
    def has_codebook(self) -> bool:
        """Whether it has learned discrete actions."""
        return self.codebook is not None

    @property
    def has_control(self) -> bool:
        """Whether it has a control model, which goes on by itself."""
        return self.control is not None

    @property
    def has_detail(self) -> bool:
        """Whether it has a second renderer, for larger frames."""
        return self.detail is not None

    def part(self, name: str) -> nn.Module | None:
        """A part, for the stage that trains it; None where the model has none.

        Args:
            name: `encoder`, `renderer` (base weights and basis), `forward_dynamics`, `inverse_dynamics`, `bridge`,
                `heads`, `codebook`, `control` or `detail`.
        """
        return nn.ParameterList([self.base, self.basis]) if name == "renderer" else getattr(self, name)
