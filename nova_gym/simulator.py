"""The one simulator: N dreams stepped as one batch, torch in and torch out.

The scalar environment, the vector environment and every other adapter are thin layers over it; step logic exists
here alone. Nothing here looks at the values of a tensor, so it runs on any device without waiting for it.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor

from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.inr import Resolution

if TYPE_CHECKING:
    from nova_gym.fused_step import Packed

#: States have mean square 1; one that leaves these bounds is lost, and is kept at them.
STATE_LIMIT = 1000.0

#: Up to so many dreams on the CPU are stepped by `nova_gym.fused_step`, more by PyTorch.
FEW = 16


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
        self._packed: Packed | None = None

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

    def step(self, actions: Tensor) -> Transition:
        """Steps by the environment's own actions, through the action bridge.

        Args:
            actions: (N,) int64 for discrete actions, else (N, length) float32.
        """
        if (packed := self._packed_weights()) and _alike(actions, self.steps):
            return self._step_fused(packed, None, actions)
        model = self.dream.world_model
        with torch.no_grad():
            return self._step_by_layers(model.bridge(self.state, model.action_features(actions)))

    def step_latent(self, latent_actions: Tensor) -> Transition:
        """Steps by latent actions (N, U) float32: `z' = A(z) + B(u)`, or z where that is within the card's dead band.

        Without it an agent finds that it can wait, or push against a wall, until the wall has faded.
        """
        if (packed := self._packed_weights()) and _alike(latent_actions, self.latent_action):
            return self._step_fused(packed, latent_actions, None)
        return self._step_by_layers(latent_actions)

    @torch.no_grad()
    def _step_by_layers(self, latent_actions: Tensor) -> Transition:
        """`step_latent` in plain PyTorch, on any device: the reference."""
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

    def _step_fused(self, packed: Packed, latent_actions: Tensor | None, actions: Tensor | None) -> Transition:
        """The same step in one compiled call, by latent actions or by actions."""
        card = self.dream.card
        limits = (card.dead_band, STATE_LIMIT, card.reward_discount, card.horizon, self.horizon)
        numbers = tuple(map(float, limits))
        *given, steps = _fused().advance(packed, self.state, latent_actions, actions, self.steps, numbers)
        result = Transition(*given)
        self.state, self.latent_action, self.steps = result.state, result.latent_action, steps
        return result

    def _packed_weights(self) -> Packed | None:
        """What the compiled step needs, None where PyTorch steps: many dreams, another device, an unusual model."""
        model = self.dream.world_model
        if self.num_dreams > FEW or not (fused := _fused()) or not fused.packable(model):
            return None
        if self._packed is None or not self._packed.current(model):
            self._packed = fused.Packed(model)
        return self._packed

    @torch.no_grad()
    def render(self, resolution: Resolution | None = None, nyquist: bool = False) -> Tensor:
        """(N, C, H, W) float32 frames in [0, 1] of all dreams, at the size of the real frames or any other."""
        return self.dream.world_model.render(self.state, resolution, nyquist)


def _alike(given: Tensor, expected: Tensor) -> bool:
    return (given.shape, given.dtype, given.device) == (expected.shape, expected.dtype, expected.device)


@cache
def _fused() -> ModuleType | None:
    """The compiled step, None where Numba is missing; imported late, since Numba takes a while."""
    try:
        from nova_gym import fused_step
    except ImportError:
        return None
    return fused_step
