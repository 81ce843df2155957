"""The one simulator: N dreams stepped as one batch, torch in and torch out.

The scalar environment, the vector environment and every other adapter are thin layers over it. It holds the episodes;
what a step is stands in `nova_gym.stepping`. Python code here never reads the values of a tensor, so it never waits for
a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Generator, Tensor

from nova_gym import generation
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.model.control import Memory
from nova_gym.model.doubt import Belief
from nova_gym.model.inr import Resolution
from nova_gym.stepping import Present, Stepper, Transition

#: Said where doubt is asked for and the dream has none.
NO_DOUBT = "this dream cannot doubt: `nova-gym train --stage doubt` teaches it to, from its recording"


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
        self.cells, model = cells, dream.world_model
        self.state = _field(num_dreams, model.config.rank + model.config.memory, cells, model.device)
        self.latent_action = _field(num_dreams, model.config.latent_action, cells, model.device)
        self.steps = torch.zeros(num_dreams, dtype=torch.int64, device=model.device)
        self.lost = torch.zeros(num_dreams, dtype=torch.bool, device=model.device)
        self.keys = torch.zeros(num_dreams, dtype=torch.int64, device=model.device)
        self._keys = Generator().manual_seed(0)  # of keys that no generator was given for
        self._stepper = Stepper(dream)
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
        if not self.dream.world_model.has_actions:
            raise BadInputError("this dream was made from video without actions: use step_latent() or step_code()")
        return self._advance(None, actions)

    def step_latent(self, latent_actions: Tensor) -> Transition:
        """Steps by latent actions (N, U, rows, cols) float32: `z' = A(z) + B(u)`.

        A cell whose mean squared change is within the card's dead band stays exactly as it was (`WorldModel.settle`).
        """
        return self._advance(latent_actions, None)

    @torch.no_grad()
    def step_code(self, codes: Tensor) -> Transition:
        """Steps by learned discrete actions: (N, rows, cols) int64 indices into the codebook, one a cell.

        Raises:
            BadInputError: the dream has no codebook.
        """
        return self.step_latent(self.dream.world_model.decode(codes))

    def _advance(self, latent_actions: Tensor | None, actions: Tensor | None) -> Transition:
        """One step, by latent actions or by actions."""
        keys = None if self.deterministic else self.keys
        now = Present(self.state, self.latent_action, self.steps, keys, self._belief)
        result, self.steps, self._belief = self._stepper.step(now, latent_actions, actions, self.horizon)
        self.state, self.latent_action, self.lost = result.state, result.latent_action, result.lost
        return result

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
        return generation.autopilot(self, steps, memory)

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
        return generation.generate(self, context_frames, context_ratio, horizon, progress)

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


def _field(batch: int, channels: int, cells: tuple[int, int], device: torch.device) -> Tensor:
    """Zeros (batch, channels, rows, cols) float32, with a cell's numbers side by side in memory."""
    zeros = torch.zeros(batch, channels, *cells, device=device)
    return zeros.contiguous(memory_format=torch.channels_last)
