"""A step of few dreams on the CPU in one compiled call, for small batches, where PyTorch's time goes into being called.

The same step as `DreamSimulator.step_latent`, which stays the reference: action bridge (of the chosen action alone),
content, motion, dead band, heads, bounds and ends. `nova_gym.simulator` picks it, and its tests check it against
PyTorch. All weights are packed into one array once; a change of any of them is noticed before the next step, see
`Packed.current`.
"""

from __future__ import annotations

import operator
from contextlib import suppress

import numpy as np
import torch
from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic
from torch import Tensor, nn

from nova_gym.dynamics import ResidualMLP
from nova_gym.gelu import bump
from nova_gym.world_model import WorldModel

#: All of `fastmath` but the promise that no value is NaN or infinite: a lost dream has to be noticed.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
_EPSILON = np.float32(nn.LayerNorm(1).eps)

#: GELU to 2e-6 instead of the renderers' 2e-5: what a step gives is fed back to it.
_CLAMP = np.float32(5.0)
_COEFFICIENTS = tuple(map(np.float32, bump(13, 5.0)))
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_LARGEST = np.finfo(np.float32).max

#: Whether the processor turns half precision into single in one instruction.
_HALVES = bool(binding.get_host_cpu_features().get("f16c"))

#: What a row of the program does; beside it stand two columns of the work table, a weight and two lengths.
_SET, _ADD, _CHOOSE, _NORMALISE, _GELU, _COPY, _HOLD = range(7)


@intrinsic
def _number(typing_context, weight):
    """A packed weight as float32: what it is already, or the half precision whose bits a uint16 holds."""

    def code(context, builder, signature, arguments):
        if weight == types.float32:
            return arguments[0]
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(weight), code


@njit(error_model="numpy", fastmath=_FAST)
def _run(program, packed, work, actions, choices, band):
    """Runs a program on the work table, all dreams at once.

    Args:
        program: (n, 6) int64: what to do, from which column, to which column, with the weights from where on, and the
            numbers of inputs and outputs.
        packed: all weights; those of a layer are a matrix (inputs, outputs), then its bias.
        work: (N, width) float32, a row for each dream.
        actions: (N,) int64, of so many `choices`.
        band: the dead band.
    """
    for kind, source, target, at, inputs, outputs in program:
        if kind in (_SET, _ADD):
            bias = packed[at + inputs * outputs : at + inputs * outputs + outputs]
            for n in range(len(work)):
                y = work[n, target : target + outputs]
                for j in range(outputs):
                    y[j] = _number(bias[j]) if kind == _SET else y[j] + _number(bias[j])
            whole = inputs // 4 * 4
            for i in range(0, whole, 4):  # four rows of weights serve all dreams while they are in cache
                w = packed[at + i * outputs : at + (i + 4) * outputs]
                for n in range(len(work)):
                    x, y = work[n, source + i : source + i + 4], work[n, target : target + outputs]
                    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
                    for j in range(outputs):
                        total = x0 * _number(w[j]) + x1 * _number(w[outputs + j])
                        y[j] += total + x2 * _number(w[2 * outputs + j]) + x3 * _number(w[3 * outputs + j])
            for i in range(whole, inputs):
                weights = packed[at + i * outputs : at + (i + 1) * outputs]
                for n in range(len(work)):
                    x0, y = work[n, source + i], work[n, target : target + outputs]
                    for j in range(outputs):
                        y[j] += x0 * _number(weights[j])
            continue
        for n in range(len(work)):
            x, y = work[n, source : source + inputs], work[n, target : target + outputs]
            if kind == _CHOOSE:  # of the outputs of all actions, by rows, those of the dream's own
                for j in range(outputs):
                    first = at + (actions[n] * outputs + j) * (inputs + 1)
                    weights = packed[first : first + inputs + 1]
                    total = _ZERO
                    if 0 <= actions[n] < choices:  # an unknown action is none, as in PyTorch
                        total = _number(weights[inputs])
                        for i in range(inputs):
                            total += _number(weights[i]) * x[i]
                    y[j] = total
            elif kind == _NORMALISE:
                gains, shifts = packed[at : at + inputs], packed[at + inputs : at + 2 * inputs]
                mean = square = _ZERO
                for i in range(inputs):
                    mean += x[i]
                mean /= np.float32(inputs)
                for i in range(inputs):
                    square += (x[i] - mean) * (x[i] - mean)
                scale = _ONE / np.sqrt(square / np.float32(inputs) + _EPSILON)
                for i in range(inputs):
                    y[i] = (x[i] - mean) * scale * _number(gains[i]) + _number(shifts[i])
            elif kind == _GELU:
                for i in range(inputs):
                    size = abs(x[i])
                    u = min(size, _CLAMP) - _HALF * _CLAMP
                    total = _ZERO
                    for coefficient in _COEFFICIENTS:
                        total = total * u + coefficient
                    y[i] = _HALF * (x[i] + size) - total  # not max(x, 0), which would lose a NaN
            elif kind == _COPY:
                for i in range(inputs):
                    y[i] = x[i]
            else:  # _HOLD: what changed by less than the band did not change, nor did what is NaN, as in PyTorch
                square = _ZERO
                for i in range(inputs):
                    square += (y[i] - x[i]) * (y[i] - x[i])
                if not square / np.float32(inputs) > band:
                    for i in range(inputs):
                        y[i] = x[i]


@njit(error_model="numpy", fastmath=_FAST)
def _advance(
    program, packed, values, layout, numbers, state, latents, actions, steps, following, reward, ends, counted
):
    """One step of N dreams, as `DreamSimulator` has it.

    Args:
        program, packed: as in `_run`.
        values: (V,) float32 that the reward takes; none for a regression.
        layout: width of the work table; where latent actions, states after the step and outputs of the heads stand on
            it, termination the last of these; the number of actions.
        numbers: dead band, bound of states, discount of the reward, the horizon it refers to, horizon.
        state: (N, K) float32.
        latents: (N, U) float32, written to if there are actions.
        actions: (N,) int64, or none.
        steps: (N,) int64 since the last reset.
        following: (N, K) float32, written to as are `reward`, (N,) float32, `ends`, terminated and truncated, (2, N)
            bool, and `counted`, (N,) int64, the steps with this one.
    """
    width, at_latents, at_following, at_heads, choices = layout
    bound, discount = np.float32(numbers[1]), np.float32(numbers[2])
    paid_horizon, horizon = np.float32(numbers[3]), numbers[4]
    count, rank = state.shape
    outputs = max(1, len(values))
    work = np.empty((count, width), np.float32)
    for n in range(count):
        for i in range(rank):
            work[n, i] = state[n, i]
        for i in range(latents.shape[1]):
            work[n, at_latents + i] = latents[n, i]
    _run(program, packed, work, actions, choices, np.float32(numbers[0]))
    for n in range(count):
        for i in range(latents.shape[1] if len(actions) else 0):
            latents[n, i] = work[n, at_latents + i]
        y, logits = work[n, at_following : at_following + rank], work[n, at_heads : at_heads + outputs + 1]
        lost = False
        for i in range(rank):
            lost |= not abs(y[i]) < bound  # so that NaN is lost as well
            following[n, i] = min(max(y[i], -bound), bound) if y[i] == y[i] else _ZERO
        counted[n] = steps[n] + 1
        best = 0
        for v in range(1, outputs):
            if logits[v] > logits[best]:
                best = v
        paid = values[best] if len(values) else logits[0]
        if discount != _ZERO:
            paid *= _ONE - discount * np.float32(counted[n]) / paid_horizon
        reward[n] = min(max(paid, -_LARGEST), _LARGEST) if paid == paid else _ZERO
        ends[0, n] = logits[outputs] > _ZERO
        ends[1, n] = lost or (horizon > 0.0 and counted[n] >= horizon)


for _function in (_run, _advance):
    with suppress(RuntimeError):  # no folder to keep the compiled code in: then every process compiles
        _function.enable_caching()


#: What of a world model a step consists of.
_PARTS = ("bridge", "forward_dynamics", "heads")
_VERSION = operator.attrgetter("_version")
_NO_ACTIONS = np.zeros(0, np.int64)


class _Writer:
    """Writes programs and packs the weights they read."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.rows: list[tuple[int, ...]] = []
        self.at = 0

    def pack(self, *parts: Tensor) -> int:
        """Adds weights; returns where they start."""
        at = self.at
        self.parts += [part.detach().flatten() for part in parts]
        self.at += sum(part.numel() for part in parts)
        return at

    def layer(self, kind: int, source: int, target: int, weight: Tensor, bias: Tensor) -> None:
        """A linear layer, weights (outputs, inputs): its outputs stand at, or are added to, the target."""
        self.rows.append((kind, source, target, self.pack(weight.T, bias), weight.shape[1], weight.shape[0]))

    def pointwise(self, kind: int, source: int, target: int, length: int) -> None:
        """Something without weights."""
        self.rows.append((kind, source, target, 0, length, length))

    def residual(self, network: ResidualMLP, source: int, hidden: int) -> None:
        """All of a network but its last layer, with three times its units of room from `hidden` on."""
        units = network.first.out_features
        normal, middle = hidden + units, hidden + 2 * units
        self.layer(_SET, source, hidden, network.first.weight, network.first.bias)
        for norm, first, _, second in network.blocks:
            self.rows.append((_NORMALISE, hidden, normal, self.pack(norm.weight, norm.bias), units, units))
            self.layer(_SET, normal, middle, first.weight, first.bias)
            self.pointwise(_GELU, middle, middle, units)
            self.layer(_ADD, middle, hidden, second.weight, second.bias)


class Packed:
    """A step as a program, with all weights in one array, each matrix turned to the order in which they are read.

    Args:
        model: a world model that is `packable`.
    """

    def __init__(self, model: WorldModel) -> None:
        config, heads, writer = model.config, model.heads, _Writer()
        latent = config.rank  # the columns of the work table: state, latent action, state after the step, the rest
        following = latent + config.latent_action
        free = following + config.rank
        top = free + config.head_hidden
        width = free + max(3 * config.hidden, 2 * config.head_hidden + len(heads.values) + 1)

        writer.residual(model.bridge.network, 0, free)
        last = model.bridge.network.last
        at = writer.pack(torch.cat([last.weight, last.bias[:, None]], dim=1))
        writer.rows.append((_CHOOSE, free, latent, at, config.hidden, config.latent_action))
        bridge = len(writer.rows)
        writer.pointwise(_COPY, 0, following, config.rank)
        dynamics = model.forward_dynamics
        for network, source in ((dynamics.content_network, 0), (dynamics.motion_network, latent)):
            writer.residual(network, source, free)
            writer.layer(_ADD, free, following, network.last.weight, network.last.bias)
        writer.pointwise(_HOLD, 0, following, config.rank)
        for layer, source, target in ((heads.trunk[0], 0, free), (heads.trunk[2], free, top)):
            writer.layer(_SET, source, target, layer.weight, layer.bias)
            writer.pointwise(_GELU, target, target, config.head_hidden)
        outputs = [
            torch.cat(pair) for pair in zip(heads.reward.parameters(), heads.termination.parameters(), strict=True)
        ]
        writer.layer(_SET, top, free, *outputs)

        self.weights = _as_half(torch.cat(writer.parts).numpy())
        program = np.array(writer.rows, np.int64)
        self.by_action, self.by_latent = program, program[bridge:].copy()
        self.layout = (width, latent, following, free, config.actions)
        self.values = heads.values.numpy().copy() if heads.few else np.zeros(0, np.float32)
        self.latent_action = config.latent_action
        places = [(model._modules, name, model._modules[name]) for name in _PARTS] + [
            (table, name, held)
            for part in _PARTS
            for module in model._modules[part].modules()
            for table in (module._modules, module._parameters, module._buffers)
            for name, held in table.items()
        ]
        self._model, (self._tables, self._names, self._held) = model, zip(*places, strict=True)
        self._tensors = [held for held in self._held if isinstance(held, Tensor)]
        self._versions, self._addresses = self._stamps()

    def current(self, model: WorldModel) -> bool:
        """Whether these are still the weights of this model.

        A module, parameter or buffer put in the place of another is noticed, and so is whatever changes one in place,
        such as an optimiser or `load_state_dict`; only what is written through `parameter.data` is not.
        """
        return (
            model is self._model
            and all(map(operator.is_, map(dict.get, self._tables, self._names), self._held))
            and self._stamps() == (self._versions, self._addresses)
        )

    def _stamps(self) -> tuple[list[int], list[int]]:
        """What tells whether a tensor is as it was: how often it was changed in place, and where its values are."""
        return list(map(_VERSION, self._tensors)), list(map(Tensor.data_ptr, self._tensors))


def _as_half(weights: np.ndarray) -> np.ndarray:
    """The bits of the same weights in half precision, if they lose nothing, as those of a dream's file do not.

    A step of one dream takes about as long as its weights take to arrive, so half the bytes are worth the conversion,
    where the processor has an instruction for it.
    """
    half = weights.astype(np.float16)
    return half.view(np.uint16) if _HALVES and (half == weights).all() else weights


def packable(model: WorldModel) -> bool:
    """Whether a step of this model can be one compiled call: float32 on the CPU, discrete actions, no part missing."""
    base = model.base
    if base.device.type != "cpu" or base.dtype != torch.float32 or base.is_inference() or not model.config.discrete:
        return False
    return all(model._modules.get(name) is not None for name in _PARTS)


def advance(
    packed: Packed,
    state: Tensor,
    latents: Tensor | None,
    actions: Tensor | None,
    steps: Tensor,
    numbers: tuple[float, ...],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """One step of N dreams.

    Args:
        packed: current weights.
        state: (N, K) float32.
        latents: (N, U) float32 latent actions, or None:
        actions: (N,) int64, through the action bridge.
        steps: (N,) int64 since the last reset.
        numbers: dead band, bound of states, discount of the reward and the horizon it refers to, horizon or 0.

    Returns:
        States after the step (N, K), latent actions (N, U), rewards (N,) float32, terminated and truncated (N,) bool,
        steps with this one (N,) int64.
    """
    count, program, chosen = len(state), packed.by_latent, _NO_ACTIONS
    if latents is None:
        program, chosen, moved = packed.by_action, actions.numpy(), np.zeros((count, packed.latent_action), np.float32)
    else:
        moved = latents.detach().numpy()
    arrays = map(np.ascontiguousarray, (state.detach().numpy(), moved, chosen, steps.numpy()))
    following, reward = np.empty(state.shape, np.float32), np.empty(count, np.float32)
    ends, counted = np.empty((2, count), np.bool_), np.empty(count, np.int64)
    _advance(program, packed.weights, packed.values, packed.layout, numbers, *arrays, following, reward, ends, counted)
    latents = torch.from_numpy(moved) if latents is None else latents
    following, reward, terminated, truncated, counted = map(
        torch.from_numpy, (following, reward, ends[0], ends[1], counted)
    )
    return following, latents, reward, terminated, truncated, counted
