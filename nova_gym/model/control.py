"""The generative control model (GCM): what happens next, from what happened so far.

A sequence model over pairs (z_τ, u_τ), τ < t, that answers the query z_t with u_t (arXiv 2605.06298, the generative
control model). In a field it is a convolutional recurrent unit (arXiv 1511.06432): each cell has its memory, which sees
its neighbours. The memory is of fixed size, so a step costs the same at any length.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nova_gym.model.config import ModelConfig

#: How much less a state counts in the average of the last ones with each step.
FADING = 0.9


class Memory(NamedTuple):
    """What happened so far.

    Attributes:
        hidden: (layers, B, hidden, rows, cols) float32, all but the last latent action.
        latent_action: (B, U, rows, cols) float32, that one.
        past: (B, K + 1, rows, cols) float32, the sum of all states, each counting `FADING` times less than the one
            after it, and how many they count as; (B, 0, rows, cols) in a model that hears no average.
    """

    hidden: Tensor
    latent_action: Tensor
    past: Tensor


class Control(nn.Module):
    """A stack of convolutional gated recurrent units over fields of pairs, and an answer to a query.

    Much of what comes next is linear in the query, in the last latent action and in how far the query is from the
    average of the last states, in a neighbourhood. That part of the answer is computed from the recording in closed
    form, and the recurrent units are trained on what it leaves.

    Shapes: B batch, T steps, K state, U latent action, all float32.

    Attributes:
        spread: (U,) float32, the root mean square of latent actions in the recording. Most are far smaller than the
            largest, which is 1; divided by their spread, they are of the size that networks learn well.
        linear: (U, 2 K + U, reach, reach) and `constant` (U,) float32, the linear part, in latent actions divided by
            their spread; zeros before training, None in a model without that part, and (U, K + U, reach, reach) in one
            that hears no average.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes, reach = config.control, config.reach
        self.hidden, around = sizes.hidden, reach // 2
        pair = config.rank + config.latent_action
        inputs = [pair, *[sizes.hidden] * (sizes.layers - 1)]
        self.gates = nn.ModuleList(
            nn.Conv2d(count + sizes.hidden, 2 * sizes.hidden, reach, padding=around) for count in inputs
        )
        self.news = nn.ModuleList(
            nn.Conv2d(count + sizes.hidden, sizes.hidden, reach, padding=around) for count in inputs
        )
        self.first = nn.Conv2d(sizes.layers * sizes.hidden + config.rank, sizes.hidden, reach, padding=around)
        self.last = nn.Conv2d(sizes.hidden, config.latent_action, 1)
        self.register_buffer("spread", torch.ones(config.latent_action))
        linear, self.averaged = sizes.linear, config.rank if sizes.linear and sizes.average else 0
        shape = config.latent_action, pair + self.averaged, reach, reach
        self.register_buffer("linear", torch.zeros(shape) if linear else None)
        self.register_buffer("constant", torch.zeros(config.latent_action) if linear else None)

    def reset(self, batch: int, cells: tuple[int, int]) -> Memory:
        """An empty memory for `batch` dreams of (rows, cols) cells, on the model's device."""
        zeros, past = self.last.weight.new_zeros, self.averaged + 1 if self.averaged else 0
        sizes = self.last.out_channels, past
        hidden = zeros(len(self.gates), batch, self.hidden, *cells)
        return Memory(hidden, *(zeros(batch, size, *cells) for size in sizes))

    def restart(self, memory: Memory, rows: Tensor) -> Memory:
        """The memory with some dreams emptied; `rows` (B,) bool says which."""
        empty = rows[:, None, None, None]
        return Memory(*(part.masked_fill(empty, 0.0) for part in memory))

    def listen(self, memory: Memory, state: Tensor) -> Memory:
        """The memory after the states (B, K, rows, cols) that the last latent action led to."""
        inputs, after = self.pair(state, memory.latent_action), []
        for before, gates, news in zip(memory.hidden, self.gates, self.news, strict=True):
            keep, reset = gates(torch.cat([inputs, before], dim=1)).sigmoid().chunk(2, dim=1)
            inputs = keep * before + (1.0 - keep) * news(torch.cat([inputs, reset * before], dim=1)).tanh()
            after.append(inputs)
        return Memory(torch.stack(after), memory.latent_action, self.average(memory.past, state))

    def average(self, past: Tensor, state: Tensor) -> Tensor:
        """`Memory.past` after another state."""
        return FADING * past + F.pad(state, (0, 0, 0, 0, 0, 1), value=1.0) if self.averaged else past

    def pair(self, state: Tensor, latent_action: Tensor) -> Tensor:
        """(B, K + U, rows, cols): states and the latent actions that led to them, divided by their spread.

        Contiguous whatever the inputs are, so that equal ones are convolved alike to the last bit.
        """
        return torch.cat([state, latent_action / self.spread[:, None, None]], dim=1).contiguous()

    def told(self, heard: Memory, state: Tensor) -> Tensor:
        """What the linear part sees: the pair, and how far the average of the last states is from the query.

        Arguments as those of `answer`; the recurrent units' memory does not matter.
        """
        pair = self.pair(state, heard.latent_action)
        return torch.cat([pair, heard.past[:, :-1] / heard.past[:, -1:] - state], dim=1) if self.averaged else pair

    def answer(self, heard: Memory, state: Tensor) -> Tensor:
        """The latent actions (B, U, rows, cols) that follow in states (B, K, rows, cols) which were listened to.

        Args:
            heard: what `listen` gave.
            state: the query.
        """
        answer = self.last(F.gelu(self.first(torch.cat([*heard.hidden, state], dim=1))))
        if self.linear is not None:
            around = self.linear.shape[-1] // 2
            answer = answer + F.conv2d(self.told(heard, state), self.linear, self.constant, padding=around)
        return self.spread[:, None, None] * answer

    def encode(self, memory: Memory, state: Tensor, latent_action: Tensor) -> Memory:
        """The memory after the pair of states (B, K, rows, cols) and latent actions (B, U, rows, cols)."""
        return self.listen(memory, state)._replace(latent_action=latent_action)

    def decode(self, memory: Memory, state: Tensor) -> Tensor:
        """The latent actions (B, U, rows, cols) that follow in states (B, K, rows, cols)."""
        return self.answer(self.listen(memory, state), state)
