"""What a world model is made of, and whether it has it."""

from __future__ import annotations

import torch
from torch import nn

from nova_gym.errors import BadInputError
from nova_gym.model import inr
from nova_gym.model.bridge import ActionBridge
from nova_gym.model.chance import Chance
from nova_gym.model.codebook import Codebook
from nova_gym.model.config import ModelConfig
from nova_gym.model.control import Control
from nova_gym.model.detail import Detail
from nova_gym.model.doubt import Doubt
from nova_gym.model.dynamics import ForwardDynamics, InverseDynamics
from nova_gym.model.encoder import Encoder
from nova_gym.model.heads import Heads
from nova_gym.model.memory import RecurrentMemory


class Parts(nn.Module):
    """The parts of a world model; `nova_gym.WorldModel` is what they do together.

    Args:
        config, generator: as in `nova_gym.WorldModel`.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.config = config
        weights = inr.weight_count(config.inr)
        self.base = nn.Parameter(inr.initial_weights(config.inr, generator))
        self.basis = nn.Parameter(torch.randn(config.rank, weights, generator=generator) * (0.4 / config.rank**0.5))
        with torch.random.fork_rng(devices=[]):  # PyTorch's layers draw from the global generator: seed that
            torch.manual_seed(generator.initial_seed())
            self.encoder = Encoder(config)
            self.forward_dynamics = ForwardDynamics(config)
            self.inverse_dynamics = InverseDynamics(config)
            self.bridge = ActionBridge(config) if config.actions else None
            self.heads = Heads(config) if config.actions else None
            self.memory = RecurrentMemory(config) if config.actions and config.memory else None
            self.chance = Chance(config) if config.actions and config.outcomes else None
            self.codebook = Codebook(config) if config.codes else None
            self.control = Control(config) if config.control else None
            self.doubt = Doubt(config) if config.doubt else None
        self.detail = Detail(config) if config.detail else None
        self.register_buffer("looks", torch.zeros(config.looks, config.rank) if config.looks else None)

    @property
    def device(self) -> torch.device:
        """The device that the parameters are on."""
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
    def has_memory(self) -> bool:
        """Whether a step depends on more than the frame and the action."""
        return self.memory is not None

    @property
    def has_chance(self) -> bool:
        """Whether it leaves something to chance."""
        return self.chance is not None

    @property
    def has_codebook(self) -> bool:
        """Whether it has learned discrete actions."""
        return self.codebook is not None

    @property
    def has_control(self) -> bool:
        """Whether it has a control model, which chooses latent actions by itself."""
        return self.control is not None

    @property
    def has_doubt(self) -> bool:
        """Whether it can tell how far its steps are to be trusted."""
        return self.doubt is not None

    @property
    def has_detail(self) -> bool:
        """Whether it has a second renderer, for larger frames."""
        return self.detail is not None

    def part(self, name: str) -> nn.Module | None:
        """A part, for the stage that trains it; None if the model lacks it.

        Args:
            name: `encoder`, `renderer` (base weights and basis), `forward_dynamics`, `inverse_dynamics`, `bridge`,
                `heads`, `memory`, `chance`, `codebook`, `control`, `doubt` or `detail`.
        """
        return nn.ParameterList([self.base, self.basis]) if name == "renderer" else getattr(self, name)

    def _codebook(self) -> Codebook:
        if self.codebook is None:
            raise BadInputError("this dream has no codebook: `nova-gym train --stage codebook` makes one")
        return self.codebook

    def _control(self) -> Control:
        if self.control is None:
            raise BadInputError("this dream has no control model: `nova-gym train --stage control` makes one")
        return self.control
