"""Dreams that go on by themselves: the control model chooses, after real frames or after none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nova_gym.errors import BadInputError
from nova_gym.model.control import Memory
from nova_gym.stepping import Transition

if TYPE_CHECKING:
    from nova_gym.simulator import DreamSimulator


def autopilot(simulator: DreamSimulator, steps: int, memory: Memory) -> Iterator[Transition]:
    """`DreamSimulator.autopilot`, after its arguments were looked at."""
    for _ in range(steps):
        with torch.no_grad():
            before, (_, latent_action) = simulator.state, simulator.dream.world_model.choose(memory, simulator.state)
            transition = simulator.step_latent(latent_action)
            memory = simulator.remember([(before, latent_action)], memory)
        yield transition


@torch.no_grad()
def generate(
    simulator: DreamSimulator,
    context_frames: Tensor,
    context_ratio: float,
    horizon: int,
    progress: Callable[[int, int], None],
) -> tuple[Tensor, Tensor]:
    """`DreamSimulator.generate`, which says what it takes and gives."""
    if horizon < 1 or not 0.0 <= context_ratio < 1.0:
        raise BadInputError(
            f"the horizon must be at least 1 and the context ratio in [0, 1), not {horizon} and {context_ratio}"
        )
    count = round(context_ratio * horizon)
    model = simulator.dream.world_model
    expected = (simulator.num_dreams, model.config.inr.channels, *model.size_of(simulator.state))
    shape = tuple(context_frames.shape)
    if len(shape) != 5 or (shape[0], *shape[2:]) != expected or shape[1] <= count:
        raise BadInputError(
            f"context frames are {shape}; expected are (N, n, C, H, W) with (N, C, H, W) = {expected} and n of at "
            f"least {count + 1}, because {count} of {horizon} steps are context"
        )
    frames = context_frames[:, : count + 1].to(simulator.device)
    context = model.encode(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(0, 1)
    inferred = [model.infer(*pair) for pair in pairwise(context)]
    simulator.reset(states=context[-1])
    states, latent_actions = list(context), list(inferred)
    if horizon > count:
        memory = simulator.remember(zip(context, inferred, strict=False))
        for transition in simulator.autopilot(horizon - count, memory):
            states.append(model.seen(transition.state))
            latent_actions.append(transition.latent_action)
            progress(len(latent_actions), horizon)
    return torch.stack(states, dim=1), torch.stack(latent_actions, dim=1)
