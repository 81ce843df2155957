"""Curves and pictures of training, for TensorBoard."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from nova_gym.errors import BadInputError
from nova_gym.tensor_file import first_line


class Curves:
    """Writes curves and pictures to a folder, until it is closed.

    Args:
        folder: made if need be.

    Raises:
        BadInputError: nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._writer = SummaryWriter(str(folder))
        except (OSError, ValueError) as error:
            raise BadInputError(f"curves cannot be written to {folder}: {first_line(error)}") from error

    def close(self) -> None:
        """Writes what is left to write."""
        self._writer.close()

    def add_scalars(self, stage: str, scalars: dict[str, float], step: int) -> None:
        """Adds a point to each curve of a stage."""
        for key, value in scalars.items():
            self._writer.add_scalar(f"{stage}/{key}", value, step)

    def add_pictures(self, stage: str, pictures: Tensor, step: int) -> None:
        """Adds pictures as `Stage.pictures` gives them."""
        pictures = pictures.clamp(0, 1)
        half = len(pictures) // 2
        rows = [torch.cat(list(row), dim=2) for row in (pictures[:half], pictures[half:])]
        self._writer.add_image(f"{stage}/truth above, model below", torch.cat(rows, dim=1), step)
