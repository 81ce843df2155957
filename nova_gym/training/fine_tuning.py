"""A trained dream learns from new transitions; encoder and renderer stay, so latents keep their meaning."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

import torch

from nova_gym.config import PRESETS, Recipe
from nova_gym.data import Clips
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.training.dynamics import bound_latent_actions, dead_band
from nova_gym.training.grounding import Unrolling
from nova_gym.training.loop import Loop, keep_freed_memory
from nova_gym.training.train import Run, make_accelerator

#: Of fine-tuning; its number of steps is the caller's.
RECIPE = Recipe(0, 128, 1e-4, warmup=100, weight_decay=0.1, noise=0.05)


def fine_tune(dream: Dream, clips: Clips, states: torch.Tensor, steps: int, seed: int, run: Run) -> Dream:
    """Trains dynamics, bridge and heads on roll-outs over `clips`, drawn by their weights.

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
    accelerator = make_accelerator(run)
    model = copy.deepcopy(dream.world_model).to(accelerator.device)
    training = replace(PRESETS["cpu"].training, unrolling=replace(RECIPE, steps=steps), seed=seed)
    loop = Loop(model, seed, run.checkpoint, accelerator, {}, run.progress)
    loop.run(Unrolling(model, clips, states, training, full_length=True))
    bound_latent_actions(model, clips, states)
    run.checkpoint.unlink(missing_ok=True)
    starts = {name: start.cpu() for name, start in dream.starts.items()}
    card = copy.deepcopy(dream.card)
    card.dead_band = dead_band(clips, states)
    card.scores = {}  # those of another model now
    tuned = {"steps": steps, "seed": seed, "recipe": asdict(RECIPE), **loop.finished["unrolling"]}
    card.training["tuned"] = [*card.training.get("tuned", []), tuned]
    return Dream(model.cpu().eval().requires_grad_(False), starts, card)


def check_recording(clips: Clips, dream: Dream, dataset: str | None) -> None:
    """A recording must be of what the dream is of.

    Raises:
        BadInputError: it is of another environment, or its frames are of another size.
    """
    config, recorded = dream.world_model.config, clips.metadata.get("reality", {}).get("env_id")
    wanted = (config.inr.channels, *config.frame_size)
    if recorded not in (None, dream.card.env_id) or tuple(clips.frames.shape[1:]) != wanted:
        raise BadInputError(
            f"{dataset!r} holds frames {tuple(clips.frames.shape[1:])} of {recorded}; the dream is of "
            f"{wanted} of {dream.card.env_id}"
        )
