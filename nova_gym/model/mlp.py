"""The network that A, B, the inverse dynamics and the action bridge are made of."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualMLP(nn.Module):
    """A residual network: `first`, then `depth` blocks `h + W₂ GELU(W₁ LayerNorm(h))`, then `last`.

    As the action bridge it learns where walls are far better than a plain GELU network in the same number of steps.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden))
            for _ in range(depth)
        )
        self.last = nn.Linear(hidden, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs), float32."""
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden)
