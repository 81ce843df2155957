"""A step of a world model as a table of layers with all weights in one array, which `nova_gym.kernels.step` runs.

`nova_gym.stepping` picks it on the CPU, and its tests check it against PyTorch. The step belongs to the weights. What
it computed of the states of some dreams is a `Memo`, which belongs to whoever steps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nova_gym.kernels.memo import MOST_ACTIONS
from nova_gym.kernels.products import CENTRE, FIELDS, JUMP, LINE, OUTPUTS, SIGHT, padded
from nova_gym.kernels.step import BRIDGE, advance
from nova_gym.kernels.threads import in_parts
from nova_gym.model.bridge import ActionBridge
from nova_gym.model.dynamics import ForwardDynamics
from nova_gym.model.heads import Heads
from nova_gym.model.local import LocalNetwork
from nova_gym.model.packed import Packed, by_cells, kernel_size
from nova_gym.model.world_model import WorldModel

#: Bytes of a memo at most, about, without what another keeps. Where there are more dreams they take turns in it, which
#: is slower and as right.
MEMO_BYTES = 2**28
#: Dreams that a thread steps are a multiple of this: of fewer, another thread would take longer to begin.
PART = 16
#: What of a world model a step consists of.
_PARTS = ("bridge", "forward_dynamics", "heads")
_NO_ACTIONS = np.zeros(0, np.int64)


class Stepped(NamedTuple):
    """A step of N dreams, for who follows it.

    Attributes:
        state, following: (N, cells · K) float32, before and after it.
        changed: (N, cells) bool, which cells it changed.
        undecided: (N,) float32, how undecided the heads are.
    """

    state: np.ndarray
    following: np.ndarray
    changed: np.ndarray
    undecided: np.ndarray


#: Follows the step of some dreams on the thread that made it: the first of them, where they end, and the memo's row of
#: the first.
Follower = Callable[[Stepped, int, int, int], None]


class Memo:
    """What was computed of the states of some dreams, and need not be computed again while they stay as they are.

    It is never wrong, whatever happens to the states: a step compares them with those that the memo is of.

    Args:
        step: what computes. The memo is of no use to another.
        shape: that of the states, (N, K, rows, cols).
        band: the dead band, which says what stays as it is.

    Attributes:
        made_for: these three.
        arrays: as `kernels.step.advance` takes them, for M dreams; M is N, or less where these are too many.
        layers: (n, 7) int64, the layers of the step on a grid of this size.
        layout: as `advance` takes it.
        watcher, kept: who else keeps something of the same states, and what; see `watch`.
    """

    def __init__(self, step: CompiledStep, shape: torch.Size, band: float) -> None:
        count, rank, rows, columns = shape
        cells, size, places = rows * columns, 0, []
        self.made_for = step, shape, band
        self.layers = step.layers.copy()
        for layer, width in zip(self.layers[BRIDGE:], step.widths, strict=False):
            sight = layer[SIGHT]  # the border of zeros around the cells is as wide
            line = (columns + 2 * sight) * width
            layer[JUMP], layer[CENTRE] = line, sight * (line + width)
            places.append((size + np.arange(rows)[:, None] * line + np.arange(columns) * width).ravel())
            size += (rows + 2 * sight) * line
        places.append(np.zeros(cells))  # the last layer of the bridge reads what was just computed
        kept = size + np.arange(cells) * padded(rank)
        at_latents = size + cells * padded(rank)
        size = at_latents + cells * step.actions * step.latent_action
        self.layout = columns, at_latents, step.valued, 0
        most = max(1, min(count, MEMO_BYTES // (4 * size)))
        marks = np.zeros((most, cells), np.int64)
        self.arrays = np.zeros((most, size), np.float32), marks, np.array([kept, *places], np.int64), marks[:, :0]
        self.watcher: object = None
        self.kept: tuple[np.ndarray, ...] = ()

    def watch(self, watcher: object, sight: int, kept: tuple[np.ndarray, ...]) -> None:
        """Another keeps something of the same states, row by row.

        Args:
            watcher: who that is, the only one.
            sight: cells to each side on which it depends what is kept of a cell.
            kept: first its marks, (M, cells) int64: those of a cell become 0 where what it depends on is another.
        """
        self.watcher, self.kept = watcher, kept
        self.arrays, self.layout = (*self.arrays[:3], kept[0]), (*self.layout[:3], sight)


class CompiledStep:
    """A step as a table of layers, with all weights in one array, in the order in which they are read.

    Args:
        model: a world model that `compiled_step` takes.

    Attributes:
        actions: how many discrete actions it steps by; 0 where latent actions alone step it.
        layers: (n, 7) int64 as in `kernels.step`, but for what depends on the size of the grid.
        widths: how many numbers of a cell the layers of the bridge but the last read; K alone if there is no bridge.
    """

    def __init__(self, model: WorldModel) -> None:
        config, heads, dynamics = model.config, model.heads, model.forward_dynamics
        bridge = [*model.bridge.network.layers] if _acts(model) else []
        self.actions, self.latent_action = config.actions if bridge else 0, config.latent_action
        self.valued = heads is not None
        self.values = np.array((config.reward_values if heads is not None else ()) or (0.0,), np.float32)
        self.looks = np.zeros((0, config.rank), np.float32) if model.looks is None else model.looks.numpy().copy()
        self.widths = [config.rank, *(padded(layer.out_channels) for layer in bridge[:-2])]
        self._model, self._packed = model, Packed(_tensors(model))
        row, nothing = self._packed.row, [0] * FIELDS
        rows = [row(layer) for layer in (*dynamics.content_network.layers, *dynamics.motion_network.layers)]
        rows += [row(heads.trunk[0]), row(heads.trunk[2])] if heads else [nothing] * 2
        rows += [row(heads.reward, heads.termination) if heads else [*nothing[:OUTPUTS], LINE, 0, 0]]
        rows += [row(layer, width=width) for layer, width in zip(bridge, [*self.widths, 0], strict=False)]
        self.layers = np.array(rows if bridge else [*rows, nothing], np.int64)
        self._packed.pack()

    def made_of(self, model: WorldModel) -> bool:
        """Whether it was made of the very tensors that the model has now, with these values; takes a while."""
        return self._packed.made_of(_tensors(model))

    def current(self, model: WorldModel) -> bool:
        """Whether the tensors that it was made of are as they were (`Packed.unchanged`)."""
        return model is self._model and self._packed.unchanged()

    def memo(self, before: Memo | None, state: Tensor, band: float) -> Memo:
        """A memo for such states: `before` if that fits, else an empty one.

        Args:
            state: (N, K, rows, cols); only its shape counts.
            band: the dead band.
        """
        fits = before is not None and before.made_for == (self, state.shape, band)
        return before if fits else Memo(self, state.shape, band)

    def advance(
        self,
        memo: Memo,
        state: Tensor,
        latents: Tensor | None,
        actions: Tensor | None,
        steps: Tensor,
        numbers: tuple[float, ...],
        follower: Follower | None = None,
    ) -> tuple[Tensor, ...]:
        """One step of N dreams, in parts on several threads.

        Args:
            memo: from `memo`, for such states; written to.
            state: (N, K, rows, cols) float32.
            latents: (N, U, rows, cols) float32 latent actions, or None:
            actions: (N,) int64, through the action bridge.
            steps: (N,) int64 since the last reset.
            numbers: bound of states, discount of the reward and the horizon it refers to, horizon or 0.
            follower: called with each part of the dreams as soon as that is stepped.

        Returns:
            States after the step (N, K, rows, cols), latent actions (N, U, rows, cols), both with a cell's numbers
            side by side in memory, rewards (N,) float32, terminated, truncated and lost (N,) bool, how undecided the
            heads are (N,) float32, steps with this one (N,) int64.

        Raises:
            ValueError: the states have another shape or type.
        """
        count, rank, rows, columns = state.shape
        if (len(steps), self.widths[0], torch.float32) != (count, rank, state.dtype):
            raise ValueError(
                f"states are {tuple(state.shape)} of {state.dtype}; expected are ({len(steps)}, {self.widths[0]}, "
                "rows, cols) of torch.float32"
            )
        chosen = _NO_ACTIONS if actions is None else np.ascontiguousarray(actions.numpy())
        following = np.empty((count, rows, columns, rank), np.float32)
        if latents is None:
            moved = np.empty((count, rows, columns, self.latent_action), np.float32)
        else:
            moved = by_cells(latents)
        given = *(field.reshape(count, -1) for field in (by_cells(state), moved)), chosen, steps.contiguous().numpy()
        (reward, undecided), counted = np.empty((2, count), np.float32), np.empty(count, np.int64)
        terminated, truncated, lost = np.empty((3, count), np.bool_)
        changed = np.empty((count, rows * columns), np.bool_)
        results = following.reshape(count, -1), reward, terminated, truncated, lost, undecided, counted, changed
        stepped = Stepped(given[0], results[0], changed, undecided)
        model = memo.layers, self._packed.weights, self.values, self.looks
        numbers = memo.made_for[2], *numbers

        for first in range(0, count, len(memo.arrays[0])):  # once, unless there are too many dreams

            def work(start: int, stop: int, first: int = first) -> None:
                advance(model, memo.arrays, memo.layout, numbers, given, results, first + start, first + stop, start)
                if follower is not None:
                    follower(stepped, first + start, first + stop, start)

            in_parts(work, min(len(memo.arrays[0]), count - first), PART)
        fields = (field.transpose(0, 3, 1, 2) for field in (following, moved))
        return tuple(map(torch.from_numpy, (*fields, *results[1:-1])))


def _tensors(model: WorldModel) -> list[Tensor]:
    """All that a step of the model consists of."""
    parts = filter(None, map(model._modules.get, _PARTS))
    tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    return tensors if model.looks is None else [*tensors, model.looks]


def _acts(model: WorldModel) -> bool:
    """Whether a compiled step goes through the action bridge; by other actions, latent actions step the dream."""
    return model.bridge is not None and model.config.discrete and model.config.actions <= MOST_ACTIONS


def _as_written(model: WorldModel) -> bool:
    """Whether a step consists of what is in `nova_gym.model`, and not, as in an ablation, of anything else."""
    dynamics, ours, config = model.forward_dynamics, WorldModel, model.config
    if config.memory or config.outcomes or config.far or config.everywhere or config.reward_bins:
        return False
    same = all(
        getattr(type(model), name) is getattr(ours, name)
        for name in ("step", "settle", "nearest_look", "outcome", "translate", "recall")
    )
    kinds = ((dynamics, ForwardDynamics), (model.bridge, ActionBridge), (model.heads, Heads))
    if not same or any(part is not None and type(part) is not kind for part, kind in kinds):
        return False
    local, wide = [dynamics.content_network, dynamics.motion_network], [model.bridge.network] if _acts(model) else []
    if any(type(network) is not LocalNetwork for network in (*local, *wide)):
        return False
    return (
        all(len(network.layers) == 2 and kernel_size(layer) == (1, 1) for network in local for layer in network.layers)
        and all(layer.bias is None for layer in dynamics.motion_network.layers)
        and all(kernel_size(layer) == (1, 1) for network in wide for layer in network.layers[-1:])
    )


def compiled_step(model: WorldModel, before: CompiledStep | None) -> CompiledStep | None:
    """The step of this model: `before`, if that is still it.

    None where PyTorch steps instead: on other devices than the CPU, with other numbers than float32, or with layers
    that are not those of `nova_gym.model`. Actions that are continuous, or more than `MOST_ACTIONS`, are translated by
    PyTorch; then the step goes by latent actions.
    """
    if before is not None and before.current(model):
        return before
    if model.base.device.type != "cpu" or model.base.dtype != torch.float32 or model.base.is_inference():
        return None
    return CompiledStep(model) if _as_written(model) else None
