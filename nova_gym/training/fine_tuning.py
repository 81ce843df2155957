"""Fine-tuning a trained dream on new transitions; encoder and renderer stay, so states keep their meaning."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

import torch

from nova_gym.data import Clips
from nova_gym.dream import Card, Dream
from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel
from nova_gym.training.changes import Changes, emphasize, wrong_transitions
from nova_gym.training.dynamics import Tuning
from nova_gym.training.loop import Loop, Run, keep_freed_memory
from nova_gym.training.presets import preset_of

#: Share of the learning rate of `tuning` that fine-tuning uses; at the full rate a trained dream first becomes worse.
GENTLER = 0.25


def fine_tune(dream: Dream, clips: Clips, states: torch.Tensor, steps: int, seed: int, run: Run) -> Dream:
    """Trains dynamics, bridge and heads of a dream further, on rollouts over `clips`.

    Transitions are drawn by their weights, and more often if the dream gets them wrong. The recipe is that of `tuning`
    in the preset that the dream's card names, at a lower learning rate.

    Args:
        dream: left as it is.
        clips: labelled transitions, old and new.
        states: (F, K, rows, cols) float32 of all frames, by the dream's encoder.
        steps: of the optimiser.
        seed: of data order and noise.
        run: where and how; its checkpoint is removed at the end.

    Returns:
        The fine-tuned dream, on the CPU, without scores.

    Raises:
        BadInputError: the device or the precision of `run` cannot be used.
        KeyboardInterrupt: training was interrupted; a checkpoint was written first.
    """
    keep_freed_memory()
    model = copy.deepcopy(dream.world_model).to(run.find_device())
    training = preset_of(dream, "tuning").training
    recipe = replace(training.tuning, steps=steps, learning_rate=GENTLER * training.tuning.learning_rate)
    training = replace(training, tuning=recipe)
    wrong = wrong_transitions(model, clips, states)
    loop = Loop(model, seed, run)
    loop.train(Tuning(model, emphasize(clips, wrong), states, training))
    run.checkpoint.unlink(missing_ok=True)
    card = copy.deepcopy(dream.card)
    card.dead_band = Changes.of(clips, states).dead_band
    card.scores = {}  # they were measured with the old weights
    tuned = {"seed": seed, "recipe": asdict(training.tuning), "wrong before": int(wrong.sum())}
    tuned |= loop.finished["tuning"]
    card.training["tuned"] = [*card.training.get("tuned", []), tuned]
    return repacked(dream, model, card)


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
