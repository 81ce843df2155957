"""Training one part of a dream anew on a recording; all other parts stay the same to the last bit."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict, replace
from typing import Any

import torch

from nova_gym.data import Clips
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.model.config import ControlConfig, ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training.doubt import teach_doubt
from nova_gym.training.fine_tuning import check_recording, repacked
from nova_gym.training.freed_memory import keep_freed_memory
from nova_gym.training.loop import Loop, Run
from nova_gym.training.presets import Preset, Recipe
from nova_gym.training.representation import encode_all
from nova_gym.training.train import digest, train_codebook, train_control

#: Parts that can be trained by themselves: no other part depends on them.
PARTS = ("codebook", "control", "doubt")
#: Number of codes in a new codebook, if neither preset nor dream says how many.
CODES = 64


def train_part(dream: Dream, part: str, clips: Clips, dataset_id: str, preset: Preset, run: Run) -> Dream:
    """Gives a dream a new codebook, control model or doubt.

    Args:
        dream: left as it is; it may lack that part, or actions.
        part: one of `PARTS`.
        clips: a recording of the same environment or video as the dream's; labels are needed for doubt alone.
        dataset_id: their name, for the card.
        preset: size and recipe of the part, and the seed.
        run: where and how.

    Returns:
        The dream with the new part, on the CPU. Its scores are kept.

    Raises:
        BadInputError: there is no such part, the preset has no recipe for it, the clips do not fit the dream, or the
            checkpoint to resume from is missing or belongs to another run.
        KeyboardInterrupt: training was interrupted; a checkpoint was written first.
    """
    if part not in PARTS:
        raise BadInputError(f"stage {part!r} cannot be trained by itself; {', '.join(PARTS)} can")
    check_recording(clips, dream, dataset_id, labels=part == "doubt")
    if part == "doubt":
        taught = teach_doubt(dream, [clips], preset.training.seed)
        return with_part(taught, taught.world_model, part, {"dataset": dataset_id, "frames": len(clips.frames)})
    keep_freed_memory()
    training = preset.training
    recipe = _recipe(preset, part)
    if part == "control" and recipe is None:
        raise BadInputError(f"preset {preset.name!r} has no recipe for {part}: take another preset")
    model = _with_new_part(dream.world_model, part, preset).to(run.find_device())
    fingerprint = {
        "part": part,
        "dream": weights_digest(dream),
        "dataset": dataset_id,
        "clips": digest(clips),
        "model": repr(model.config),
        "seed": training.seed,
        "recipe": repr(recipe),
        "precision": run.precision,
    }
    loop = Loop(model, training.seed, run, fingerprint)
    loop.resume()
    states = encode_all(model, clips, lambda done, total: run.progress("encoding", min(done, total), total, ""))
    with loop.curves():
        if part == "control":
            train_control(loop, clips, states, training)
        else:
            train_codebook(loop, clips, states)
    made = {"dataset": dataset_id, "frames": len(clips.frames), "seed": training.seed, **loop.finished[part]}
    return with_part(dream, model, part, made | ({"recipe": asdict(recipe)} if recipe else {}))


def _recipe(preset: Preset, part: str) -> Recipe | None:
    return preset.training.control if part == "control" else None


def with_part(dream: Dream, model: WorldModel, part: str, made: dict[str, Any]) -> Dream:
    """The dream with a model that has a new part, on the CPU; its card keeps `made`, how the part was trained."""
    card = copy.deepcopy(dream.card)
    card.training["parts"] = {**card.training.get("parts", {}), part: made}
    return repacked(dream, model, card)


def weights_digest(dream: Dream) -> str:
    """SHA-256 of all weights, by which a checkpoint recognises the dream that it was started from."""
    summed = hashlib.sha256()
    for name, value in dream.world_model.state_dict().items():
        summed.update(name.encode() + value.cpu().numpy().tobytes())
    return summed.hexdigest()


def _with_new_part(model: WorldModel, part: str, preset: Preset) -> WorldModel:
    """A copy in which the part has the preset's sizes and new weights."""
    if part == "control":
        config = replace(model.config, control=preset.model.control or ControlConfig())
    else:
        config = replace(model.config, codes=preset.model.codes or model.config.codes or CODES)
    return refitted(model, config, part, preset.training.seed)


def refitted(model: WorldModel, config: ModelConfig, part: str, seed: int) -> WorldModel:
    """A copy in which one part has the sizes of `config` and new weights."""
    fresh = WorldModel(config, torch.Generator().manual_seed(seed))
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith(f"{part}.")}
    fresh.load_state_dict(kept, strict=False)
    return fresh
