"""Doubt as a table of layers with all weights in one array, which `nova_gym.kernels.doubt` runs on the CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nova_gym.kernels.doubt import MOST_SLOTS, follow
from nova_gym.kernels.products import OUTPUTS, padded
from nova_gym.kernels.threads import in_parts
from nova_gym.model.compiled_step import PART, Follower, Memo, Stepped
from nova_gym.model.doubt import Belief, Doubt
from nova_gym.model.inr import fourier_features, layer_sizes
from nova_gym.model.packed import Packed, by_cells


class CompiledDoubt:
    """Follows doubt as `Doubt` does, to rounding, in one compiled call.

    Args:
        doubt: on the CPU, float32.
    """

    def __init__(self, doubt: Doubt) -> None:
        self.doubt, self._packed = doubt, Packed(_tensors(doubt))
        network, seen = doubt.network, doubt.reach**2 * doubt.rank
        around, rest = network[0].weight.detach().split([seen, network[0].in_features - seen], 1)
        rows = [self._packed.row_of(_matrix(around), network[0].bias.detach())]
        self._heard = rows[0][OUTPUTS]
        heard = torch.eye(len(around), self._heard)  # the rest is added to what was heard around a cell
        rows.append(self._packed.row_of(_matrix(torch.cat([heard, rest], 1)), None))
        rows += [self._packed.row(network[number]) for number in (2, 4)]
        rows.append(self._packed.row_of(_matrix(-2.0 * doubt.codes), doubt.codes.square().sum(1)))
        drawing, order = _drawing(doubt)
        weights = torch.cat([torch.stack([doubt.base, *doubt.basis]), torch.zeros(len(doubt.basis) + 1, 1)], 1)[
            :, order
        ]
        rows.append(self._packed.row_of(_matrix(weights[1:].T), weights[0]))
        self._packed.pack()
        codes = doubt.codes.numpy(), doubt.lively.numpy() > 0.5
        pictures = doubt.drawn(doubt.codes).unflatten(1, (doubt.inr.channels, -1)).transpose(1, 2).contiguous().numpy()
        features = fourier_features(doubt.points, doubt.inr.frequencies).T.contiguous().numpy()
        lengths = np.array([features.shape[1], *(layer[OUTPUTS] for layer in drawing)])
        drawn = features.ravel(), lengths[:, None] * np.arange(len(features)), pictures
        fitted = doubt.step_weights, doubt.frame_weights, doubt.log_spread.view(1), doubt.outcome_weights
        layers = np.array([*rows, *drawing], np.int64)
        self._model = layers, self._packed.weights, *codes, *(tensor.numpy() for tensor in fitted), drawn
        self._choices = np.eye(doubt.actions + 1, doubt.actions, dtype=np.float32)  # the last row is that of no action

    def current(self, doubt: Doubt) -> bool:
        """Whether it is still that of this doubt (`Packed.unchanged`)."""
        return doubt is self.doubt and self._packed.unchanged()

    def step(
        self, belief: Belief, state: Tensor, actions: Tensor | None, following: Tensor, undecided: Tensor
    ) -> Belief:
        """As `Doubt.step`, on several threads."""
        count, _, rows, columns = state.shape
        before, after = (by_cells(field) for field in (state, following))
        changed = (before[..., 0] != after[..., 0]).reshape(count, -1)
        fields = before.reshape(count, -1), after.reshape(count, -1)
        stepped = Stepped(*fields, changed, undecided.contiguous().numpy())
        belief, kept = belief.copy(), self._nothing(count, rows * columns)
        follower = self._follower(kept, belief, actions, columns, state.shape[1])
        in_parts(lambda start, stop: follower(stepped, start, stop, start), count, PART)
        return belief

    def follower(self, memo: Memo, belief: Belief, actions: Tensor | None) -> Follower:
        """Follows a step of `CompiledStep`, and keeps what can be kept of its dreams in the memo.

        Args:
            memo: of that step.
            belief: before it; written to, so each of its tensors has memory of its own (`Belief.copy`).
            actions: as in `Doubt.step`.
        """
        if memo.watcher is not self:
            memo.watch(self, self.doubt.reach // 2, self._nothing(*memo.arrays[1].shape))
        return self._follower(memo.kept, belief, actions, memo.layout[0], self.doubt.rank)

    def _follower(
        self, kept: tuple[np.ndarray, ...], belief: Belief, actions: Tensor | None, columns: int, width: int
    ) -> Follower:
        count = len(belief.start)
        parts = *(part.numpy().reshape(count, -1) for part in belief[:4]), *(part.numpy() for part in belief[4:])
        acted, taken = self._acted(actions, count)
        sizes = columns, self.doubt.rank, width, self.doubt.reach

        def work(stepped: Stepped, start: int, stop: int, row: int) -> None:
            given = *stepped[:3], acted, taken, stepped.undecided
            follow(self._model, sizes, kept, given, parts, start, stop, row)

        return work

    def _nothing(self, count: int, cells: int) -> tuple[np.ndarray, ...]:
        """What is kept of dreams of which nothing is known."""
        slots = self.doubt.actions + 1 if self.doubt.discrete and self.doubt.actions < MOST_SLOTS else 0
        marks = np.zeros((count, cells), np.int64)
        return marks, *(np.empty((count, cells, size), np.float32) for size in (self._heard, slots))

    def _acted(self, actions: Tensor | None, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Actions as numbers (n, actions) float32, and which of these rows each of N dreams has taken, (N,) int64."""
        if actions is None:
            return self._choices, np.full(count, self.doubt.actions)
        if self.doubt.discrete:
            return self._choices, np.ascontiguousarray(actions.numpy())
        return actions.contiguous().numpy(), np.arange(count)


def _matrix(weights: Tensor) -> Tensor:
    """(outputs, inputs) as `Packed.row_of` takes it."""
    return weights[:, :, None, None]


def _drawing(doubt: Doubt) -> tuple[list[list[int]], list[int]]:
    """The layers of a cell's coordinate network, each where it begins in the cell's weights as they lie in memory.

    Returns:
        The layers, and for each place in memory which of the D weights is there; D for none, which is 0.
    """
    rows, order, start, none = [], [], 0, len(doubt.base)
    for inputs, outputs in layer_sizes(doubt.inr):
        wide = padded(outputs)
        rows.append([len(order), 1, inputs, 0, wide, 0, 0])
        places = np.full((inputs + 1, wide), none)
        places[:inputs, :outputs] = start + np.arange(outputs * inputs).reshape(outputs, inputs).T
        places[inputs, :outputs] = start + outputs * inputs + np.arange(outputs)
        order += places.ravel().tolist()
        start += (inputs + 1) * outputs
    return rows, order


def _tensors(doubt: Doubt) -> list[Tensor]:
    return [*doubt.parameters(), *doubt.buffers()]


def compiled_doubt(doubt: Doubt, before: CompiledDoubt | None) -> CompiledDoubt | None:
    """That of this doubt: `before`, if it is still it. None where PyTorch follows instead, on other devices."""
    if before is not None and before.current(doubt):
        return before
    if doubt.codes.device.type != "cpu" or any(tensor.dtype != torch.float32 for tensor in _tensors(doubt)):
        return None
    return CompiledDoubt(doubt)
