"""What a stage of training is."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from nova_gym.data import Clips
from nova_gym.model.config import Recipe
from nova_gym.model.world_model import WorldModel

Batch = dict[str, Tensor]
Metrics = dict[str, Tensor]


class Stage(nn.Module):
    """One stage: the modules it trains are its submodules, everything else stays frozen.

    A batch is a function of a generator, of how far the stage is and of its memory, so a resumed run sees the data it
    would have seen.

    Attributes:
        memory: tensors on the CPU that one step leaves to the next, kept in checkpoints; replaced, never changed.
    """

    name: str

    def __init__(self, model: WorldModel, clips: Clips | None, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self._frozen = (model,)  # a tuple hides it from PyTorch's registry of submodules
        self.clips = clips
        self.memory: dict[str, Tensor] = {}

    @property
    def model(self) -> WorldModel:
        """The whole world model, frozen but for this stage's submodules."""
        return self._frozen[0]

    def batch(self, generator: Generator, progress: float) -> Batch:
        """Draws one batch, on the CPU; `progress` goes from 0 to 1 over the stage."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """The loss of a batch, and scalars to log."""
        raise NotImplementedError

    def pictures(self) -> Tensor:
        """(n, C, H, W) float32 pairs to look at, truth above what the model makes of it."""
        raise NotImplementedError
