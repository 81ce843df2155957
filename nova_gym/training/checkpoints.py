"""The file that training goes on from after an interruption."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from nova_gym.errors import BadInputError
from nova_gym.files import write_atomically
from nova_gym.model.world_model import WorldModel
from nova_gym.tensor_file import first_line


def read_checkpoint(
    checkpoint: Path, of_model: WorldModel, of_run: dict[str, Any], stages: Iterable[str]
) -> dict[str, Any]:
    """A checkpoint, after a look at whether a run can go on from it.

    Args:
        checkpoint: the file.
        of_model: the model that goes on.
        of_run: the fingerprint of the run that goes on.
        stages: names of the stages.

    Returns:
        `Loop`'s snapshot.

    Raises:
        BadInputError: the checkpoint is missing or damaged, or belongs to another run.
    """
    if not checkpoint.exists():
        raise BadInputError(f"nothing to resume: {checkpoint} does not exist")
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        fingerprint, model = saved["fingerprint"], saved["model"]
        begun = set(saved["finished"]) | {(saved["current"] or {}).get("name")}
        fitting = [(key, tuple(value.shape)) for key, value in of_model.state_dict().items()]
        whole = [(key, tuple(model[key].shape)) for key, _ in fitting] == fitting and len(model) == len(fitting)
        if saved["current"] and not {"optimizer", "step", "mean", "rate", "seconds"} <= saved["current"].keys():
            raise ValueError("it does not say how far its stage has come")
        saved = {**saved, "kept": saved.get("kept", {}), "seconds": float(saved.get("seconds", 0.0))}
    except Exception as error:
        raise BadInputError(f"{checkpoint} is not a checkpoint of nova-gym: {first_line(error)}") from error
    ahead = {key for key in stages if key not in begun}  # recipes of stages to come may still change
    differing = [key for key, value in of_run.items() if fingerprint.get(key) != value and key not in ahead]
    if differing:
        raise BadInputError(
            f"{checkpoint} belongs to another run (it differs in {', '.join(differing)}); "
            "resume with the options it was started with, or train without --resume"
        )
    if not whole:
        raise BadInputError(f"{checkpoint} belongs to another model")
    return saved


def write_checkpoint(checkpoint: Path, snapshot: dict[str, Any]) -> None:
    """Writes a snapshot to the checkpoint.

    Raises:
        BadInputError: it cannot be written.
    """
    with write_atomically(checkpoint) as temporary:
        try:
            torch.save(snapshot, temporary)
        except RuntimeError as error:  # PyTorch's error for a full disk
            raise OSError(str(error)) from error
