"""A trained dream learns from new transitions; encoder and renderer stay, so latents keep their meaning."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

import torch

from nova_gym.data import Clips
from nova_gym.dream import Card, Dream
from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel
from nova_gym.training.dynamics import bound_latent_actions, dead_band
from nova_gym.training.loop import Loop, Run, keep_freed_memory
from nova_gym.training.presets import preset_of
from nova_gym.training.tuning import Tuning, wrong_transitions

#: Of the learning rate of `tuning`: at all of it a trained dream at first loses what the end of its training gave it.
GENTLER = 0.25


def fine_tune(dream: Dream, clips: Clips, states: torch.Tensor, steps: int, seed: int, run: Run) -> Dream:
    """Trains dynamics, bridge and heads on roll-outs over `clips`, drawn by their weights and by what is wrong.

    The recipe is that of `tuning` in the preset that the dream's card names, at a lower learning rate.

    Args:
        dream: left as it is.
        clips: labelled transitions, old and new.
        states: (F, K) float32 of all frames, by the dream's encoder.
        steps: of the optimiser.
        seed: of the drawing and the noise.
        run: where and how; its checkpoint is removed at the end.

    Returns:
        The dream that came of it, on the CPU, without scores.
    """
    keep_freed_memory()
    model = copy.deepcopy(dream.world_model).to(run.find_device())
    training = preset_of(dream, "tuning").training
    recipe = replace(training.tuning, steps=steps, learning_rate=GENTLER * training.tuning.learning_rate)
    training = replace(training, tuning=recipe)
    wrong = wrong_transitions(model, clips, states)
    loop = Loop(model, seed, run)
    loop.train(Tuning(model, clips, states, training, wrong))
    bound_latent_actions(model, clips, states)
    run.checkpoint.unlink(missing_ok=True)
    card = copy.deepcopy(dream.card)
    card.dead_band = dead_band(clips, states)
    card.scores = {}  # those of another model now
    tuned = {"seed": seed, "recipe": asdict(training.tuning), "wrong before": int(wrong.sum())}
    tuned |= loop.finished["tuning"]
    card.training["tuned"] = [*card.training.get("tuned", []), tuned]
    return repacked(dream, model, card)


def repacked(dream: Dream, model: WorldModel, card: Card) -> Dream:
    """The dream with another model and card, on the CPU; the starts are the same."""
    starts = {name: start.cpu() for name, start in dream.starts.items()}
    return Dream(model.cpu().eval().requires_grad_(False), starts, card)


def check_recording(clips: Clips, dream: Dream, dataset: str | None, labels: bool = False) -> None:
    """A recording must be of what the dream is of.

    Args:
        labels: whether dream and recording need actions, rewards and endings.

    Raises:
        BadInputError: it is of another environment, its frames are of another size, or labels are missing.
    """
    config, recorded = dream.world_model.config, clips.metadata.get("reality", {}).get("env_id")
    wanted = (config.inr.channels, *config.frame_size)
    if labels and not dream.world_model.has_actions:
        raise BadInputError("this dream was made from video without actions: there is nothing to tune them by")
    if labels and not clips.labelled:
        raise BadInputError(f"{dataset!r} holds no actions, rewards and endings; `nova-gym record` makes some that do")
    if (recorded and dream.card.env_id not in ("", recorded)) or tuple(clips.frames.shape[1:]) != wanted:
        raise BadInputError(
            f"{dataset!r} holds frames {tuple(clips.frames.shape[1:])} of {recorded or 'video'}; the dream is of "
            f"{wanted} of {dream.card.env_id or 'video'}"
        )
