"""The generative control model (GCM): what happens next, from what happened so far.

A sequence model over pairs (z_τ, u_τ), τ < t, that answers the query (z_t, 0) with u_t (arXiv 2605.06298, the
generative control model). Its memory is a tuple of tensors (layers or 1, B, …) whose size does not grow, so a step
costs the same at any length.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nova_gym.model.config import CONTROLS, ModelConfig
from nova_gym.model.mlp import ResidualMLP

Memory = tuple[Tensor, ...]


class Control(nn.Module):
    """What both kinds share: `reset`, `encode` a pair, `decode` the next latent action; `forward` does a whole clip.

    Shapes: B batch, T steps, K state, U latent action, all float32.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.length, hidden = config.latent_action, config.control.hidden
        self.pair = nn.Linear(config.rank + config.latent_action, hidden)
        self.answer = ResidualMLP(hidden + config.rank, config.latent_action, hidden, 2)

    def reset(self, batch: int) -> Memory:
        """A memory in which nothing has happened yet, on the model's device."""
        raise NotImplementedError

    def restart(self, memory: Memory, rows: Tensor) -> Memory:
        """The memory, in which nothing has happened yet in the rows that are chosen, (B,) bool."""
        fresh = self.reset(len(rows))
        return tuple(
            torch.where(rows.view(1, -1, *[1] * (old.ndim - 2)), new, old)
            for new, old in zip(fresh, memory, strict=True)
        )

    def encode(self, memory: Memory, state: Tensor, latent_action: Tensor) -> Memory:
        """The memory after the pair of states (B, K) and latent actions (B, U)."""
        raise NotImplementedError

    def decode(self, memory: Memory, state: Tensor) -> Tensor:
        """The latent actions (B, U) that follow in states (B, K)."""
        raise NotImplementedError

    def forward(self, states: Tensor, latent_actions: Tensor) -> Tensor:
        """Predictions for all steps of clips, each from the steps before it: (B, T, K), (B, T, U) → (B, T, U)."""
        raise NotImplementedError

    def _pair(self, state: Tensor, latent_action: Tensor) -> Tensor:
        return self.pair(torch.cat([state, latent_action], dim=-1))

    def _query(self, state: Tensor) -> Tensor:
        return self._pair(state, state.new_zeros(*state.shape[:-1], self.length))

    def _answer(self, hidden: Tensor, state: Tensor) -> Tensor:
        return self.answer(torch.cat([hidden, state], dim=-1))


class RecurrentControl(Control):
    """LSTM or GRU over pairs; what it gave last answers the query."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        kind = nn.LSTM if config.control.kind == "lstm" else nn.GRU
        self.network = kind(config.control.hidden, config.control.hidden, config.control.layers, batch_first=True)

    def reset(self, batch: int) -> Memory:
        shape = (self.network.num_layers, batch, self.network.hidden_size)
        empty = self.pair.weight.new_zeros(shape)
        return (empty, empty) if isinstance(self.network, nn.LSTM) else (empty,)

    def encode(self, memory: Memory, state: Tensor, latent_action: Tensor) -> Memory:
        _, after = self.network(self._pair(state, latent_action)[:, None], memory if len(memory) == 2 else memory[0])
        return after if len(memory) == 2 else (after,)

    def decode(self, memory: Memory, state: Tensor) -> Tensor:
        return self._answer(memory[0][-1] + self._query(state), state)

    def forward(self, states: Tensor, latent_actions: Tensor) -> Tensor:
        after, _ = self.network(self._pair(states, latent_actions))
        before = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)
        return self._answer(before + self._query(states), states)


class _Attention(nn.Module):
    """One block of the transformer: attention to what is remembered, then two layers, both residual.

    Positions are learned, one number a head for each age from 0 (the query itself) to the window: what is remembered
    need not be computed anew when it grows older.
    """

    def __init__(self, hidden: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(hidden)
        self.project = nn.Linear(hidden, 3 * hidden)
        self.ages = nn.Parameter(torch.zeros(heads, window + 1))
        self.join = nn.Linear(hidden, hidden)
        self.layers = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden)
        )

    def parts(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, hidden) → query, key and value, each (B, heads, T, hidden / heads)."""
        return tuple(
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.project(self.before(inputs)).chunk(3, dim=-1)
        )

    def forward(self, inputs: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Inputs (B, T, hidden), their queries, what they attend to, and the (…, T, S) bias → (B, T, hidden)."""
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        hidden = inputs + self.join(seen.transpose(1, 2).flatten(2))
        return hidden + self.layers(hidden)


class TransformerControl(Control):
    """Causal transformer with a window; it remembers keys and values of the last pairs, newest last, and how many.

    A pair attends to itself and to pairs before it, a query to itself and to all pairs before it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        sizes = config.control
        self.window, self.width = sizes.window, sizes.hidden // sizes.heads
        self.blocks = nn.ModuleList(_Attention(sizes.hidden, sizes.heads, sizes.window) for _ in range(sizes.layers))

    def reset(self, batch: int) -> Memory:
        heads = self.blocks[0].heads
        shape = (len(self.blocks), batch, heads, self.window, self.width)
        empty = self.pair.weight.new_zeros(shape)
        return empty, empty, torch.zeros(1, batch, dtype=torch.int64, device=empty.device)

    def encode(self, memory: Memory, state: Tensor, latent_action: Tensor) -> Memory:
        _, keys, values = self._attend(memory, self._pair(state, latent_action))
        return (
            torch.cat([memory[0], keys], dim=3)[:, :, :, 1:],
            torch.cat([memory[1], values], dim=3)[:, :, :, 1:],
            (memory[2] + 1).clamp(max=self.window),
        )

    def decode(self, memory: Memory, state: Tensor) -> Tensor:
        return self._answer(self._attend(memory, self._query(state))[0], state)

    def forward(self, states: Tensor, latent_actions: Tensor) -> Tensor:
        steps = states.shape[1]
        hidden = torch.cat([self._pair(states, latent_actions), self._query(states)], dim=1)
        time = torch.arange(steps, device=states.device)
        age = time[:, None] - time  # (T, T): how long ago each pair was
        for block in self.blocks:
            query, key, value = block.parts(hidden)
            bias = block.ages[:, age.clamp(0, self.window)]  # (heads, T, T)
            outside = (age < 0) | (age > self.window)
            pairs = bias.masked_fill(outside, -torch.inf)
            itself = torch.where(time[:, None] == time, block.ages[:, :1, None], -torch.inf)
            nothing = torch.full_like(pairs, -torch.inf)
            earlier = bias.masked_fill(outside | (age == 0), -torch.inf)
            rows = torch.cat([torch.cat([pairs, nothing], dim=2), torch.cat([earlier, itself], dim=2)], dim=1)
            hidden = block(hidden, query, key, value, rows)
        return self._answer(hidden[:, steps:], states)

    def _attend(self, memory: Memory, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step: inputs (B, hidden) → what the last block gives (B, hidden), and all keys and values of the step."""
        hidden, keys, values = inputs[:, None], [], []
        age = torch.arange(self.window, -1, -1, device=inputs.device)
        unknown = (age > memory[2][0, :, None])[:, None, None]  # (B, 1, 1, window + 1)
        for index, block in enumerate(self.blocks):
            query, key, value = block.parts(hidden)
            bias = block.ages[:, None, age].masked_fill(unknown, -torch.inf)
            seen = (torch.cat([old[index], new], dim=2) for old, new in ((memory[0], key), (memory[1], value)))
            hidden = block(hidden, query, *seen, bias)
            keys.append(key)
            values.append(value)
        return hidden[:, 0], torch.stack(keys), torch.stack(values)


def make_control(config: ModelConfig) -> Control:
    """The generative control model that `config.control` describes.

    Raises:
        ValueError: there is no such kind, or the transformer's heads do not divide its units.
    """
    sizes = config.control
    if sizes.kind not in CONTROLS:
        raise ValueError(f"unknown kind of control {sizes.kind!r}; there are {', '.join(CONTROLS)}")
    if sizes.kind == "transformer" and sizes.hidden % sizes.heads:
        raise ValueError(f"{sizes.heads} heads do not divide {sizes.hidden} units")
    return TransformerControl(config) if sizes.kind == "transformer" else RecurrentControl(config)
