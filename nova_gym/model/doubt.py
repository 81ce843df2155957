"""Doubt: how far a step of the dream is to be trusted, in each cell and for the whole frame.

Three things are looked at, and only in cells that change or that often do. *Novelty*: how far a cell is from all cells
that training has seen. *Plausibility*: a small network reads what a cell and its neighbourhood were, the action, and
what the cell became; it has learned to tell what happened in the recording from what did not. *The picture*: how well
the dream draws the frame that it was given, and how far what a step has changed looks from what training has seen. A
few weights that were fitted on episodes which training did not see turn these into probabilities
(`nova_gym.training.doubt`). Reward and ending are doubted by how undecided the heads are about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nova_gym.model import inr
from nova_gym.model.config import ModelConfig

if TYPE_CHECKING:
    from nova_gym.model.world_model import WorldModel

#: Version of what a dream doubts by, in the files of dreams; that of another version is not read.
VERSION = 2
#: What a cell is judged by after a step: implausibility, its novelty, novelty around it before, how far it has
#: strayed, and a constant.
EVIDENCE = 5
#: Points a side at which cells are drawn, to be compared with pictures of the codes.
POINTS = 6
#: The logit of a step at which nothing was looked at.
LEAST = -20.0
#: Implausibility beyond this, either way, says no more.
LARGEST = 12.0


class Belief(NamedTuple):
    """What is believed of the present states of N dreams.

    Attributes:
        lively: (N, rows, cols) bool, whether such cells often change.
        novelty: (N, rows, cols) float32, from 0, how far a cell is from all that training has seen.
        strayed: (N, rows, cols) float32, the logarithm of the squared difference between the picture of a cell, once a
            step has changed it, and that of its code.
        doubt_map: (N, rows, cols) float32 in [0, 1], the probability that a cell is wrong.
        start: (N,) float32, the probability that the first frame was wrong.
        most: (N,) float32, the largest logit of any cell at any step so far: after a step that went wrong, the frames
            that follow are wrong too.
        steps: (N,) float32, steps since the start, in which small errors add up.
        doubt: (N,) float32 in [0, 1], the probability that the frame is wrong.
    """

    lively: Tensor
    novelty: Tensor
    strayed: Tensor
    doubt_map: Tensor
    start: Tensor
    most: Tensor
    steps: Tensor
    doubt: Tensor

    def copy(self) -> Belief:
        """The same in memory of its own."""
        return Belief(*(part.clone(memory_format=torch.contiguous_format) for part in self))


class Looked(NamedTuple):
    """The cells that a step is judged by, n of them.

    Attributes:
        dream, cell: (n,) int64, where they are; cells are counted row by row.
        changed: (n,) bool, whether the step changed them.
        lively: (n,) bool, and:
        novelty, strayed: (n,) float32, as in `Belief`, after the step.
        evidence: (n, `EVIDENCE`) float32.
        inputs: (n, …) float32, what the network has read.
    """

    dream: Tensor
    cell: Tensor
    changed: Tensor
    lively: Tensor
    novelty: Tensor
    strayed: Tensor
    evidence: Tensor
    inputs: Tensor


class Doubt(nn.Module):
    """Judges states and steps; its tensors are a part of the dream's file.

    Args:
        config: sizes; `config.doubt` is the number of codes.

    Attributes:
        codes: (n, K) float32, cells that training has seen and that stand for all of them.
        lively: (n,) float32, 1 for codes whose cells change more often than cells do on average.
        log_errors: (n,) float32, logarithm of the squared error that cells of a code are drawn with.
        log_spread: () float32, logarithm of the squared distance that is still ordinary.
        step_weights: (`EVIDENCE`,) float32, from evidence to the logit of the probability that a step made it wrong.
        frame_weights: (4,) float32, from `most` of `Belief`, the logarithm of its `steps`, the largest logit of the
            present step, and a constant, to the logit of the probability that the frame is wrong though the start was
            not.
        outcome_weights: (2,) float32, slope and constant of the logit that reward or ending is wrong, by how undecided
            the heads are about them (`Heads.undecided`).
        base, basis: (D,) and (K, D) float32, the renderer's, as it was when doubt was taught.
        log_scale: () float32, logarithm of the squared error of pixels that a squared distance of states makes.
        drawn_weights: (2,) float32, slope and constant of the logit that a cell is wrong, by the logarithm of the
            squared error that it is drawn with, measured where its frame is known.
        likely_weights: (2,) float32, the same by the error that the codes say.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.rank, self.actions, self.discrete = config.rank, config.actions, config.discrete
        self.reach = 1 if config.cell == config.frame_size else 3
        inputs = (self.reach**2 + 1) * config.rank + config.memory + config.actions
        self.network = nn.Sequential(
            nn.Linear(inputs, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.hidden), nn.GELU(),
            nn.Linear(config.hidden, 1),
        )  # fmt: skip
        self.register_buffer("codes", torch.zeros(config.doubt, config.rank))
        self.register_buffer("lively", torch.zeros(config.doubt))
        self.register_buffer("log_errors", torch.zeros(config.doubt))
        self.register_buffer("log_spread", torch.zeros(()))
        self.register_buffer("step_weights", torch.zeros(EVIDENCE))
        self.register_buffer("frame_weights", torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.register_buffer("outcome_weights", torch.tensor([0.0, LEAST]))
        self.register_buffer("drawn_weights", torch.zeros(2))
        self.register_buffer("likely_weights", torch.zeros(2))
        self.register_buffer("log_scale", torch.zeros(()))
        self.register_buffer("base", torch.zeros(inr.weight_count(config.inr)))
        self.register_buffer("basis", torch.zeros(config.rank, inr.weight_count(config.inr)))
        self.register_buffer("points", inr.coordinate_grid(POINTS, POINTS), persistent=False)
        self.inr = config.inr
        self._around: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def nearest(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (n, K) → the nearest codes (n,) int64, and the squared distances to them (n,) float32."""
        code = torch.addmm(self.codes.square().sum(1), cells, self.codes.T, alpha=-2.0).argmin(1)
        return code, (cells - self.codes[code]).square().sum(1)

    def novelty(self, square: Tensor) -> Tensor:
        """Squared distances to the nearest codes → how unusual they are, from 0."""
        return torch.log1p(square * torch.exp(-self.log_spread))

    def drawn(self, cells: Tensor) -> Tensor:
        """Cells (n, K) → (n, C · P) float32 in [0, 1], their pictures at a few points."""
        return inr.render_at_by_layers(self.base + cells @ self.basis, self.points, self.inr).clamp(0.0, 1.0).flatten(1)

    def strayed(self, cells: Tensor, code: Tensor) -> Tensor:
        """Logarithm of the squared difference between pictures of cells and of their codes."""
        told, which = code.unique(return_inverse=True)
        return log_error((self.drawn(cells) - self.drawn(self.codes[told])[which]).square().mean(1).nan_to_num(1.0))

    def likely_error(self, code: Tensor, square: Tensor) -> Tensor:
        """Logarithm of the squared error that cells are probably drawn with, by their codes and distances to them."""
        return torch.logaddexp(self.log_errors[code], self.log_scale + square.clamp(min=1e-12).log())

    def begin(self, state: Tensor, errors: Tensor | None = None) -> Belief:
        """What is believed of states that episodes begin from.

        Args:
            state: (N, K + M, rows, cols).
            errors: (N, rows, cols) float32, mean squared errors that their frames are drawn with, NaN where no frame is
                known; None where none are.
        """
        shape = len(state), *state.shape[2:]
        code, square = (part.view(shape) for part in self.nearest(self._cells(state)))
        wrong = _logistic(self.likely_weights, self.likely_error(code, square))
        if errors is not None:
            known = _logistic(self.drawn_weights, log_error(errors))
            wrong = torch.where(errors.isnan(), wrong, known)
        strayed = log_error(torch.zeros_like(wrong))
        start, none = wrong.flatten(1).amax(1), wrong.new_zeros(len(state))
        return Belief(self.lively[code] > 0.5, self.novelty(square), strayed, wrong, start, none + LEAST, none, start)

    def step(
        self,
        belief: Belief,
        state: Tensor,
        actions: Tensor | None,
        following: Tensor,
        undecided: Tensor,
        seen: Looked | None = None,
    ) -> Belief:
        """What is believed after a step.

        Args:
            belief: before it.
            state: (N, K + M, rows, cols), before it.
            actions: as in `WorldModel.translate`; None if they are not known.
            following: (N, K + M, rows, cols), after it.
            undecided: (N,) float32, how undecided the heads are about reward and ending.
            seen: what `look` says of the same step, if that is known already.
        """
        seen = self.look(belief, state, actions, following) if seen is None else seen
        shape, count = belief.lively.shape, len(state)
        flat = seen.dream * (shape[1] * shape[2]) + seen.cell
        logits, marks = seen.evidence @ self.step_weights, belief.doubt_map.flatten()
        largest = logits.new_full((count,), LEAST).scatter_reduce(0, seen.dream, logits, "amax")
        most, steps = torch.maximum(belief.most, largest), belief.steps + 1.0
        so_far = torch.stack([most, steps.log(), largest, torch.ones_like(most)], dim=1)
        right = (1.0 - belief.start) * torch.sigmoid(-(so_far @ self.frame_weights))
        right = right * (1.0 - _logistic(self.outcome_weights, undecided))
        # what a step makes of cells that were wrong is wrong as well, there and where they move to
        moved = torch.zeros_like(marks).index_copy(0, flat, torch.where(seen.changed, marks[flat], 0.0))
        near, inside = self._near(seen.dream, seen.cell, shape[1], shape[2])
        kept = torch.where(seen.changed, (moved[near] * inside).amax(1), marks[flat])
        return Belief(
            belief.lively.flatten().index_copy(0, flat, seen.lively).view(shape),
            belief.novelty.flatten().index_copy(0, flat, seen.novelty).view(shape),
            belief.strayed.flatten().index_copy(0, flat, seen.strayed).view(shape),
            marks.index_copy(0, flat, torch.maximum(torch.sigmoid(logits), kept)).view(shape),
            belief.start,
            most,
            steps,
            1.0 - right,
        )

    def look(self, belief: Belief, state: Tensor, actions: Tensor | None, following: Tensor) -> Looked:
        """The cells that a step is judged by: those that changed, and those that often do. Arguments as in `step`."""
        rows, cols = state.shape[2:]
        changed = state[:, 0] != following[:, 0]  # all numbers of a cell that changes do; one is enough
        looked = (changed | belief.lively).flatten().nonzero()[:, 0]
        dream, cell = looked // (rows * cols), looked % (rows * cols)
        before, after = self._cells(state), self._cells(following).index_select(0, looked)
        moved = changed.flatten()[looked]
        code, square = self.nearest(after)
        kept = belief.lively.flatten()[looked], belief.novelty.flatten()[looked], belief.strayed.flatten()[looked]
        found = self.lively[code] > 0.5, self.novelty(square), self.strayed(after, code)
        lively, novelty, strayed = (torch.where(moved, new, old) for new, old in zip(found, kept, strict=True))
        near, inside = self._near(dream, cell, rows, cols)
        strange = (belief.novelty.flatten()[near] * inside).amax(1)
        patches = before[near.flatten()].view(*near.shape, self.rank) * inside[:, :, None]
        heard = state.movedim(1, 3).flatten(0, 2)[looked, self.rank :]
        acted = self.acted(actions, state)[dream]
        inputs = torch.cat([patches.flatten(1), after - before[looked], heard, acted], dim=1)
        unlike = self.network(inputs).squeeze(1).clamp(-LARGEST, LARGEST)
        evidence = torch.stack([unlike, novelty, strange, strayed, torch.ones_like(strange)], dim=1)
        return Looked(dream, cell, moved, lively, novelty, strayed, evidence, inputs)

    def acted(self, actions: Tensor | None, state: Tensor) -> Tensor:
        """Actions of N dreams as numbers (N, actions) float32; 0 where none is known."""
        if actions is None:
            return state.new_zeros(len(state), self.actions)
        if not self.discrete:
            return actions
        return (actions[:, None] == torch.arange(self.actions, device=actions.device)).to(torch.float32)

    def _cells(self, state: Tensor) -> Tensor:
        """(N, K + M, rows, cols) → (N · rows · cols, K), what the frame shows in each cell."""
        return state[:, : self.rank].movedim(1, 3).flatten(0, 2)

    def _near(self, dream: Tensor, cell: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """(n, reach²) int64 neighbours of cells, counted over all dreams, and float32 which of them are inside."""
        around, inside = self._neighbours(rows, cols, cell.device)
        return (dream * (rows * cols))[:, None] + around[cell], inside[cell]

    def _neighbours(self, rows: int, cols: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(rows · cols, reach²) int64 neighbours of each cell, and float32 which are inside; the others are cell 0."""
        if (rows, cols) not in self._around:
            near = torch.arange(self.reach, device=device) - self.reach // 2
            row = torch.arange(rows, device=device)[:, None, None, None] + near[:, None]
            col = torch.arange(cols, device=device)[:, None, None] + near
            inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
            index = torch.where(inside, row * cols + col, 0)
            shape = rows * cols, self.reach**2
            self._around[rows, cols] = index.reshape(shape), inside.reshape(shape).to(torch.float32)
        return self._around[rows, cols]


def _logistic(weights: Tensor, values: Tensor) -> Tensor:
    return torch.sigmoid(weights[0] * values + weights[1])


def cell_errors(model: WorldModel, state: Tensor, frames: Tensor) -> Tensor:
    """How badly cells are drawn.

    Args:
        model: that draws.
        state: (N, K + M, rows, cols).
        frames: (N, C, H, W) float32 in [0, 1], what they should look like, on the same device.

    Returns:
        (N, rows, cols) float32, mean squared errors.
    """
    (rows, cols), (height, width) = state.shape[2:], model.config.cell
    drawn = torch.cat([model.render(part) for part in state.split(64)])
    squares = (drawn - frames).square().mean(1)
    return squares.view(len(frames), rows, height, cols, width).mean((2, 4))


def log_error(errors: Tensor) -> Tensor:
    """The logarithm of mean squared errors of cells, for values in [0, 1]."""
    return errors.clamp(min=1e-6).log()
