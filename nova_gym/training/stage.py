"""The base class of all stages of training."""

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

    A loss uses the model's own methods. Where these do not give what it needs, it uses a part, but only one that the
    stage trains (`self.parts`).

    A batch depends only on a generator, on the stage's progress and on its memory. So a resumed run sees the same data
    as a run without interruption.

    Attributes:
        name: the stage's name in checkpoints, curves and cards.
        trains: the parts that it trains, by their names in `WorldModel.part`; a part that the model lacks is left out.
        least: the smallest batch that a step learns well from, where time is short.
        parts: these parts by name.
        memory: tensors on the CPU that one step leaves to the next, kept in checkpoints. Steps put new tensors in it
            and do not change those that it holds.
        helpers: networks that learn with the parts and are dropped afterwards.
    """

    name: ClassVar[str]
    trains: ClassVar[tuple[str, ...]] = ()
    least: ClassVar[int] = 8

    def __init__(self, model: WorldModel, clips: Clips | None, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self._whole = (model,)  # a tuple hides it from PyTorch's registry of submodules
        found = {name: model.part(name) for name in self.trains}
        self.parts = nn.ModuleDict({name: part for name, part in found.items() if part is not None})
        self.clips = clips
        self.memory: dict[str, Tensor] = {}
        self.helpers = nn.ModuleDict()

    @property
    def model(self) -> WorldModel:
        """The whole world model, frozen but for the parts that this stage trains."""
        return self._whole[0]

    def batch(self, generator: Generator, progress: float) -> Batch:
        """Draws one batch, on the CPU; `progress` goes from 0 to 1 over the stage."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """The loss of a batch, () float32, and scalars to log by name."""
        raise NotImplementedError

    def begin(self) -> None:
        """What precedes the first step; a resumed run does not repeat it."""

    def finish(self) -> None:
        """What follows the last step."""

    def pictures(self) -> Tensor:
        """Pictures for TensorBoard, (2 n, C, H, W) float32: n true frames, then the model's versions of them."""
        raise NotImplementedError
