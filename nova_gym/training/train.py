"""Training a dream from recorded clips: all stages in order."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import torch

from nova_gym.data import Clips, ambiguity_of
from nova_gym.dream import STARTS, Card, Dream
from nova_gym.errors import BadInputError
from nova_gym.model.config import ControlConfig, ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training.changes import Changes, emphasize, wrong_transitions
from nova_gym.training.control import ControlStage
from nova_gym.training.doubt import HELD_OUT_ONE_IN, teach_doubt, without_held_out
from nova_gym.training.dynamics import Dynamics, Tuning
from nova_gym.training.freed_memory import keep_freed_memory
from nova_gym.training.heard import recorded_states
from nova_gym.training.latent_actions import fit_codebook, settle_latent_actions
from nova_gym.training.layout import needs_everywhere
from nova_gym.training.looks import learn_looks, looks_of
from nova_gym.training.loop import DOUBT, STAGES, Loop, Run, step_generator
from nova_gym.training.odds import settle_odds
from nova_gym.training.presets import Preset, TrainingConfig
from nova_gym.training.rare import favour_rare
from nova_gym.training.recurrent import RecurrentDynamics, RecurrentTuning
from nova_gym.training.representation import (
    Representation,
    drawn_within,
    encode_all,
    encode_in_parts,
    settle_coordinates,
)
from nova_gym.training.rewards import reward_values
from nova_gym.training.seams import smooth_across_cells
from nova_gym.training.suiting import FEW
from nova_gym.training.unforeseen import settle_unforeseen
from nova_gym.training.windows import windows_of

#: Starts from within the recording take up to so many bytes.
RECORDED_BYTES = 1 << 18
#: Where cells have few looks, a step has about a unit for so many of them, up to so many times the preset's units.
LOOKS, WIDER = 4, 2


def train(clips: Clips, dataset_id: str, preset: Preset, run: Run) -> Dream:
    """Trains a dream: all stages that its model has parts for, and at last its doubt.

    The steps of one clip in ten are left out, so that doubt is calibrated on what training did not see.

    Args:
        clips: the recording; without labels the dream has neither action bridge nor heads.
        dataset_id: its name, for the card.
        preset: sizes and recipes; frame size, channels, actions and reward values follow the clips.
        run: where and how, and for how many minutes.

    Returns:
        The dream, on the CPU, without scores: `nova-gym eval` measures those.

    Raises:
        BadInputError: the frames do not divide into the preset's cells, it has no recipe for a stage that these clips
            need, or the checkpoint to resume from is missing or belongs to another run.
        KeyboardInterrupt: training was interrupted; a checkpoint was written first.
    """
    keep_freed_memory()
    config, training = config_for(clips, preset), preset.training
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
            "representation": repr((training.representation, training.margin)),
            "dynamics": repr((training.dynamics, training.horizon, training.elsewhere)),
            "tuning": repr((training.tuning, training.horizon, training.elsewhere)),
            "control": repr(training.control),
        },
        planned=(*(name for name in STAGES if name not in _unneeded(config)), *[DOUBT] * (config.actions > 0)),
    )
    loop.resume()
    with loop.curves():
        seen, states = _stages(loop, without_held_out(clips), training)
    model.cpu().eval().requires_grad_(False)
    dream = Dream(
        model,
        starts_of(model, clips, states if seen.frames is clips.frames else None),
        make_card(seen, states, dataset_id, preset, loop),
    )
    return teach_doubt(dream, [clips], training.seed) if model.has_actions else dream


def config_for(clips: Clips, preset: Preset) -> ModelConfig:
    """The preset's sizes, with what follows from a recording. Many looks of cells need a wider step.

    Raises:
        BadInputError: the frames do not divide into the preset's cells.
    """
    size = tuple(clips.frames.shape[2:])
    values, bins = reward_values(clips) if clips.labelled else ((), False)
    cell = size if preset.whole else preset.model.cell
    replace(preset.model, cell=cell).cells_of(*size)
    config = replace(
        preset.model,
        frame_size=size,
        cell=cell,
        inr=replace(preset.model.inr, channels=clips.frames.shape[1]),
        actions=clips.action_count,
        discrete=clips.discrete,
        reward_values=values,
        reward_bins=bins,
        everywhere=clips.labelled and (_open(preset.model) or bins or needs_everywhere(clips, cell)),
        control=preset.model.control or (None if clips.labelled else ControlConfig()),  # video without labels needs one
    )
    looks = None if preset.whole else looks_of(clips, cell)
    count = 0 if looks is None else len(looks)
    hidden = min(max(config.hidden, 2 ** round(math.log2(max(1, count / LOOKS)))), WIDER * config.hidden)
    return replace(config, blend=smooth_across_cells(clips.frames, config.cell), looks=count, hidden=hidden)


def _open(config: ModelConfig) -> bool:
    """Whether two frames and an action leave open what a step pays."""
    return config.everywhere or config.memory > 0 or config.outcomes > 0


def _check_recipes(preset: Preset, config: ModelConfig) -> None:
    """Checks that the preset has a recipe for each stage that trains a part of such a model."""
    missing = [name for name in STAGES if name not in _unneeded(config) and getattr(preset.training, name) is None]
    if missing:
        raise BadInputError(f"preset {preset.name!r} has no recipe for {', '.join(missing)}: take another preset")


def _unneeded(config: ModelConfig) -> set[str]:
    """Names of the stages that train nothing in such a model."""
    return {*(() if config.actions else ("tuning",)), *(() if config.control else ("control",))}


def _stages(loop: Loop, clips: Clips, training: TrainingConfig) -> tuple[Clips, torch.Tensor]:
    """All stages; returns the recording as the dynamics saw it, and the states of all its frames."""
    model, recording = loop.model, clips
    found = windows_of([clips], model.config.cell) if sees_windows(model) else None
    windows = found[0] if found else None
    looks = looks_of(recording, model.config.cell) if model.config.looks else None
    loop.train(Representation(model, clips, training, windows, looks))
    clips = windows.clips(clips) if windows else clips
    if "coordinates" not in loop.finished:
        settle_coordinates(model, clips, step_generator(loop.seed, "coordinates", 0), training.margin)
        loop.mark("coordinates")
    states = encode_all(model, clips, lambda done, total: loop.progress("encoding", min(done, total), total, ""))
    if looks is not None:
        learn_looks(model, looks)
    recurrent = is_recurrent(model)
    if recurrent:
        loop.train(RecurrentDynamics(model, clips, states, training))
    else:
        loop.train(Dynamics(model, favour_rare(clips) if clips.labelled else clips, states, training))
    if model.has_actions:
        shown = clips
        if not recurrent:  # else a frame and an action do not say what is right
            if "wrong" not in loop.kept:
                loop.kept["wrong"] = wrong_transitions(model, clips, states)
                loop.mark("looking for what is wrong")
            shown = emphasize(favour_rare(clips), loop.kept["wrong"])
        loop.train((RecurrentTuning if recurrent else Tuning)(model, shown, states, training))
    if "latent actions" not in loop.finished:
        settle_odds(model, clips, states)
        settle_unforeseen(model, clips, states)
        settle_latent_actions(model, clips, states)
        loop.mark("latent actions")
    if model.has_codebook:
        train_codebook(loop, clips, states)
    if model.has_control:
        train_control(loop, clips, states, training)
    return clips, states


def is_recurrent(model: WorldModel) -> bool:
    """Whether a step needs more than frame and action, so that it is trained on rollouts over several steps."""
    return model.has_actions and (model.has_memory or model.has_chance)


def sees_windows(model: WorldModel) -> bool:
    """Whether parts of frames train a model as whole ones do, since nothing in it looks far."""
    return not (model.has_actions and (model.config.far or _open(model.config)))


def train_codebook(loop: Loop, clips: Clips, states: torch.Tensor) -> None:
    """Chooses the codes."""
    if "codebook" not in loop.finished:
        found = fit_codebook(loop.model, clips, states, step_generator(loop.seed, "codes", 0))
        loop.mark("codebook", found)


def train_control(loop: Loop, clips: Clips, states: torch.Tensor, training: TrainingConfig) -> None:
    """Trains the control model."""
    loop.train(ControlStage(loop.model, clips, states, training))


def digest(clips: Clips) -> str:
    """SHA-256 of what tells recordings apart: their actions, or without labels the first frame of each clip."""
    telling = clips.actions if clips.labelled else clips.frames[clips.first_frames]
    return hashlib.sha256(telling.numpy().tobytes()).hexdigest()


@torch.no_grad()
def starts_of(model: WorldModel, clips: Clips, states: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """States to start dreams from: different first frames of each kind of start that has a name.

    Where the model has a memory there are starts `recorded` too, from anywhere in the recording, whose memory has heard
    the frames and actions before.

    Args:
        model: trained, on the CPU.
        clips: the recording.
        states: (F, K, rows, cols) float32 of all its frames; None to encode those that are needed, if the model has no
            memory.
    """
    first = clips.first_frames.tolist()
    starts = {}
    for name in sorted(set(clips.starts) - {""}):
        chosen = (index for index, kind in zip(first, clips.starts, strict=True) if kind == name)
        different = {clips.frames[index].numpy().tobytes(): index for index in chosen}
        frames = list(different.values())[:STARTS]
        shown = states[frames].clone() if states is not None else encode_in_parts(model, clips.frames[frames])
        starts[name] = model.begin(shown, name == "official")
    if model.has_memory and clips.labelled:
        size = 4 * starts[name][0].numel() if starts else 4 * (states[0].numel() + model.config.memory)
        count = max(1, min(STARTS, RECORDED_BYTES // size))
        starts["recorded"] = recorded_states(model, clips, states, count)
    return starts


@torch.no_grad()
def left_to_chance(model: WorldModel, clips: Clips) -> tuple[bool, bool]:
    """Whether rewards and endings of the same transition differ by chance, as the recording's repeats show.

    Where the model has a memory and no chance, the past is taken for the reason.

    Args:
        model: of this recording; only what it consists of counts.
        clips: the recording.
    """
    if not clips.labelled or (model.has_memory and not model.has_chance):
        return False, False
    found = ambiguity_of(clips)
    return found.reward > FEW, found.termination > FEW


def make_card(clips: Clips, states: torch.Tensor, dataset_id: str, preset: Preset, loop: Loop) -> Card:
    """The card of a dream whose training is over.

    Args:
        clips: the recording.
        states: (F, K, rows, cols) float32 of all its frames.
        dataset_id: its name.
        preset: that it was trained by.
        loop: that trained it.
    """
    # a dream without labels cannot be compared with a real environment, which takes actions
    metadata = clips.metadata if clips.labelled else {"horizon": int(clips.lengths.max())}
    reality = metadata.get("reality", {})
    rewards, endings = left_to_chance(loop.model, clips)
    return Card(
        env_id=reality.get("env_id", ""),
        env_kwargs=reality.get("env_kwargs", {}),
        horizon=metadata.get("horizon", 0),
        reward_discount=metadata.get("reward_discount", 0.0),
        dead_band=Changes.of(clips, states).dead_band,
        drawn_within=drawn_within(loop.model, clips, states),
        random_rewards=rewards,
        random_endings=endings,
        action_names=metadata.get("action_names", []),
        action_space=metadata.get("action_space", {}),
        reality={key: value for key, value in reality.items() if key not in ("env_id", "env_kwargs", "frame_size")},
        data={"dataset": dataset_id, "frames": len(clips.frames), **clips.metadata},
        training={"preset": preset.name, "config": preset.training.to_dict(), "stages": loop.finished}
        | ({"held out": f"one clip in {HELD_OUT_ONE_IN}, of steps"} if without_held_out(clips) is not clips else {})
        | ({"minutes": loop.run.minutes} if loop.run.minutes else {}),
    )
