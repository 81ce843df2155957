"""One step of N dreams: compiled where that can be, in plain PyTorch elsewhere.

Step logic exists here alone. Python code here never reads the values of a tensor, so it never waits for a GPU.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from nova_gym import kernels, noise
from nova_gym.dream import Card, Dream
from nova_gym.model.doubt import Belief

if TYPE_CHECKING:
    from nova_gym.model.compiled_doubt import CompiledDoubt
    from nova_gym.model.compiled_step import CompiledStep, Memo

#: Largest absolute value in a state. States have mean square 1; a state beyond the limit is lost, and is clamped to it.
STATE_LIMIT = 1000.0


class Transition(NamedTuple):
    """The result of one step of N dreams.

    Attributes:
        state: (N, K + M, rows, cols) float32, the states after the step, memory included.
        latent_action: (N, U, rows, cols) float32, the latent actions of the step.
        reward: (N,) float32, smaller for later steps as in the real environment (`Card.reward_discount`).
        terminated: (N,) bool, the model says that the episode ends: with a probability above 0.5, or drawn with that
            probability where endings are left to chance.
        truncated: (N,) bool, the horizon is reached, or the dream is lost.
        lost: (N,) bool, the state left ±`STATE_LIMIT` or became NaN. Such a state is clamped to ±`STATE_LIMIT` (NaN to
            0) and is meaningless. A state that is truncated by the horizon alone is valid.
        undecided: (N,) float32, how undecided the model is about reward and ending (`Heads.undecided`).
    """

    state: Tensor
    latent_action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    lost: Tensor
    undecided: Tensor


class Present(NamedTuple):
    """N dreams before a step.

    Attributes:
        state, latent_action, steps: as in `DreamSimulator`.
        keys: as in `DreamSimulator`; None for what is likeliest instead of what is left to chance.
        belief: for doubt, which a compiled step writes into; None where doubt is not followed.
    """

    state: Tensor
    latent_action: Tensor
    steps: Tensor
    keys: Tensor | None
    belief: Belief | None


class Stepper:
    """Makes the steps of N dreams. Where they are, it is told; it keeps only what was computed of it.

    Args:
        dream: the dream to step.

    Attributes:
        memo: what the compiled step computed of the present states.
        doubting: compiled doubt, once it was followed.
    """

    def __init__(self, dream: Dream) -> None:
        if dream.step_kept is not None and not dream.step_kept.made_of(dream.world_model):
            dream.step_kept = None
        self.dream = dream
        self.memo: Memo | None = None
        self.doubting: CompiledDoubt | None = None

    def step(
        self, now: Present, latent_actions: Tensor | None, actions: Tensor | None, horizon: int
    ) -> tuple[Transition, Tensor, Belief | None]:
        """One step, by latent actions or by actions, in one compiled call where that can be.

        Args:
            now: where the dreams are.
            latent_actions: (N, U, rows, cols) float32, or None.
            actions: as in `WorldModel.translate`, or None.
            horizon: steps after which an episode is truncated, 0 for never.

        Returns:
            What the step led to; (N,) int64 steps since the last reset, with this one; the belief after it.
        """
        compiled = self.compiled()
        if compiled is None or not _takes(compiled, now, latent_actions, actions):
            return self._step_by_layers(now, latent_actions, actions, horizon)
        card, belief = self.dream.card, now.belief
        self.memo = compiled.memo(self.memo, now.state, card.dead_band)
        numbers = tuple(map(float, (STATE_LIMIT, card.reward_discount, card.horizon, horizon)))
        doubting = None if belief is None else self._compiled_doubt()
        follower = doubting and doubting.follower(self.memo, belief, actions)
        given = now.state, latent_actions, actions, now.steps
        *given, steps = compiled.advance(self.memo, *given, numbers, follower)
        result = Transition(*given)
        if belief is not None and doubting is None:
            belief = self._follow(belief, now, result, actions)
        return result, steps, belief

    def compiled(self) -> CompiledStep | None:
        """The compiled step; None where PyTorch steps instead: on devices other than the CPU, or without Numba."""
        card = self.dream.card
        if not (module := _compiler("step")) or card.random_rewards or card.random_endings:
            return None
        self.dream.step_kept = module.compiled_step(self.dream.world_model, self.dream.step_kept)
        return self.dream.step_kept

    @torch.no_grad()
    def _step_by_layers(
        self, now: Present, latent_actions: Tensor | None, actions: Tensor | None, horizon: int
    ) -> tuple[Transition, Tensor, Belief | None]:
        """`step` in plain PyTorch, on any device: the reference."""
        if latent_actions is None:
            latent_actions = self._translate(now, actions)
        drawn = _drawn(now, self.dream.card)
        result = advance(self.dream, now.state, latent_actions, actions, now.steps, horizon, *drawn)
        belief = None if now.belief is None else self._follow(now.belief, now, result, actions)
        return result, now.steps + 1, belief

    def _translate(self, now: Present, actions: Tensor) -> Tensor:
        model, outcomes = self.dream.world_model, None
        if model.has_chance and now.keys is not None:
            rows, cols = now.state.shape[2:]
            uniform = noise.uniform(now.keys, now.steps, rows * cols).view(-1, rows, cols)
            outcomes = model.draw_outcomes(now.state, actions, uniform)
        return model.translate(now.state, actions, outcomes)

    def _follow(self, belief: Belief, now: Present, result: Transition, actions: Tensor | None) -> Belief:
        """Follows the doubt of a step from the present states."""
        doubt = self._compiled_doubt() or self.dream.world_model.doubt
        return doubt.step(belief, now.state, actions, result.state, result.undecided).copy()

    def _compiled_doubt(self) -> CompiledDoubt | None:
        """Compiled doubt; None where PyTorch follows it instead."""
        if module := _compiler("doubt"):
            self.doubting = module.compiled_doubt(self.dream.world_model.doubt, self.doubting)
        return self.doubting


def advance(
    dream: Dream,
    state: Tensor,
    latent_actions: Tensor,
    actions: Tensor | None,
    steps: Tensor,
    horizon: int,
    rewarded: Tensor | None = None,
    ended: Tensor | None = None,
) -> Transition:
    """One step as a function of tensors, in plain PyTorch: `DreamSimulator` and what is exported step by it.

    Args:
        dream: whose model and card.
        state: (N, K + M, rows, cols) float32, before the step.
        latent_actions: (N, U, rows, cols) float32.
        actions: as in `WorldModel.translate`; None if they are not known.
        steps: (N,) int64, steps since the episode began, without this one.
        horizon: steps after which an episode is truncated, 0 for never.
        rewarded, ended: (N,) float32 in [0, 1), which draw reward and ending; None for what is likeliest.
    """
    model, card = dream.world_model, dream.card
    shown = model.settle(state, model.step(state, latent_actions), card.dead_band)
    reward, termination, undecided = model.outcome(state, latent_actions, shown, actions, rewarded)
    following, lost = bounded(model.recall(state, shown, actions))
    steps = steps + 1
    if card.reward_discount:
        reward = torch.where(reward > 0, reward * (1.0 - card.reward_discount * steps / card.horizon), reward)
    truncated = lost | (steps >= horizon) if horizon else lost
    terminated = termination > (0.5 if ended is None else ended)
    return Transition(following, latent_actions, reward.nan_to_num(0.0), terminated, truncated, lost, undecided)


def bounded(state: Tensor) -> tuple[Tensor, Tensor]:
    """States (N, K + M, rows, cols) clamped to ±`STATE_LIMIT`, NaN to 0; (N,) bool, which of them are lost."""
    lost = ~(state.abs() < STATE_LIMIT).flatten(1).all(1)  # written so that NaN counts as lost
    return state.nan_to_num(0.0).clamp(-STATE_LIMIT, STATE_LIMIT), lost


def _drawn(now: Present, card: Card) -> tuple[Tensor | None, Tensor | None]:
    """(N,) in [0, 1) each, which draw reward and ending; None for what is not random."""
    if now.keys is None or not (card.random_rewards or card.random_endings):
        return None, None
    rewarded, ended = noise.uniform(~now.keys, now.steps, 2).unbind(1)
    return rewarded if card.random_rewards else None, ended if card.random_endings else None


def _takes(compiled: CompiledStep, now: Present, latent_actions: Tensor | None, actions: Tensor | None) -> bool:
    """Whether the compiled step takes what is given, or leaves it to PyTorch."""
    given, like = latent_actions, now.latent_action
    if given is None:
        if not compiled.actions:
            return False
        given, like = actions, now.steps
    return (given.shape, given.dtype, given.device) == (like.shape, like.dtype, like.device)


@cache
def _compiler(part: str) -> ModuleType | None:
    """`compiled_step` or `compiled_doubt`, None without its kernel; imported late, since Numba takes a while."""
    if kernels.find(part, "cpu") is None:
        return None
    return import_module(f"nova_gym.model.compiled_{part}")
