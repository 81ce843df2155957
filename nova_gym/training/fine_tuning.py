"""Fine-tuning a trained dream on new transitions; encoder and renderer stay, so states keep their meaning."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

import torch

from nova_gym.data import Clips, join_clips
from nova_gym.dream import Card, Dream
from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel
from nova_gym.training.changes import Changes, emphasize, wrong_transitions
from nova_gym.training.doubt import teach_doubt, without_held_out
from nova_gym.training.dynamics import Tuning
from nova_gym.training.freed_memory import keep_freed_memory
from nova_gym.training.heard import recorded_states
from nova_gym.training.looks import learn_more_looks
from nova_gym.training.loop import DOUBT, Loop, Run
from nova_gym.training.odds import settle_odds
from nova_gym.training.presets import Preset, TrainingConfig, preset_of
from nova_gym.training.rare import favour_rare
from nova_gym.training.recurrent import RecurrentDynamics, RecurrentTuning
from nova_gym.training.representation import Representation, drawn_within, encode_all
from nova_gym.training.rewards import reward_values
from nova_gym.training.stage import Stage
from nova_gym.training.train import is_recurrent, sees_windows, starts_of
from nova_gym.training.unforeseen import settle_unforeseen
from nova_gym.training.windows import windows_of

#: Share of the learning rate of `tuning` that fine-tuning uses; at the full rate a trained dream first becomes worse.
GENTLER = 0.25
#: Share of the training samples that come from the first recording where a dream is trained further on a second one.
FIRST_SHARE = 0.5


class _TuningWithoutMemory(RecurrentTuning):
    """Tuning that leaves the memory as it is, so that states keep their meaning for an agent that reads them."""

    trains = tuple(name for name in RecurrentTuning.trains if name != "memory")


def fine_tune(dream: Dream, clips: Clips, states: torch.Tensor, steps: int, seed: int, run: Run) -> Dream:
    """Trains dynamics, bridge and heads of a dream further, on rollouts over `clips`; memory and encoder stay.

    Transitions are drawn by their weights, and more often if the dream gets them wrong, or where it has a memory if
    they are rare. The recipe is that of `tuning` in the preset that the dream's card names, at a lower
    learning rate.

    Args:
        dream: left as it is.
        clips: labelled transitions, old and new; each recording as `to_learn_from` gives it.
        states: (F, K, rows, cols) float32 of all frames, by the dream's encoder.
        steps: of the optimiser.
        seed: of data order and noise.
        run: where and how; its checkpoint is removed at the end.

    Returns:
        The fine-tuned dream, on the CPU, without scores. Its doubt is that of before: `teach_doubt` renews it.

    Raises:
        BadInputError: the device or the precision of `run` cannot be used.
        KeyboardInterrupt: training was interrupted; a checkpoint was written first.
    """
    keep_freed_memory()
    model = copy.deepcopy(dream.world_model).to(run.find_device())
    learn_more_looks(model, states)
    training = preset_of(dream, "tuning").training
    recipe = replace(training.tuning, steps=steps, learning_rate=GENTLER * training.tuning.learning_rate)
    training = replace(training, tuning=recipe)
    loop = Loop(model, seed, run)
    stage, wrong = _tuning(model, clips, states, training, keep_memory=True)
    loop.train(stage)
    settle_odds(model, clips, states)
    run.checkpoint.unlink(missing_ok=True)
    return repacked(dream, model, _tuned_card(dream, clips, states, training, wrong, seed, loop))


def train_further(dream: Dream, parts: list[Clips], preset: Preset, run: Run) -> Dream:
    """Trains a dream further, on its recording and on another one that was made later.

    All parts of its step learn on. The memory does too, so what an agent has learned of it is no longer valid: train a
    new one. Rewards that only the later recording shows become known: the heads then begin anew. Encoder and renderer
    of a field of cells stay. One network for the whole frame has to learn how things look where they never were, so
    there they learn on as well, and the dynamics with them.

    Args:
        dream: left as it is.
        parts: its recording, with labels, then the later ones, whose share of the samples is half.
        preset: that it was trained by.
        run: where and how, and for how many minutes.

    Returns:
        The dream, on the CPU, without scores.

    Raises:
        BadInputError: the recordings are of different kinds, or the checkpoint to resume belongs to another run.
        KeyboardInterrupt: training was interrupted; a checkpoint was written first.
    """
    keep_freed_memory()
    later = (1.0 - FIRST_SHARE) / max(1, len(parts) - 1)
    clips = join_clips(list(map(without_held_out, parts)), [FIRST_SHARE] + [later] * (len(parts) - 1))
    training, seed = preset.training, preset.training.seed
    model = _with_rewards(dream.world_model, clips, seed).to(run.find_device())
    anew = model.config.cell == model.config.frame_size and is_recurrent(model)
    whole = parts
    if windows := windows_of(parts, model.config.cell) if sees_windows(model) else None:
        parts = [window.clips(part) for window, part in zip(windows, parts, strict=True)]
        clips = replace(clips, frames=parts[0].frames[:0])
    if not anew:  # the encoder stays, and what it has seen says how many looks the model knows
        each = [encode_all(model, part) for part in parts]
        learn_more_looks(model, torch.cat(each))
    loop = Loop(model, seed, run, {"model": repr(model.config), "transitions": len(clips.source), "seed": seed})
    loop.planned = (*(("representation", "dynamics") if anew else ()), "tuning", DOUBT)
    loop.resume()
    if anew:
        shown = replace(clips, frames=torch.cat([part.frames for part in parts]))
        loop.train(Representation(model, shown, training))
        each = [encode_all(model, part) for part in parts]
    states = torch.cat(each)
    if anew:
        loop.train(RecurrentDynamics(model, clips, states, training))
    stage, wrong = _tuning(model, clips, states, training, keep_memory=False)
    loop.train(stage)
    settle_odds(model, clips, states)
    settle_unforeseen(model, clips, states)
    model.cpu().eval().requires_grad_(False)
    card = _tuned_card(dream, clips, states, training, wrong, seed, loop)
    if anew:
        card.drawn_within = drawn_within(model, shown, states)
    starts = starts_of(model, whole[0], None if windows else each[0])
    if model.has_memory:  # those from within recordings come from all of them
        count = max(1, len(starts["recorded"]) // len(parts))
        within = (recorded_states(model, *pair, count) for pair in zip(parts, each, strict=True))
        starts["recorded"] = torch.cat(list(within))
    return teach_doubt(Dream(model, starts, card), parts, seed)


def _with_rewards(model: WorldModel, clips: Clips, seed: int) -> WorldModel:
    """A copy of the model whose heads know the rewards of these clips; new heads, if they are not those it knew."""
    values, bins = reward_values(clips)
    known = torch.tensor(model.config.reward_values)
    if bins == model.config.reward_bins and len(known) == len(values) and torch.allclose(known, torch.tensor(values)):
        return copy.deepcopy(model)
    if bins and model.config.reward_bins and known[0] <= values[0] and known[-1] >= values[-1]:
        return copy.deepcopy(model)
    config = replace(model.config, reward_values=values, reward_bins=bins)
    fresh = WorldModel(config, torch.Generator().manual_seed(seed))
    sizes = {name: value.shape for name, value in fresh.state_dict().items()}
    kept = {name: value for name, value in model.state_dict().items() if sizes.get(name) == value.shape}
    fresh.load_state_dict(kept | {n: v for n, v in fresh.state_dict().items() if n.startswith("heads.")}, strict=False)
    return fresh


def _tuning(
    model: WorldModel, clips: Clips, states: torch.Tensor, training: TrainingConfig, keep_memory: bool
) -> tuple[Stage, int]:
    """The stage that trains a finished model further, and how many transitions it gets wrong now.

    Where a step depends on memory or chance, nothing is counted: a frame and an action do not say what is right.
    """
    if is_recurrent(model):
        kind = _TuningWithoutMemory if keep_memory else RecurrentTuning
        return kind(model, clips, states, training), 0
    wrong = wrong_transitions(model, clips, states)
    return Tuning(model, emphasize(favour_rare(clips), wrong), states, training), int(wrong.sum())


def _tuned_card(
    dream: Dream, clips: Clips, states: torch.Tensor, training: TrainingConfig, wrong: int, seed: int, loop: Loop
) -> Card:
    card = copy.deepcopy(dream.card)
    card.dead_band = Changes.of(clips, states).dead_band
    card.scores = {}  # they were measured with the old weights
    tuned = {"seed": seed, "recipe": asdict(training.tuning), "wrong before": wrong, **loop.finished["tuning"]}
    card.training["tuned"] = [*card.training.get("tuned", []), tuned]
    return card


def repacked(dream: Dream, model: WorldModel, card: Card) -> Dream:
    """The dream with another model and card, on the CPU; the starts are the same."""
    starts = {name: start.cpu() for name, start in dream.starts.items()}
    return Dream(model.cpu().eval().requires_grad_(False), starts, card)


def check_recording(clips: Clips, dream: Dream, dataset: str | None, labels: bool = False) -> None:
    """Checks that a recording fits a dream: an environment that it is of, and frames that divide into its cells.

    Args:
        clips: the recording.
        dream: the dream.
        dataset: the recording's name, for messages.
        labels: whether dream and recording need actions, rewards and endings.

    Raises:
        BadInputError: it is of another environment, its frames do not divide into the dream's cells or have other
            channels, or labels are missing.
    """
    config, recorded = dream.world_model.config, clips.metadata.get("reality", {}).get("env_id")
    known = {dream.card.env_id, dream.card.data.get("reality", {}).get("env_id", "")} - {""}
    if labels and not dream.world_model.has_actions:
        raise BadInputError("this dream was made from video without actions: tuning needs a dream with actions")
    if labels and not clips.labelled:
        raise BadInputError(f"{dataset!r} lacks actions, rewards and endings; `nova-gym record` records them")
    if recorded and known and recorded not in known:
        raise BadInputError(f"{dataset!r} is of {recorded}; the dream is of {' and '.join(sorted(known))}")
    if clips.frames.shape[1] != config.inr.channels:
        raise BadInputError(
            f"{dataset!r} holds frames of {clips.frames.shape[1]} channels; the dream's have {config.inr.channels}"
        )
    config.cells_of(*clips.frames.shape[2:])
