"""What a stage of training is."""

from __future__ import annotations

from typing import ClassVar

from torch import Generator, Tensor, nn

from nova_gym.data import Clips
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import Recipe

Batch = dict[str, Tensor]
Metrics = dict[str, Tensor]


class Stage(nn.Module):
    """One stage: it trains some parts of the model, and everything else stays frozen.

    A loss goes through the model's own methods. Only a stage that trains what no method gives looks into a part, and
    only into those that it trains: `self.parts` holds them.

    A batch is a function of a generator, of how far the stage is and of its memory, so a resumed run sees the data it
    would have seen.

    Attributes:
        name: by which checkpoints, curves and cards know it.
        trains: the parts that it trains, by their names in `WorldModel.part`; one that the model lacks is left out.
        parts: these parts by name.
        memory: tensors on the CPU that one step leaves to the next, kept in checkpoints; replaced, never changed.
    """

    name: ClassVar[str]
    trains: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: WorldModel, clips: Clips | None, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self._whole = (model,)  # a tuple hides it from PyTorch's registry of submodules
        found = {name: model.part(name) for name in self.trains}
        self.parts = nn.ModuleDict({name: part for name, part in found.items() if part is not None})
        self.clips = clips
        self.memory: dict[str, Tensor] = {}

    @property
    def model(self) -> WorldModel:
        """The whole world model, frozen but for the parts that this stage trains."""
        return self._whole[0]

    def batch(self, generator: Generator, progress: float) -> Batch:
        """Draws one batch, on the CPU; `progress` goes from 0 to 1 over the stage."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """The loss of a batch, and scalars to log."""
        raise NotImplementedError

    def pictures(self) -> Tensor:
        """(n, C, H, W) float32 pairs to look at, truth above what the model makes of it."""
        raise NotImplementedError
