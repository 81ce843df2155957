"""From recorded clips to a dream: all stages in order."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch

from nova_gym.data import Clips
from nova_gym.dream import Card, Dream
from nova_gym.errors import BadInputError
from nova_gym.model.config import ControlConfig, ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training.codebook import CodebookStage, first_codes
from nova_gym.training.control import ControlStage
from nova_gym.training.dynamics import Dynamics, bound_latent_actions, dead_band, infer_all, scale_latent_actions
from nova_gym.training.grounding import Grounding
from nova_gym.training.loop import STAGES, Loop, Run, keep_freed_memory, step_generator
from nova_gym.training.presets import Preset, TrainingConfig
from nova_gym.training.rendering import Rendering
from nova_gym.training.representation import Representation, encode_all, settle_coordinates
from nova_gym.training.tuning import Tuning, wrong_transitions
from nova_gym.training.unrolling import Unrolling

#: Starts of each kind that a dream ships with, at most: agents learn from many of them, video without actions has none.
STARTS, STARTS_OF_VIDEO = 4096, 512


def train(clips: Clips, dataset_id: str, preset: Preset, run: Run) -> Dream:
    """Trains all stages that the model has parts for, and packs what comes out as a dream.

    Args:
        clips: the recording; of one without labels the dream has neither action bridge nor heads.
        dataset_id: its name, for the card.
        preset: sizes and recipes; frame size, channels, actions and reward values follow the clips.
        run: where and how.

    Returns:
        The dream, on the CPU, without scores: `nova-gym eval` measures those.

    Raises:
        BadInputError: the preset has no recipe for a stage that these clips need, or the checkpoint to resume from is
            missing or belongs to another run.
        KeyboardInterrupt: as it came in, after a checkpoint was written.
    """
    keep_freed_memory()
    config = replace(
        preset.model,
        frame_size=tuple(clips.frames.shape[2:]),
        inr=replace(preset.model.inr, channels=clips.frames.shape[1]),
        actions=clips.action_count,
        discrete=clips.discrete,
        reward_values=clips.reward_values() if clips.labelled else (),
        control=preset.model.control or (None if clips.labelled else ControlConfig()),  # video needs one
    )
    training = preset.training
    _check_recipes(preset, config)
    model = WorldModel(config, torch.Generator().manual_seed(training.seed)).to(run.find_device())
    loop = Loop(
        model,
        training.seed,
        run,
        fingerprint={
            "dataset": dataset_id,
            "actions": digest(clips),
            "precision": run.precision,
            "model": repr(config),
            "seed": training.seed,
            "representation": repr((training.representation, training.pixels, training.margin)),
            "rendering": repr((training.rendering, training.pixels, training.margin)),
            "dynamics": repr((training.dynamics, training.elsewhere)),
            "grounding": repr(training.grounding),
            "unrolling": repr((training.unrolling, training.horizon, training.near, training.elsewhere)),
            "tuning": repr((training.tuning, training.horizon, training.near, training.elsewhere)),
            "codebook": repr(training.codebook),
            "control": repr((training.control, training.near)),
        },
    )
    loop.resume()
    with loop.curves():
        states = _stages(loop, clips, training)
    return Dream(
        model.cpu().eval().requires_grad_(False),
        _starts(clips, states),
        _card(clips, states, dataset_id, preset, loop),
    )


def _check_recipes(preset: Preset, config: ModelConfig) -> None:
    """A preset must have a recipe for each stage that such a model is trained by."""
    unneeded = {
        *(() if config.actions else ("grounding", "tuning")),
        *(() if config.codes else ("codebook",)),
        *(() if config.control else ("control",)),
    }
    missing = [name for name in STAGES if name not in unneeded and getattr(preset.training, name) is None]
    if missing:
        raise BadInputError(f"preset {preset.name!r} has no recipe for {', '.join(missing)}: take another preset")


def _stages(loop: Loop, clips: Clips, training: TrainingConfig) -> torch.Tensor:
    """All stages; returns the states of all frames."""
    model = loop.model
    loop.train(Representation(model, clips, training))
    if "coordinates" not in loop.finished:
        settle_coordinates(model, clips, step_generator(loop.seed, "coordinates", 0), training.margin)
        loop.mark("coordinates")
    states = encode_all(model, clips, lambda done, total: loop.progress("encoding", min(done, total), total, ""))
    loop.train(Rendering(model, clips, states, training))
    loop.train(Dynamics(model, clips, states, training))
    if "scaling" not in loop.finished:
        scale_latent_actions(model, infer_all(model, clips, states))
        loop.mark("scaling")
    if model.has_actions and "grounding" not in loop.finished:
        latent_actions = infer_all(model, clips, states)
        loop.train(Grounding(model, clips, states, latent_actions, training))
    loop.train(Unrolling(model, clips, states, training))
    if model.has_actions:
        if "wrong" not in loop.kept:
            loop.kept["wrong"] = wrong_transitions(model, clips, states)
            loop.mark("looking for what is wrong")
        loop.train(Tuning(model, clips, states, training, loop.kept["wrong"]))
    if model.has_codebook:
        train_codebook(loop, clips, states, training)
    if "bounds" not in loop.finished:
        bound_latent_actions(model, clips, states)
        loop.mark("bounds")
    if model.has_control:
        loop.train(ControlStage(model, clips, states, training))
    return states


def train_codebook(loop: Loop, clips: Clips, states: torch.Tensor, training: TrainingConfig) -> None:
    """Chooses the first codes, then trains them."""
    if "codes" not in loop.finished:
        first_codes(loop.model, infer_all(loop.model, clips, states), step_generator(loop.seed, "codes", 0))
        loop.mark("codes")
    loop.train(CodebookStage(loop.model, clips, states, training))


def digest(clips: Clips) -> str:
    """SHA-256 of what tells recordings apart: their actions, without labels the first frames."""
    telling = clips.actions if clips.labelled else clips.frames[clips.first_frames]
    return hashlib.sha256(telling.numpy().tobytes()).hexdigest()


def _starts(clips: Clips, states: torch.Tensor) -> dict[str, torch.Tensor]:
    """States to start dreams from: different first frames of each kind of start that has a name."""
    first, limit = clips.first_frames.tolist(), STARTS if clips.labelled else STARTS_OF_VIDEO
    starts = {}
    for name in sorted(set(clips.starts) - {""}):
        chosen = (index for index, kind in zip(first, clips.starts, strict=True) if kind == name)
        different = {clips.frames[index].numpy().tobytes(): index for index in chosen}
        starts[name] = states[list(different.values())[:limit]].clone()
    return starts


def _card(clips: Clips, states: torch.Tensor, dataset_id: str, preset: Preset, loop: Loop) -> Card:
    # without labels there is nothing real that could be stepped as the dream is
    metadata = clips.metadata if clips.labelled else {"horizon": int(clips.lengths.max())}
    reality = metadata.get("reality", {})
    return Card(
        env_id=reality.get("env_id", ""),
        env_kwargs=reality.get("env_kwargs", {}),
        horizon=metadata.get("horizon", 0),
        reward_discount=metadata.get("reward_discount", 0.0),
        dead_band=dead_band(clips, states),
        action_names=metadata.get("action_names", []),
        action_bounds=metadata.get("action_bounds", []),
        data={"dataset": dataset_id, "frames": len(clips.frames), **clips.metadata},
        training={"preset": preset.name, "config": preset.training.to_dict(), "stages": loop.finished},
    )
