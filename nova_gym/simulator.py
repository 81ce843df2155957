"""The one simulator: N dreams stepped as one batch, torch in and torch out.

The scalar environment, the vector environment and every other adapter are thin layers over it; step logic exists
here alone. Nothing here looks at the values of a tensor, so it runs on any device without waiting for it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.inr import Resolution

#: States have mean square 1; one that leaves these bounds is lost, and is kept at them.
STATE_LIMIT = 1000.0


class Transition(NamedTuple):
    """What one step of N dreams gave.

    Attributes:
        state: (N, K) float32, the states after the step.
        latent_action: (N, U) float32, what moved them.
        reward: (N,) float32, discounted in time as the real environment does.
        terminated: (N,) bool, the episode ended in the dream.
        truncated: (N,) bool, the horizon is reached, or the dream is lost: its state left ±`STATE_LIMIT`.
    """

    state: Tensor
    latent_action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor


class DreamSimulator:
    """N dreams, advanced together. It never resets by itself: who steps on after an end dreams on.

    Args:
        dream: what to dream; the simulator lives on its device.
        num_dreams: N.
        horizon: steps after which an episode is truncated; None for the real environment's, 0 for never.

    Attributes:
        state: (N, K) float32, present states.
        latent_action: (N, U) float32, last latent actions, zero after a reset.
        steps: (N,) int64, steps since the last reset.

    Raises:
        BadInputError: `num_dreams` or `horizon` makes no sense.
    """

    def __init__(self, dream: Dream, num_dreams: int = 1, horizon: int | None = None) -> None:
        if num_dreams < 1:
            raise BadInputError(f"there must be at least 1 dream, not {num_dreams}")
        if horizon is not None and horizon < 0:
            raise BadInputError(f"the horizon must be 0 (never) or more, not {horizon}")
        self.dream = dream
        self.num_dreams = num_dreams
        self.horizon = dream.card.horizon if horizon is None else horizon
        model = dream.world_model
        self.state = torch.zeros(num_dreams, model.config.rank, device=model.device)
        self.latent_action = torch.zeros(num_dreams, model.config.latent_action, device=model.device)
        self.steps = torch.zeros(num_dreams, dtype=torch.int64, device=model.device)

    @property
    def device(self) -> torch.device:
        """Where the dreams are."""
        return self.state.device

    @torch.no_grad()
    def reset(
        self,
        mask: Tensor | None = None,
        states: Tensor | None = None,
        starts: str = "official",
        generator: Generator | None = None,
    ) -> Tensor:
        """Starts episodes.

        Args:
            mask: (N,) bool, which dreams; None for all.
            states: (N, K) float32 to start from, rows outside the mask unused; None draws from the dream's starts.
            starts: which of the dream's starts to draw from.
            generator: of that draw, on the CPU; needed for it.

        Returns:
            (N, K) float32, all present states.

        Raises:
            BadInputError: the dream has no such starts, or `states` has another shape.
        """
        if states is None:
            bank = self.dream.starts.get(starts)
            if bank is None:
                raise BadInputError(f"unknown starts {starts!r}; this dream has {', '.join(self.dream.starts)}")
            if generator is None:
                raise BadInputError("reset() needs `states` to start from, or a `generator` to draw them with")
            drawn = torch.randint(len(bank), (self.num_dreams,), generator=generator)
            states = bank[drawn.to(bank.device)]
        elif states.shape != self.state.shape:
            raise BadInputError(f"states are {tuple(states.shape)}; expected {tuple(self.state.shape)}")
        if mask is None:
            mask = torch.ones(self.num_dreams, dtype=torch.bool, device=self.device)
        self.state = torch.where(mask[:, None], states, self.state)
        self.latent_action = torch.where(mask[:, None], 0.0, self.latent_action)
        self.steps = torch.where(mask, 0, self.steps)
        return self.state

    @torch.no_grad()
    def step(self, actions: Tensor) -> Transition:
        """Steps by the environment's own actions, through the action bridge.

        Args:
            actions: (N,) int64 for discrete actions, else (N, length) float32.
        """
        model = self.dream.world_model
        return self.step_latent(model.bridge(self.state, model.action_features(actions)))

    @torch.no_grad()
    def step_latent(self, latent_actions: Tensor) -> Transition:
        """Steps by latent actions (N, U) float32: `z' = A(z) + B(u)`, or z where that is within the card's dead band.

        Without it an agent finds that it can wait, or push against a wall, until the wall has faded.
        """
        model, card = self.dream.world_model, self.dream.card
        following = model.step(self.state, latent_actions)
        moved = (following - self.state).square().mean(-1, keepdim=True) > card.dead_band
        following = torch.where(moved, following, self.state)
        reward, termination = model.heads.outcome(self.state, latent_actions, following)
        lost = ~(following.abs() < STATE_LIMIT).all(-1)  # so that NaN is lost as well
        following = following.nan_to_num(0.0).clamp(-STATE_LIMIT, STATE_LIMIT)
        self.state, self.latent_action, self.steps = following, latent_actions, self.steps + 1
        if card.reward_discount:
            reward = reward * (1.0 - card.reward_discount * self.steps / card.horizon)
        truncated = lost | (self.steps >= self.horizon) if self.horizon else lost
        return Transition(following, latent_actions, reward.nan_to_num(0.0), termination > 0.5, truncated)

    @torch.no_grad()
    def render(self, resolution: Resolution | None = None, nyquist: bool = False) -> Tensor:
        """(N, C, H, W) float32 frames in [0, 1] of all dreams, at the size of the real frames or any other."""
        return self.dream.world_model.render(self.state, resolution, nyquist)
