"""The one simulator: N dreams stepped as one batch, torch in and torch out.

The scalar environment, the vector environment and every other adapter are thin layers over it; step logic exists
here alone. Python code here never reads the values of a tensor, so it never waits for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor

from nova_gym import kernels, noise
from nova_gym.dream import Card, Dream
from nova_gym.errors import BadInputError
from nova_gym.model.control import Memory
from nova_gym.model.doubt import Belief
from nova_gym.model.inr import Resolution

if TYPE_CHECKING:
    from nova_gym.model.compiled_doubt import CompiledDoubt
    from nova_gym.model.compiled_step import CompiledStep, Memo

#: Largest absolute value in a state. States have mean square 1; a state beyond the limit is lost, and is clamped to it.
STATE_LIMIT = 1000.0
#: Said where doubt is asked for and the dream has none.
NO_DOUBT = "this dream cannot doubt: `nova-gym train --stage doubt` teaches it to, from its recording"


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


class DreamSimulator:
    """Steps N dreams as one batch. It has no autoreset: after the end of an episode, a step simply continues the dream.

    Weights may change under it, by training or `load_state_dict`: the next step takes them as they are. Two changes
    are seen only by the next simulator that is made: a layer or a parameter put in the place of another, and what an
    optimiser with `fused=True` has written.

    Args:
        dream: the dream to step; the simulator works on its device.
        num_dreams: N.
        horizon: steps after which an episode is truncated; None for the real environment's, 0 for never.
        cells: (rows, cols) of the states; None for those of the real environment's frames.
        deterministic: whether what is left to chance is replaced by what is likeliest.
        doubt: whether to follow how far each step is to be trusted (`doubt`, `doubt_map`), which takes time.

    Attributes:
        state: (N, K + M, rows, cols) float32, present states: K numbers of a cell that the frame shows, M of memory.
        keys: (N,) int64, of each dream's chance: the same key, start and actions lead to the same episode.
        latent_action: (N, U, rows, cols) float32, last latent actions, zero after a reset.
        steps: (N,) int64, steps since the last reset.
        lost: (N,) bool, whether the last step lost the dream; False after a reset.

    Raises:
        BadInputError: `num_dreams` or a number of cells is below 1, `horizon` below 0, or the dream cannot doubt.
    """

    def __init__(
        self,
        dream: Dream,
        num_dreams: int = 1,
        horizon: int | None = None,
        cells: tuple[int, int] | None = None,
        deterministic: bool = False,
        doubt: bool = False,
    ) -> None:
        if doubt and not dream.world_model.has_doubt:
            raise BadInputError(NO_DOUBT)
        cells = dream.cells if cells is None else tuple(cells)
        if len(cells) != 2 or min(cells) < 1:
            raise BadInputError(f"cells are (rows, cols) of at least 1 each, not {cells}")
        if num_dreams < 1:
            raise BadInputError(f"there must be at least 1 dream, not {num_dreams}")
        if horizon is not None and horizon < 0:
            raise BadInputError(f"the horizon must be 0 (never) or more, not {horizon}")
        self.dream = dream
        self.num_dreams, self.deterministic = num_dreams, deterministic
        self.horizon = dream.card.horizon if horizon is None else horizon
        model = dream.world_model
        if dream.step_kept is not None and not dream.step_kept.made_of(model):
            dream.step_kept = None
        self.cells = cells
        self.state = _field(num_dreams, model.config.rank + model.config.memory, cells, model.device)
        self.latent_action = _field(num_dreams, model.config.latent_action, cells, model.device)
        self.steps = torch.zeros(num_dreams, dtype=torch.int64, device=model.device)
        self.lost = torch.zeros(num_dreams, dtype=torch.bool, device=model.device)
        self.keys = torch.zeros(num_dreams, dtype=torch.int64, device=model.device)
        self._keys = Generator().manual_seed(0)  # of keys that no generator was given for
        self._memo: Memo | None = None  # what the compiled step computed of the present states
        self._doubting: CompiledDoubt | None = None
        self._belief = model.doubt.begin(self.state).copy() if doubt else None  # compiled steps write into it

    @property
    def device(self) -> torch.device:
        """The device that the states are on."""
        return self.state.device

    @property
    def follows_doubt(self) -> bool:
        """Whether it follows how far each step is to be trusted."""
        return self._belief is not None

    @property
    def belief(self) -> Belief | None:
        """What `doubt` and `doubt_map` are read from, a copy, and may be set; None where doubt is not followed."""
        return None if self._belief is None else self._belief.copy()

    @belief.setter
    def belief(self, belief: Belief | None) -> None:
        self._belief = None if belief is None else belief.copy()

    @property
    def doubt(self) -> Tensor:
        """(N,) float32 in [0, 1], the probability that the present frames, their rewards or endings are wrong.

        It never falls below that of the start, and what was doubted most in an episode counts in all frames that
        follow. What happens by chance is right if it can happen.

        Raises:
            BadInputError: the simulator does not follow doubt.
        """
        return self._followed().doubt.clone()

    @property
    def doubt_map(self) -> Tensor:
        """(N, rows, cols) float32 in [0, 1], the probability that a cell is wrong.

        Raises:
            BadInputError: the simulator does not follow doubt.
        """
        return self._followed().doubt_map.clone()

    def _followed(self) -> Belief:
        if self._belief is None:
            raise BadInputError("this simulator does not follow doubt: make it with doubt=True")
        return self._belief

    @torch.no_grad()
    def reset(
        self,
        mask: Tensor | None = None,
        states: Tensor | None = None,
        starts: str | None = None,
        generator: Generator | None = None,
        errors: Tensor | None = None,
    ) -> Tensor:
        """Starts episodes.

        Args:
            mask: (N,) bool, which dreams; None for all.
            states: (N, K + M, rows, cols) float32 to start from, or (N, K, rows, cols) where the past is not known;
                rows outside the mask unused. None draws from the dream's starts.
            starts: which of the dream's starts to draw from, None for its `default_starts`.
            generator: for that draw and for the keys of chance, on the CPU; required unless `states` is given.
            errors: (N, rows, cols) float32, mean squared errors that the frames behind `states` are drawn with
                (`nova_gym.envs.frames.drawing_errors`), for doubt; NaN or None where none are known.

        Returns:
            (N, K + M, rows, cols) float32, all present states.

        Raises:
            BadInputError: the dream has no such starts or they are of another size, `states` has another shape, or
                both `states` and `generator` are missing.
        """
        if states is None:
            bank = self.dream.starts.get(starts or self.dream.default_starts)
            if bank is None:
                known = ", ".join(self.dream.starts) or "none: give `states` to start from"
                raise BadInputError(f"unknown starts {starts or self.dream.default_starts!r}; this dream has {known}")
            if generator is None:
                raise BadInputError("reset() needs `states` to start from, or a `generator` to draw them with")
            if bank.shape[1:] != self.state.shape[1:]:
                raise BadInputError(
                    f"the dream's starts have {bank.shape[2]} × {bank.shape[3]} cells, these dreams "
                    f"{self.cells[0]} × {self.cells[1]}: give `states` to start from"
                )
            drawn = torch.randint(len(bank), (self.num_dreams,), generator=generator)
            states = bank[drawn.to(bank.device)]
        states = self._with_memory(states)
        if states.shape != self.state.shape:
            raise BadInputError(f"states are {tuple(states.shape)}; expected {tuple(self.state.shape)}")
        if mask is None:
            mask = torch.ones(self.num_dreams, dtype=torch.bool, device=self.device)
        of_cells = mask[:, None, None, None]  # which rows these are is not asked for: a GPU would have to be waited for
        self.state = torch.where(of_cells, states, self.state).contiguous(memory_format=torch.channels_last)
        self.latent_action = torch.where(of_cells, 0.0, self.latent_action)
        self.steps, self.lost = torch.where(mask, 0, self.steps), self.lost & ~mask
        self.keys = torch.where(mask, self._new_keys(self.num_dreams, generator), self.keys)
        if self._belief is not None:
            begun = self.dream.world_model.doubt.begin(self.state, errors)
            pairs = zip(begun, self._belief, strict=True)
            self.belief = Belief(*(torch.where(mask.view(-1, *[1] * (new.ndim - 1)), new, old) for new, old in pairs))
        return self.state

    def _with_memory(self, states: Tensor) -> Tensor:
        """States as the model has them: those of frames alone get a memory in which nothing is known."""
        config = self.dream.world_model.config
        bare = config.memory and states.ndim == 4 and states.shape[1] == config.rank
        return self.dream.world_model.begin(states) if bare else states

    def _new_keys(self, count: int, generator: Generator | None) -> Tensor:
        """(count,) int64 keys of chance; where nothing is random none are drawn."""
        if not self.dream.is_random:
            return torch.zeros(count, dtype=torch.int64, device=self.device)
        return torch.randint(2**62, (count,), generator=generator or self._keys).to(self.device)

    @torch.no_grad()
    def restart(self, rows: Tensor, states: Tensor, keys: Tensor | None = None, errors: Tensor | None = None) -> None:
        """Starts episodes of some dreams, which is quicker than a `reset` of all; the others go on.

        Args:
            rows: (n,) int64, which dreams.
            states: (n, K + M, rows, cols) float32 to start from, or as in `reset`.
            keys: (n,) int64, of their chance; None for new ones.
            errors: (n, rows, cols), as in `reset`.
        """
        keys = self._new_keys(len(rows), None) if keys is None else keys
        self.keys = self.keys.index_copy(0, rows, keys)
        self.state, self.latent_action = self.state.clone(), self.latent_action.clone()
        self.steps, self.lost = self.steps.clone(), self.lost.clone()
        self.state[rows] = self._with_memory(states)
        self.latent_action[rows], self.steps[rows], self.lost[rows] = 0.0, 0, False
        if self._belief is not None:
            begun = self.dream.world_model.doubt.begin(self.state[rows], errors)
            for old, new in zip(self._belief, begun, strict=True):
                old[rows] = new

    def step(self, actions: Tensor) -> Transition:
        """Steps by the environment's own actions, through the action bridge.

        Args:
            actions: (N,) int64 for discrete actions, else (N, length) float32.

        Raises:
            BadInputError: the dream has no action bridge, since it was made from video without actions.
        """
        model = self.dream.world_model
        if not model.has_actions:
            raise BadInputError("this dream was made from video without actions: use step_latent() or step_code()")
        if (compiled := self._compiled()) and compiled.actions and _alike(actions, self.steps):
            return self._step_compiled(compiled, None, actions)
        with torch.no_grad():
            rows, cols = self.cells
            outcomes = None
            if model.has_chance and not self.deterministic:
                uniform = noise.uniform(self.keys, self.steps, rows * cols).view(-1, rows, cols)
                outcomes = model.draw_outcomes(self.state, actions, uniform)
            return self._step_by_layers(model.translate(self.state, actions, outcomes), actions)

    @torch.no_grad()
    def step_code(self, codes: Tensor) -> Transition:
        """Steps by learned discrete actions: (N, rows, cols) int64 indices into the codebook, one a cell.

        Raises:
            BadInputError: the dream has no codebook.
        """
        return self.step_latent(self.dream.world_model.decode(codes))

    @torch.no_grad()
    def remember(self, pairs: Iterable[tuple[Tensor, Tensor]], memory: Memory | None = None) -> Memory:
        """Adds steps to the control model's memory, for `autopilot`.

        Args:
            pairs: for each step, the states before it and its latent actions, as in `Transition`.
            memory: the memory to add to; None for an empty one.

        Returns:
            The memory after these steps.

        Raises:
            BadInputError: the dream has no control model.
        """
        model = self.dream.world_model
        memory = model.fresh_memory(self.num_dreams, self.cells) if memory is None else memory
        for pair in pairs:
            memory = model.remember(memory, *pair)
        return memory

    def autopilot(self, steps: int, memory: Memory | None = None) -> Iterator[Transition]:
        """Lets the generative control model choose the latent actions.

        The result is an iterator; each item that is taken from it makes one step.

        Args:
            steps: how many.
            memory: what happened so far, from `remember`; None for an empty one. The model's choices depend on it.

        Raises:
            BadInputError: the dream has no control model, or `steps` is below 1.
        """
        memory = self.remember((), memory)
        if steps < 1:
            raise BadInputError(f"there must be at least 1 step, not {steps}")
        return self._autopilot(steps, memory)

    def _autopilot(self, steps: int, memory: Memory) -> Iterator[Transition]:
        for _ in range(steps):
            with torch.no_grad():
                before, (_, latent_action) = self.state, self.dream.world_model.choose(memory, self.state)
                transition = self.step_latent(latent_action)
                memory = self.remember([(before, latent_action)], memory)
            yield transition

    @torch.no_grad()
    def generate(
        self,
        context_frames: Tensor,
        context_ratio: float,
        horizon: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[Tensor, Tensor]:
        """Continues real clips in the dream: context-conditioned generation (arXiv 2605.06298).

        For the first `context_ratio` of the horizon, latent actions come from the inverse dynamics on the real frames.
        Afterwards they come from the control model.

        Args:
            context_frames: (N, n, C, H, W) float32 in [0, 1], one clip for each dream, n > context_ratio · horizon, of
                as many cells as the dreams.
            context_ratio: ρ in [0, 1).
            horizon: T, steps in all.
            progress: called with the number of steps made and their total.

        Returns:
            (N, T + 1, K, rows, cols) float32 states, those of the context encoded; (N, T, U, rows, cols) float32 latent
            actions.

        Raises:
            BadInputError: too few frames, a ratio or horizon out of range, or no control model.
        """
        if horizon < 1 or not 0.0 <= context_ratio < 1.0:
            raise BadInputError(
                f"the horizon must be at least 1 and the context ratio in [0, 1), not {horizon} and {context_ratio}"
            )
        count = round(context_ratio * horizon)
        model = self.dream.world_model
        expected = (self.num_dreams, model.config.inr.channels, *model.size_of(self.state))
        shape = tuple(context_frames.shape)
        if len(shape) != 5 or (shape[0], *shape[2:]) != expected or shape[1] <= count:
            raise BadInputError(
                f"context frames are {shape}; expected are (N, n, C, H, W) with (N, C, H, W) = {expected} and n of at "
                f"least {count + 1}, because {count} of {horizon} steps are context"
            )
        frames = context_frames[:, : count + 1].to(self.device)
        context = model.encode(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(0, 1)
        inferred = [model.infer(*pair) for pair in pairwise(context)]
        self.reset(states=context[-1])
        states, latent_actions = list(context), list(inferred)
        if horizon > count:
            memory = self.remember(zip(context, inferred, strict=False))
            for transition in self.autopilot(horizon - count, memory):
                states.append(model.seen(transition.state))
                latent_actions.append(transition.latent_action)
                progress(len(latent_actions), horizon)
        return torch.stack(states, dim=1), torch.stack(latent_actions, dim=1)

    def step_latent(self, latent_actions: Tensor) -> Transition:
        """Steps by latent actions (N, U, rows, cols) float32: `z' = A(z) + B(u)`.

        A cell whose mean squared change is within the card's dead band stays exactly as it was (`WorldModel.settle`).
        """
        if (compiled := self._compiled()) and _alike(latent_actions, self.latent_action):
            return self._step_compiled(compiled, latent_actions, None)
        return self._step_by_layers(latent_actions)

    def _compiled_doubt(self) -> CompiledDoubt | None:
        """Compiled doubt, if doubt is followed; None where PyTorch follows it instead."""
        if self._belief is not None and (module := _compiler("doubt")):
            self._doubting = module.compiled_doubt(self.dream.world_model.doubt, self._doubting)
        return None if self._belief is None else self._doubting

    @torch.no_grad()
    def _step_by_layers(self, latent_actions: Tensor, actions: Tensor | None = None) -> Transition:
        """`step_latent` in plain PyTorch, on any device: the reference."""
        drawn = self._drawn(self.dream.card)
        result = advance(self.dream, self.state, latent_actions, actions, self.steps, self.horizon, *drawn)
        if self._belief is not None:
            self._follow(result, actions)
        self.state, self.latent_action, self.lost = result.state, latent_actions, result.lost
        self.steps = self.steps + 1
        return result

    def _follow(self, result: Transition, actions: Tensor | None) -> None:
        """Follows the doubt of a step from the present states."""
        doubt = self._compiled_doubt() or self.dream.world_model.doubt
        self.belief = doubt.step(self._belief, self.state, actions, result.state, result.undecided)

    def _drawn(self, card: Card) -> tuple[Tensor | None, Tensor | None]:
        """(N,) in [0, 1) each, which draw reward and ending; None for what is not random."""
        if self.deterministic or not (card.random_rewards or card.random_endings):
            return None, None
        rewarded, ended = noise.uniform(~self.keys, self.steps, 2).unbind(1)
        return rewarded if card.random_rewards else None, ended if card.random_endings else None

    def _step_compiled(
        self, compiled: CompiledStep, latent_actions: Tensor | None, actions: Tensor | None
    ) -> Transition:
        """The same step in one compiled call, by latent actions or by actions."""
        card = self.dream.card
        self._memo = compiled.memo(self._memo, self.state, card.dead_band)
        numbers = tuple(map(float, (STATE_LIMIT, card.reward_discount, card.horizon, self.horizon)))
        doubting = self._compiled_doubt()
        follower = doubting and doubting.follower(self._memo, self._belief, actions)
        given = self.state, latent_actions, actions, self.steps
        *given, steps = compiled.advance(self._memo, *given, numbers, follower)
        result = Transition(*given)
        if self._belief is not None and doubting is None:
            self._follow(result, actions)
        self.state, self.latent_action, self.steps, self.lost = result.state, result.latent_action, steps, result.lost
        return result

    def _compiled(self) -> CompiledStep | None:
        """The compiled step; None where PyTorch steps instead: on devices other than the CPU, or without Numba."""
        card = self.dream.card
        if not (module := _compiler("step")) or card.random_rewards or card.random_endings:
            return None
        self.dream.step_kept = module.compiled_step(self.dream.world_model, self.dream.step_kept)
        return self.dream.step_kept

    @torch.no_grad()
    def render(self, resolution: Resolution | None = None, nyquist: bool = False) -> Tensor:
        """Renders the present states of all dreams.

        Args:
            resolution: pixels a side, or (H, W); None for the size of real frames of as many cells.
            nyquist: as in `WorldModel.render`.

        Returns:
            (N, C, H, W) float32 in [0, 1].

        Raises:
            ValueError: the resolution is out of range.
        """
        return self.dream.world_model.render(self.state, resolution, nyquist)


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


def _field(batch: int, channels: int, cells: tuple[int, int], device: torch.device) -> Tensor:
    """Zeros (batch, channels, rows, cols) float32, with a cell's numbers side by side in memory."""
    zeros = torch.zeros(batch, channels, *cells, device=device)
    return zeros.contiguous(memory_format=torch.channels_last)


def _alike(given: Tensor, expected: Tensor) -> bool:
    return (given.shape, given.dtype, given.device) == (expected.shape, expected.dtype, expected.device)


@cache
def _compiler(part: str) -> ModuleType | None:
    """`compiled_step` or `compiled_doubt`, None without its kernel; imported late, since Numba takes a while."""
    if kernels.find(part, "cpu") is None:
        return None
    return import_module(f"nova_gym.model.compiled_{part}")
