"""A step of a world model as a short program with all its weights in one array, which `nova_gym.kernels.step` runs.

`nova_gym.simulator` picks it on the CPU, and its tests check it against PyTorch.
"""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import Tensor

from nova_gym.kernels.step import ADD, CHOOSE, COPY, DREAMS, GELU, HALVES, HOLD, NORMALISE, SET, advance
from nova_gym.kernels.threads import in_parts
from nova_gym.model.dynamics import ForwardDynamics
from nova_gym.model.mlp import ResidualMLP
from nova_gym.model.world_model import WorldModel

#: What of a world model a step consists of.
_PARTS = ("bridge", "forward_dynamics", "heads")
#: Dreams that a thread steps at once are a multiple of the first number; more than the second do not fit its cache.
PART = (DREAMS, 22 * DREAMS)
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
        self.layer(SET, source, hidden, network.first.weight, network.first.bias)
        for norm, first, _, second in network.blocks:
            self.rows.append((NORMALISE, hidden, normal, self.pack(norm.weight, norm.bias), units, units))
            self.layer(SET, normal, middle, first.weight, first.bias)
            self.pointwise(GELU, middle, middle, units)
            self.layer(ADD, middle, hidden, second.weight, second.bias)


class CompiledStep:
    """A step as a program, with all weights in one array, each matrix turned to the order in which they are read.

    A step of one dream takes about as long as its weights take to arrive. So they are packed in half precision if that
    loses nothing, as it does not for those of a dream's file, and the processor has an instruction to turn them back.

    Args:
        model: a world model in float32 on the CPU.
    """

    def __init__(self, model: WorldModel) -> None:
        config, heads, writer = model.config, model.heads, _Writer()
        latent = config.rank  # the columns of the work table: state, latent action, state after the step, the rest
        following = latent + config.latent_action
        free = following + config.rank
        top = free + config.head_hidden
        width = free + max(3 * config.hidden, 2 * config.head_hidden, len(config.reward_values) + 2)

        if model.bridge is not None and config.discrete:
            writer.residual(model.bridge.network, 0, free)
            last = model.bridge.network.last
            at = writer.pack(torch.cat([last.weight, last.bias[:, None]], dim=1))
            writer.rows.append((CHOOSE, free, latent, at, config.hidden, config.latent_action))
        bridge = len(writer.rows)
        writer.pointwise(COPY, 0, following, config.rank)
        dynamics = model.forward_dynamics
        for network, source in ((dynamics.content_network, 0), (dynamics.motion_network, latent)):
            writer.residual(network, source, free)
            writer.layer(ADD, free, following, network.last.weight, network.last.bias)
        writer.pointwise(HOLD, 0, following, config.rank)
        outputs = [torch.zeros(2, 1), torch.zeros(2)]  # without heads: no reward, no end
        if heads is not None:
            for layer, source, target in ((heads.trunk[0], 0, free), (heads.trunk[2], free, top)):
                writer.layer(SET, source, target, layer.weight, layer.bias)
                writer.pointwise(GELU, target, target, config.head_hidden)
            pairs = zip(heads.reward.parameters(), heads.termination.parameters(), strict=True)
            outputs = [torch.cat(pair) for pair in pairs]
        writer.layer(SET, top, free, *outputs)

        self.weights = torch.cat(writer.parts).float().numpy()
        if HALVES and ((half := self.weights.astype(np.float16)) == self.weights).all():
            self.weights = half.view(np.uint16)
        program = np.array(writer.rows, np.int64)
        self.by_action, self.by_latent = program, program[bridge:].copy()
        self.layout = (width, latent, following, free, config.actions)
        self.values = np.array(config.reward_values if heads is not None else (), np.float32)
        self.latent_action = config.latent_action
        self._model, self._tensors = model, _tensors(model)
        self._values = [tensor.detach() for tensor in self._tensors]  # held, so that no others get their addresses
        self._stamp, self._sums = self._stamp_now(), _sums(self._tensors)

    def made_of(self, model: WorldModel) -> bool:
        """Whether it was made of the very tensors that the model has now, with these values; takes a while."""
        tensors = _tensors(model)
        alike = len(tensors) == len(self._tensors) and all(map(operator.is_, tensors, self._tensors))
        return alike and _sums(tensors) == self._sums

    def current(self, model: WorldModel) -> bool:
        """Whether the tensors that it was made of are as they were; quick, since every step asks.

        Most optimisers, `load_state_dict`, other assignments in place and `parameter.data = …` are noticed. What is
        written past PyTorch's counters is not: by an optimiser with `fused=True`, or into `parameter.data`. `made_of`
        notices that.
        """
        return model is self._model and self._stamp_now() == self._stamp

    def _stamp_now(self) -> list[int]:
        """What tells whether tensors are as they were: how often each was written to, and where its values are."""
        return [*map(_VERSION, self._tensors), *map(Tensor.data_ptr, self._tensors)]

    def advance(
        self,
        state: Tensor,
        latents: Tensor | None,
        actions: Tensor | None,
        steps: Tensor,
        numbers: tuple[float, ...],
    ) -> tuple[Tensor, ...]:
        """One step of N dreams, in parts on several threads.

        Args:
            state: (N, K) float32.
            latents: (N, U) float32 latent actions, or None:
            actions: (N,) int64, through the action bridge.
            steps: (N,) int64 since the last reset.
            numbers: dead band, bound of states, discount of the reward and the horizon it refers to, horizon or 0.

        Returns:
            States after the step (N, K), latent actions (N, U), rewards (N,) float32, terminated, truncated and lost
            (N,) bool, steps with this one (N,) int64.
        """
        count, program, chosen = len(state), self.by_latent, _NO_ACTIONS
        if latents is None:
            program, chosen, moved = self.by_action, actions.numpy(), np.zeros((count, self.latent_action), np.float32)
        else:
            moved = latents.detach().numpy()
        given = map(np.ascontiguousarray, (state.detach().numpy(), moved, chosen, steps.numpy()))
        following, reward = np.empty(state.shape, np.float32), np.empty(count, np.float32)
        terminated, truncated, lost = (np.empty(count, np.bool_) for _ in range(3))
        results = following, reward, terminated, truncated, lost, np.empty(count, np.int64)
        arrays = [*given, *results]

        def work(start: int, stop: int) -> None:
            rows = (array[start:stop] for array in arrays)  # no actions have no rows
            advance(program, self.weights, self.values, self.layout, numbers, *rows)

        in_parts(work, count, *PART)
        latents = torch.from_numpy(moved) if latents is None else latents
        following, *others = map(torch.from_numpy, results)
        return following, latents, *others


def _sums(tensors: list[Tensor]) -> list[float]:
    """What tells whether tensors hold other values, however these were written."""
    return [float(tensor.detach().double().sum()) for tensor in tensors]


def _tensors(model: WorldModel) -> list[Tensor]:
    """All that a step of the model consists of."""
    parts = filter(None, map(model._modules.get, _PARTS))
    return [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]


def compiled_step(model: WorldModel, before: CompiledStep | None) -> CompiledStep | None:
    """The step of this model: `before`, if that is still it; None where it cannot be compiled, see `CompiledStep`."""
    if before is not None and before.current(model):
        return before
    if model.base.device.type != "cpu" or model.base.dtype != torch.float32 or model.base.is_inference():
        return None
    if type(model).step is not WorldModel.step or type(model.forward_dynamics) is not ForwardDynamics:
        return None  # other dynamics, as an ablation has them
    return CompiledStep(model)
