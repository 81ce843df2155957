"""What policies read of an observation: fields of any size, or pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F

from nova_gym.agents.distances import Distances

#: Logarithms of the smallest and the largest `source`, a cell's own distance, and the largest cost of a cell.
NEAREST, FARTHEST, DEAREST = -2.0, 6.0, 100.0
#: How much larger the score of the cell that the agent looks at is than those of the others.
SHARPNESS = 12.0
#: Distances are also told as `exp(-d / range)`, which stays within what training showed in larger grids.
RANGES = (8.0, 32.0)
#: Features beyond this are clipped, as a lost dream has them.
LIMIT = 10.0


class FieldFeatures(BaseFeaturesExtractor):
    """Features of a field of any size: what lies around the cell that the agent looks at, and which way is shorter.

    Three linear readings of each cell's state say where to look (a softmax over all cells), what is worth going to, and
    how hard a cell is to enter. From the last two follow the `Distances` of all cells. The features are the states and
    relative distances in the 3 × 3 cells around the point looked at, and the largest values of a small embedding over
    all cells. None of this knows the size of the field, so an agent trained on 9 × 9 cells can act on 19 × 19.

    Args:
        observation_space: (K, rows, cols) float32.
        readings: `looked_at`, `worth` and `enterable`, K weights and a bias each, to begin with, as `Roaming` finds
            them in the dream; training goes on from there. None for small random weights.
        width: features in the output.
        embedded: length of the embedding.
        more: features that a subclass adds (`_more`).
    """

    #: Whether a policy on these features can act on observations of another size.
    any_size = True

    def __init__(
        self,
        observation_space: spaces.Box,
        readings: Mapping[str, Sequence[float]] | None = None,
        width: int = 64,
        embedded: int = 16,
        more: int = 0,
    ) -> None:
        super().__init__(observation_space, width)
        rank = observation_space.shape[0]
        given = 0.1 * torch.randn(3, rank + 1)
        if readings is not None:
            given = torch.tensor([readings[name] for name in ("looked_at", "worth", "enterable")], dtype=torch.float32)
        self.readings = nn.Parameter(given)  # no `nn.Linear`, which SB3 would initialise anew
        self.embedding = nn.Sequential(nn.Linear(rank, embedded), nn.ReLU())
        self.last = nn.Sequential(
            nn.Linear(9 * (rank + 1) + len(RANGES) + embedded + more, width), nn.LayerNorm(width), nn.ReLU()
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Fields (B, K, rows, cols) float32 → features (B, width) float32."""
        count, _, rows, cols = observations.shape
        cells = observations.clamp(-LIMIT, LIMIT).flatten(2).transpose(1, 2).contiguous()
        looked_at, worth, enterable = F.linear(cells, self.readings[:, :-1], self.readings[:, -1]).unbind(-1)
        distances = self._distances(worth, enterable, rows, cols)
        look = (SHARPNESS * looked_at).softmax(1).view(count, rows, cols)
        # what a cell's neighbour in some direction holds, weighted by `look`, is what the cell holds, weighted by
        # `look` moved there; beyond the border distances are the largest and states 0
        moved = F.pad(look, (1, 1, 1, 1))
        moved = torch.stack(
            [moved[:, 2 - y : 2 - y + rows, 2 - x : 2 - x + cols] for y in range(3) for x in range(3)], 1
        )
        far = math.exp(FARTHEST)
        seen = moved.flatten(2) @ torch.cat([distances.unsqueeze(-1) - far, cells], 2)
        around = seen[..., 0] + far
        here = around[:, 4:5]
        near = [(-here / scale).exp() for scale in RANGES]
        anywhere = self.embedding(cells).amax(1)
        around, more = F.softsign(around - here), self._more(cells)
        return self.last(torch.cat([around, seen[..., 1:].flatten(1), *near, anywhere, *more], 1))

    def _more(self, cells: Tensor) -> list[Tensor]:
        """More features (B, n) of all cells (B, rows · cols, K)."""
        return []

    @staticmethod
    def _distances(worth: Tensor, enterable: Tensor, rows: int, cols: int) -> Tensor:
        """Worth 1 and 0 mean distances of 1 and e⁶ without a way; entering costs 1 / `enterable`. All (B, cells)."""
        source = (FARTHEST * (1.0 - worth)).clamp(NEAREST, FARTHEST).exp()
        cost = 1.0 / enterable.clamp(1.0 / DEAREST, 1.0)
        found = Distances.apply(*(each.T.reshape(rows, cols, -1).contiguous() for each in (source, cost)))
        return found.view(rows * cols, -1).T


class PlacedFeatures(FieldFeatures):
    """`FieldFeatures`, and a small embedding of each cell in its place: for fields of one size and few layouts.

    There, where something is says what to do, though nothing around it shows that: the ice of a frozen lake looks the
    same everywhere.

    Args:
        observation_space, readings, width, embedded: as in `FieldFeatures`.
        placed: length of the embedding of a cell.
    """

    any_size = False

    def __init__(
        self,
        observation_space: spaces.Box,
        readings: Mapping[str, Sequence[float]] | None = None,
        width: int = 64,
        embedded: int = 16,
        placed: int = 4,
    ) -> None:
        rank, rows, cols = observation_space.shape
        super().__init__(observation_space, readings, width, embedded, placed * rows * cols)
        self.placed = nn.Sequential(nn.Linear(rank, placed), nn.ReLU(), nn.Flatten())

    def _more(self, cells: Tensor) -> list[Tensor]:
        return [self.placed(cells)]


class WholeFeatures(BaseFeaturesExtractor):
    """The numbers of a field of one cell, as they are."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, math.prod(observation_space.shape))

    def forward(self, observations: Tensor) -> Tensor:
        """Fields (B, K, 1, 1) float32 → features (B, K) float32."""
        return observations.clamp(-LIMIT, LIMIT).flatten(1)


class PatchCNN(BaseFeaturesExtractor):
    """Features of pixels, far cheaper than SB3's `NatureCNN`: 8×8 patches, two 3×3 convolutions, one linear layer.

    Args:
        observation_space: (C, H, W) uint8, at least 8 pixels a side.
        features_dim: length of the output.
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        self.patches = nn.Sequential(
            nn.Conv2d(observation_space.shape[0], 32, 8, stride=8),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            length = self.patches(torch.zeros(1, *observation_space.shape)).shape[1]
        self.linear = nn.Sequential(nn.Linear(length, features_dim), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        """Frames (B, C, H, W) float32 in [0, 1] → features (B, features_dim) float32."""
        return self.linear(self.patches(observations))
