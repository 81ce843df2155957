"""Doubt as a table of layers with all weights in one array, which `nova_gym.kernels.doubt` runs on the CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nova_gym.kernels.doubt import KEPT, follow
from nova_gym.kernels.threads import in_parts
from nova_gym.model.compiled_step import PART
from nova_gym.model.doubt import Belief, Doubt
from nova_gym.model.inr import fourier_features, layer_sizes
from nova_gym.model.packed import Packed, by_cells


class CompiledDoubt:
    """Follows doubt as `Doubt` does, to rounding, in one compiled call.

    Args:
        doubt: on the CPU, float32.
    """

    def __init__(self, doubt: Doubt) -> None:
        self.doubt = doubt
        self._packed = Packed(_tensors(doubt))
        rows = [self._packed.row(doubt.network[number]) for number in (0, 2, 4)]
        distances = (-2.0 * doubt.codes)[:, :, None, None], doubt.codes.square().sum(1)
        rows.append(self._packed.row_of(*distances))
        rows.append(self._packed.row_of(doubt.basis.T[:, :, None, None], doubt.base))
        self._packed.pack()
        of_codes = doubt.codes.numpy(), doubt.lively.numpy() > 0.5
        pictures = doubt.drawn(doubt.codes).unflatten(1, (doubt.inr.channels, -1)).numpy()
        features = fourier_features(doubt.points, doubt.inr.frequencies).contiguous().numpy()
        drawing = np.array(layer_sizes(doubt.inr), np.int64), features, pictures
        fitted = doubt.step_weights, doubt.frame_weights, doubt.log_spread.view(1), doubt.outcome_weights
        weights = *of_codes, *(tensor.numpy() for tensor in fitted), drawing
        self._choices = np.eye(doubt.actions + 1, doubt.actions, dtype=np.float32)
        self._memos: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # by the first of the dreams, so one a thread
        self._model = np.array(rows, np.int64), self._packed.weights, *weights

    def current(self, doubt: Doubt) -> bool:
        """Whether it is still that of this doubt (`Packed.unchanged`)."""
        return doubt is self.doubt and self._packed.unchanged()

    def step(
        self, belief: Belief, state: Tensor, actions: Tensor | None, following: Tensor, undecided: Tensor
    ) -> Belief:
        """As `Doubt.step`, on several threads."""
        count, width, _, columns = state.shape
        before, after = (by_cells(field).reshape(count, -1) for field in (state, following))
        acted, taken = self._acted(actions, state)
        maps = [np.ascontiguousarray(part.numpy()).reshape(count, -1) for part in belief[:4]]
        numbers = [part.contiguous().numpy() for part in (belief.start, belief.most, belief.steps, undecided)]
        given = before, after, acted, taken, *maps, *numbers
        maps = [np.empty_like(each) for each in maps]
        results = *maps, *np.empty((3, count), np.float32)
        sizes = columns, self.doubt.rank, width, self.doubt.reach, acted.shape[1]

        def work(start: int, stop: int) -> None:
            if start not in self._memos:
                inputs = self.doubt.network[0].in_features
                self._memos[start] = np.full((KEPT, inputs), np.nan, np.float32), np.zeros(KEPT, np.float32)
            follow(self._model, sizes, self._memos[start], given, results, start, stop)

        in_parts(work, count, PART)
        shown = (torch.from_numpy(part).view(belief.lively.shape) for part in maps)
        most, steps, doubt = map(torch.from_numpy, results[4:])
        return Belief(*shown, belief.start, most, steps, doubt)

    def _acted(self, actions: Tensor | None, state: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Actions as numbers (n, actions) float32, and which of these rows each of N dreams has taken, (N,) int64."""
        if actions is not None and not self.doubt.discrete:
            return self.doubt.acted(actions, state).contiguous().numpy(), np.arange(len(state))
        none = self.doubt.actions  # the row of no action
        if actions is None:
            return self._choices, np.full(len(state), none)
        chosen = actions.numpy()
        return self._choices, np.where((chosen >= 0) & (chosen < none), chosen, none)


def _tensors(doubt: Doubt) -> list[Tensor]:
    return [*doubt.parameters(), *doubt.buffers()]


def compiled_doubt(doubt: Doubt, before: CompiledDoubt | None) -> CompiledDoubt | None:
    """That of this doubt: `before`, if it is still it. None where PyTorch follows instead, on other devices."""
    if before is not None and before.current(doubt):
        return before
    if doubt.codes.device.type != "cpu" or any(tensor.dtype != torch.float32 for tensor in _tensors(doubt)):
        return None
    return CompiledDoubt(doubt)
