"""One part of a dream trained anew on a recording, everything else left to the last bit."""

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
from nova_gym.training.control import ControlStage
from nova_gym.training.fine_tuning import check_recording, repacked
from nova_gym.training.loop import Loop, Run, keep_freed_memory
from nova_gym.training.presets import Preset, TrainingConfig
from nova_gym.training.rendering import Rendering
from nova_gym.training.representation import encode_all
from nova_gym.training.train import digest, train_codebook

#: Parts that can be trained by themselves: no other part depends on them.
PARTS = ("rendering", "codebook", "control")
#: Codes of a new codebook where neither preset nor dream says how many.
CODES = 256


def train_part(dream: Dream, part: str, clips: Clips, dataset_id: str, preset: Preset, run: Run) -> Dream:
    """Gives a dream a new codebook or control model, or a better renderer.

    Args:
        dream: left as it is; with or without labels, and with or without that part.
        part: one of `PARTS`.
        clips: of what the dream is of; labels do not matter.
        dataset_id: their name, for the card.
        preset: size and recipe of the part, and the seed.
        run: where and how.

    Returns:
        The dream with the new part, on the CPU. Its scores stay unless its renderer is new, which they measure too.

    Raises:
        BadInputError: there is no such part, the preset has no recipe for it, the clips are of something else, or the
            checkpoint to resume from is missing or belongs to another run.
        KeyboardInterrupt: as it came in, after a checkpoint was written.
    """
    if part not in PARTS:
        raise BadInputError(f"stage {part!r} cannot be trained by itself; {', '.join(PARTS)} can")
    check_recording(clips, dream, dataset_id)
    keep_freed_memory()
    training = preset.training
    recipe = getattr(training, part)
    if recipe is None:
        raise BadInputError(f"preset {preset.name!r} has no recipe for {part}: take another preset")
    model = _with_new_part(dream.world_model, part, preset).to(run.find_device())
    fingerprint = {
        "part": part,
        "dream": weights_digest(dream),
        "dataset": dataset_id,
        "clips": digest(clips),
        "model": repr(model.config),
        "seed": training.seed,
        "recipe": repr((recipe, training.near, training.pixels, training.margin)),
        "precision": run.precision,
    }
    loop = Loop(model, training.seed, run, fingerprint)
    loop.resume()
    states = encode_all(model, clips, lambda done, total: run.progress("encoding", min(done, total), total, ""))
    with loop.curves():
        _train(loop, part, clips, states, training)
    made = {
        "dataset": dataset_id,
        "frames": len(clips.frames),
        "seed": training.seed,
        "recipe": asdict(recipe),
        **loop.finished[part],
    }
    packed = with_part(dream, model, part, made)
    if part == "rendering":
        packed.card.scores = {}
    return packed


def with_part(dream: Dream, model: WorldModel, part: str, made: dict[str, Any]) -> Dream:
    """The dream with another model, whose new part was made as `made` says, which its card keeps; on the CPU."""
    card = copy.deepcopy(dream.card)
    card.training["parts"] = {**card.training.get("parts", {}), part: made}
    return repacked(dream, model, card)


def _train(loop: Loop, part: str, clips: Clips, states: torch.Tensor, training: TrainingConfig) -> None:
    model = loop.model
    if part == "rendering":
        loop.train(Rendering(model, clips, states, training))
    elif part == "control":
        loop.train(ControlStage(model, clips, states, training))
    else:
        train_codebook(loop, clips, states, training)
        with torch.no_grad():
            model.part("codebook").codes.clamp_(-1.0, 1.0)


def weights_digest(dream: Dream) -> str:
    """SHA-256 of all weights: a checkpoint goes on from those of one dream."""
    summed = hashlib.sha256()
    for name, value in dream.world_model.state_dict().items():
        summed.update(name.encode() + value.cpu().numpy().tobytes())
    return summed.hexdigest()


def _with_new_part(model: WorldModel, part: str, preset: Preset) -> WorldModel:
    """A copy whose part has new weights, sized by the preset; the renderer goes on from those that it has."""
    if part == "rendering":
        return copy.deepcopy(model)
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
