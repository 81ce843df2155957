"""The whole NOVA model, read in the order of the method: encode, infer, translate, step, outcome, render.

The state of the paper is the weight offset `z_t` of one coordinate network, which draws the whole frame. Here it is a
field: a frame is laid out in cells, and each cell has a tiny network of its own. The weights of a cell are
`θ = base + z @ basis`, with one base and one basis for all cells, so that a state is K numbers a cell. The equation is
the paper's, `z' = A(z) + B(u)`, the same in every cell. Where a rule needs more than one cell (a wall in front, a ball
that meets another), the bridge and the inverse dynamics see a neighbourhood. A field of one cell is the paper's model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nova_gym.errors import BadInputError
from nova_gym.model import inr, looks, placing
from nova_gym.model.control import Memory
from nova_gym.model.heads import NO_ODDS
from nova_gym.model.inr import Renderer
from nova_gym.model.parts import Parts


class WorldModel(Parts):
    """The world model of arXiv 2605.06298 with the grounding that reinforcement learning needs.

    Callers need its methods alone, whose names are verbs. A frame is *encoded* as a state. What happened between two
    states is *inferred* as a latent action. An environment's own action is *translated* into a latent action (by the
    action bridge). A *step* is `z' = A(z) + B(u)`. Its *outcome* is a reward and whether the episode ends. A state is
    *rendered*. Below these methods stand those of the codebook and of the control model.

    The parts behind them are nouns (`encoder`, `bridge`, `heads` …), and their names are those of the tensors in a
    dream's file. `part` hands one out to the stage that trains it. Whether the model has a part is a property:
    `has_actions` (bridge and heads; a model of video without labels has neither), `has_memory`, `has_chance`,
    `has_codebook`, `has_control`, `has_detail`.

    Shapes: B batch, C channels, H×W pixels, rows × cols cells, K = `config.rank`, U = `config.latent_action`,
    N = `config.actions`, D weights of a cell's coordinate network. All numbers are float32 unless it says otherwise.
    M = `config.memory`. States are (B, K + M, rows, cols), latent actions (B, U, rows, cols). The first K numbers of a
    cell are what the frame shows; the others are the memory, where the model has one. Methods take states without
    memory too, for frames whose past is not known. Frames of any size that divides into cells are encoded, and states
    of any number of cells are stepped and rendered.

    Args:
        config: sizes.
        generator: for the initial weights, None for one with seed 0; PyTorch's global one is left as it is.
    """

    # From a frame to the next.

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, C, H, W) in [0, 1] → states (B, K, rows, cols).

        Raises:
            BadInputError: the frames do not divide into cells.
        """
        return self.encoder(frames)

    def begin(self, state: Tensor, official: bool = False) -> Tensor:
        """What frames show, with a memory that is still empty.

        Args:
            state: (B, K, rows, cols).
            official: whether an episode begins here. If not, the past is not known.

        Returns:
            (B, K + M, rows, cols); the argument itself where the model has no memory.
        """
        if self.memory is None:
            return state
        size = state.shape[0], self.config.memory, *state.shape[2:]
        first = self.memory.first if official else torch.zeros_like(self.memory.first)
        return torch.cat([state, first[:, None, None].expand(size)], dim=1)

    def seen(self, state: Tensor) -> Tensor:
        """The part of states (B, K + M, rows, cols) that the frame shows, (B, K, rows, cols)."""
        return state[:, : self.config.rank]

    def recall(
        self, state: Tensor, following: Tensor, actions: Tensor | None = None, known: Tensor | None = None
    ) -> Tensor:
        """The states after a step: what the next frames show, and the memory after hearing it.

        Args:
            state: (B, K + M, rows, cols), before the step.
            following: (B, K, rows, cols), what the next frames show.
            actions: as in `translate`; None if they are not known.
            known: (B,) bool, which of the actions are known; None for all.

        Returns:
            (B, K + M, rows, cols); `following` itself where the model has no memory.
        """
        if self.memory is None:
            return following
        state = self._complete(state)
        heard = self.as_numbers(actions, state.shape[0])
        if known is not None:
            heard = heard * known[:, None]
        memory = self.memory(state[:, self.config.rank :], self.seen(state), following, heard)
        return torch.cat([following, memory], dim=1)

    def as_numbers(self, actions: Tensor | None, batch: int) -> Tensor:
        """Actions as (B, A) float32: one-hot where they are discrete, zeros where they are not known."""
        count = self.config.actions
        if actions is None:
            return torch.zeros(batch, count, device=self.device)
        if not self.config.discrete:
            return actions
        return (actions[:, None] == torch.arange(count, device=actions.device)).to(torch.float32)

    def _complete(self, state: Tensor) -> Tensor:
        return self.begin(state) if state.shape[1] == self.config.rank else state

    def infer(self, state: Tensor, next_state: Tensor) -> Tensor:
        """States and the states after them → latent actions (B, U, rows, cols), by inverse dynamics."""
        return self.inverse_dynamics(self.seen(state), self.seen(next_state))

    def translate(self, state: Tensor, actions: Tensor, outcomes: Tensor | None = None) -> Tensor:
        """The environment's own actions as latent actions, by the action bridge: `u = bridge(h, z, a)`.

        Args:
            state: (B, K + M, rows, cols), or (B, K, rows, cols) where the past is not known.
            actions: (B,) int64 where the environment's actions are discrete, else (B, N).
            outcomes: (B, n, rows, cols) one-hot, what happens by chance; None for what is likeliest. Read only if the
                model has chance.

        Returns:
            (B, U, rows, cols).

        Raises:
            BadInputError: the model has no action bridge.
        """
        if self.bridge is None:
            raise BadInputError("this dream was made from video without actions: only latent actions or codes step it")
        state = self._complete(state)
        if self.chance is None:
            return self.bridge(state, actions)
        if outcomes is None:
            outcomes = self.draw_outcomes(state, actions, None)
        return self.bridge(torch.cat([state, outcomes], dim=1), actions)

    def draw_outcomes(self, state: Tensor, actions: Tensor, uniform: Tensor | None) -> Tensor | None:
        """What happens by chance, for `translate`; None if the model leaves nothing to chance.

        Args:
            state, actions: as in `translate`.
            uniform: (B, rows, cols) float32 in [0, 1), which decides; None for what is likeliest.

        Returns:
            (B, n, rows, cols) float32, one-hot.
        """
        if self.chance is None:
            return None
        return self.chance.draw(self._complete(state), self.as_numbers(actions, state.shape[0]), uniform)

    def content(self, state: Tensor) -> Tensor:
        """A: states → the content part of the next states, (B, K, rows, cols)."""
        return self.forward_dynamics.content(self.seen(state))

    def motion(self, latent_action: Tensor) -> Tensor:
        """B: latent actions → the motion part of the next states, (B, K, rows, cols); 0 where they are 0."""
        return self.forward_dynamics.motion(latent_action)

    def step(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """States and latent actions → what the next frames show, (B, K, rows, cols): `z' = A(z) + B(u)`."""
        return self.forward_dynamics(self.seen(state), latent_action)

    def settle(self, state: Tensor, following: Tensor, dead_band: float) -> Tensor:
        """The next states, in which every cell that hardly changed is exactly as it was.

        Without that, small errors add up: an agent could wait, or push against a wall, until the wall has faded
        (`docs/how-it-works.md`, Forward dynamics). Where cells have few looks, those that changed get the nearest of
        them, since half a key would be a thing that no rule speaks of.

        Args:
            state, following: (B, K, rows, cols), before and after a step.
            dead_band: mean squared change of a cell up to which it counts as unchanged.
        """
        return looks.settle(self.seen(state), following, dead_band, self.looks)

    def nearest_look(self, state: Tensor) -> Tensor:
        """(B, K, rows, cols) states, each cell with the nearest of the looks that are known; as they are without.

        A cell that is further from all of them than two of them can be from each other is lost, and stays as it is.
        """
        return looks.nearest_look(state, self.looks)

    def outcome(
        self,
        state: Tensor,
        latent_action: Tensor,
        next_state: Tensor,
        actions: Tensor | None = None,
        uniform: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a step pays, whether it ends the episode, and how undecided that is; without heads 0, 0 and `NO_ODDS`.

        Args:
            state: (B, K + M, rows, cols), or (B, K, rows, cols) where the past is not known.
            latent_action: (B, U, rows, cols).
            next_state: (B, K, rows, cols) or with memory, equal to the bit in cells that did not change (see `settle`).
            actions: as in `translate`; None if they are not known.
            uniform: (B,) in [0, 1), which draws the reward where that is random; None for the likeliest.

        Returns:
            (B,) undiscounted reward; (B,) probability that the episode ends here; (B,) logarithm of the odds that the
            likeliest reward or ending is wrong, by the heads themselves (`Heads.undecided`).
        """
        if self.heads is None:
            nothing = next_state.new_zeros(next_state.shape[0])
            return nothing, nothing, nothing + NO_ODDS
        more = self.besides(state, actions)
        return self.heads.outcome(self.seen(state), latent_action, self.seen(next_state), more, uniform)

    def besides(self, state: Tensor, actions: Tensor | None) -> Tensor | None:
        """What heads that look everywhere read beside the frames: memory and action, (B, M + A, rows, cols)."""
        if not self.config.everywhere:
            return None
        memory = self._complete(state)[:, self.config.rank :]
        planes = self.as_numbers(actions, state.shape[0])[:, :, None, None].expand(-1, -1, *state.shape[2:])
        return torch.cat([memory, planes], dim=1)

    # From a state to pixels.

    def weights(self, state: Tensor) -> Tensor:
        """States (B, K, rows, cols) → weights (B · rows · cols, D) of the usual coordinate networks, cell by cell."""
        return torch.addmm(self.base, self.seen(state).permute(0, 2, 3, 1).flatten(0, 2), self.basis)

    def render(
        self, state: Tensor, resolution: inr.Resolution | None = None, nyquist: bool = False, as_bytes: bool = False
    ) -> Tensor:
        """States (B, K, rows, cols) → frames (B, C, H, W) in [0, 1], or (B, H, W, C) uint8.

        Args:
            state: (B, K, rows, cols).
            resolution: pixels a side, or (H, W); None for the size of real frames. If the model has `detail`, that
                draws all frames that are large enough to show it (`Detail.suits`).
            nyquist: switch off the Fourier features that the training frames could not sample, and `detail` with them.
            as_bytes: whether to return uint8.

        Raises:
            ValueError: the resolution is out of range.
        """
        height, width = self.size_of(state) if resolution is None else inr.parse_resolution(resolution)
        renderer = self.renderer(height, width, state.shape[2:], nyquist)
        return inr.render(renderer, self.seen(state), height, width, as_bytes)

    def size_of(self, state: Tensor) -> tuple[int, int]:
        """(H, W) in pixels of the real frames of states (B, K, rows, cols)."""
        rows, cols = state.shape[2:]
        return rows * self.config.cell[0], cols * self.config.cell[1]

    def renderer(
        self, height: int, width: int, cells: tuple[int, int] | None = None, nyquist: bool = False
    ) -> Renderer:
        """The renderer that draws frames of this size in pixels.

        Args:
            height, width: of the frames.
            cells: (rows, cols) of the states; None for those of the training frames.
            nyquist: as in `render`.
        """
        rows, cols = cells or self.config.cells
        cell, blend = self.config.cell, self.config.blend
        if self.detail is not None and not nyquist and self.detail.suits(height / rows, width / cols):
            detail = self.detail
            mask = detail.mask(height / rows, width / cols)
            return Renderer(detail.base, detail.basis, detail.config, mask, cell, blend)
        mask = inr.nyquist_mask(self.config.inr.frequencies, *cell) if nyquist else None
        return Renderer(self.base, self.basis, self.config.inr, mask, cell, blend)

    def draw(self, state: Tensor, points: Tensor | None = None) -> Tensor:
        """States (B, K, rows, cols) → pixels (B · rows · cols, C, P), not clipped, with gradients; for training.

        Args:
            state: (B, K, rows, cols).
            points: (P, 2) coordinates in [-1, 1] of a cell; None for its own pixels, row by row.
        """
        if points is None:
            points = inr.coordinate_grid(*self.config.cell, state.device)
        return inr.render_at(self.weights(state), points, self.config.inr)

    # A latent action as a handful of numbers.

    @property
    def places(self) -> int:
        """How many numbers of `place` say where: 2, or none where the whole frame is one cell."""
        return 0 if self.config.cell == self.config.frame_size else 2

    def place(self, numbers: Tensor, cells: tuple[int, int]) -> Tensor:
        """Latent actions that move one cell, from a handful of numbers: where, and what.

        Args:
            numbers: (B, 2 + U) in [-1, 1]: y, x (-1 the first row or column, 1 the last), then the latent action of
                that cell; (B, U) where the whole frame is one cell.
            cells: (rows, cols) of the states.

        Returns:
            (B, U, rows, cols), 0 in all other cells.
        """
        return placing.place(numbers, self.places, cells)

    def summarise(self, latent_action: Tensor) -> Tensor:
        """The handful of numbers that `place` takes, of the cell that moves most.

        Args:
            latent_action: (B, U, rows, cols).

        Returns:
            (B, 2 + U), or (B, U) where the whole frame is one cell.
        """
        return placing.summarise(latent_action, self.places)

    # Codes: learned discrete actions.

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, rows, cols) int64, one a cell → the latent actions (B, U, rows, cols) that they stand for.

        Raises:
            BadInputError: the model has no codebook.
        """
        return self._codebook().decode(codes)

    def nearest_code(self, latent_action: Tensor) -> Tensor:
        """Latent actions (B, U, rows, cols) → the codes (B, rows, cols) int64 that come nearest to them.

        Raises:
            BadInputError: the model has no codebook.
        """
        return self._codebook().nearest(latent_action)

    # The control model: what happens next, from what happened so far.

    def fresh_memory(self, batch: int, cells: tuple[int, int]) -> Memory:
        """The control model's empty memory, for `batch` dreams of (rows, cols) cells that begin.

        Raises:
            BadInputError: the model has no control model.
        """
        return self._control().reset(batch, cells)

    def remember(self, memory: Memory, state: Tensor, latent_action: Tensor) -> Memory:
        """The memory after one more step: the states before it and its latent actions, both fields.

        Raises:
            BadInputError: the model has no control model.
        """
        return self._control().encode(memory, self.seen(state), latent_action)

    def forget(self, memory: Memory, rows: Tensor) -> Memory:
        """The memory with some rows emptied, for dreams that begin a new episode; `rows` (B,) bool says which.

        Raises:
            BadInputError: the model has no control model.
        """
        return self._control().restart(memory, rows)

    def choose(self, memory: Memory, state: Tensor) -> tuple[Tensor | None, Tensor]:
        """The control model's choice of the next step.

        Where the environment's actions are discrete, its answer is replaced by the nearest latent action of one of
        them. An answer half-way between two poses would let the agent fade.

        Args:
            memory: what happened so far.
            state: (B, K, rows, cols).

        Returns:
            (B,) int64 actions, or None without discrete actions; (B, U, rows, cols) latent actions in [-1, 1].

        Raises:
            BadInputError: the model has no control model.
        """
        actions, latent_action = None, self._control().decode(memory, self.seen(state)).clamp(-1.0, 1.0)
        if self.has_discrete_actions:
            actions, latent_action = self.nearest_action(state, latent_action)
        return actions, latent_action.clamp(-1.0, 1.0)

    def nearest_action(self, state: Tensor, latent_action: Tensor) -> tuple[Tensor, Tensor]:
        """The discrete actions whose latent actions come nearest to those given.

        Args:
            state: (B, K, rows, cols).
            latent_action: (B, U, rows, cols).

        Returns:
            (B,) int64 actions; (B, U, rows, cols) their latent actions.
        """
        count, batch = self.config.actions, len(state)
        actions = torch.arange(count, device=state.device)
        possible = self.translate(state.repeat_interleave(count, 0), actions.repeat(batch))
        possible = possible.unflatten(0, (batch, count))
        nearest = (possible - latent_action[:, None]).square().flatten(2).sum(-1).argmin(1)
        return nearest, possible[torch.arange(batch, device=state.device), nearest]
