"""States that can be foreseen: what the pictures alone do not ask of an encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Frames that a window has: from all but the last, and the actions, the last is foreseen.
WINDOW = 4
#: What it costs that the whole change of a state comes as a surprise, as a share of the picture's loss.
WEIGHT = 1.0
#: Units of the network.
HIDDEN = 128


class Foresight(nn.Module):
    """Foresees the next state of a network that draws the whole frame, while the encoder learns; then it is dropped.

    Many states draw a picture equally well, and pictures alone leave it open which of them an encoder takes. It then
    takes ones that jump where a thing moves evenly, and no dynamics can learn that. With this loss beside that of the
    pictures, the encoder keeps to states whose changes follow from earlier states and actions.

    Args:
        rank: numbers of a state.
        actions: numbers of an action; 0 for a video.
    """

    def __init__(self, rank: int, actions: int) -> None:
        super().__init__()
        inputs = (WINDOW - 1) * (rank + actions)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)  # so that runs repeat
            self.layers = nn.Sequential(
                nn.Linear(inputs, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, rank)
            )

    def forward(self, states: Tensor, actions: Tensor) -> Tensor:
        """The mean squared error of a foreseen change, as a share of that change.

        Args:
            states: (B, `WINDOW`, K) float32, of consecutive frames.
            actions: (B, `WINDOW` - 1, A) float32, between them.

        Returns:
            () float32, 1 for a network that knows nothing.
        """
        changes = states.diff(dim=1)
        size = changes.detach().square().mean().sqrt() + 1e-6
        spread = states.detach().std() + 1e-6
        known = [states[:, -2] / spread, (changes[:, :-1] / size).flatten(1), actions.flatten(1)]
        last = changes[:, -1]
        return (self.layers(torch.cat(known, dim=1)) * size - last).square().mean() / (last.square().mean() + 1e-12)
