"""Editing a clip in the world model: whose content, whose motion, and what each of the two adds to a frame.

A step is `z' = A(z) + B(u)`: the state z says what there is, the latent action u where it goes. So the content of one
clip takes over the motion of another if z is replaced and u kept, and the other way round (arXiv 2605.06298, content
and motion retargeting). Latent actions are absolute: they say "go to", so a retargeted agent goes to the pose that it
has in the other clip, wherever it was.

Shapes: B clips, T steps, K = `config.rank`, U = `config.latent_action`; all tensors float32 on the model's device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel

#: The layers of a frame: base weights alone, what A says, what B says.
LAYERS = ("background", "content", "motion")


@dataclass(frozen=True)
class Intervention:
    """One change of a clip. Content alone retargets the content, motion alone the motion; both together are allowed.

    Attributes:
        step: when, counted from 0.
        content: (B, K) state that takes the place of the clip's at that step; None keeps it.
        motion: (B, S, U) latent actions that take the place of the clip's from that step on, for S steps at most;
            after them the clip's own go on. None keeps those.
        over: steps over which the motion goes from the clip's own to the new one, 1 for at once.
    """

    step: int
    content: Tensor | None = None
    motion: Tensor | None = None
    over: int = 1


@torch.no_grad()
def infer_actions(model: WorldModel, states: Tensor) -> Tensor:
    """The latent actions between the frames of clips, by inverse dynamics.

    Args:
        model: whose states they are.
        states: (B, T + 1, K), encoded frames.

    Returns:
        (B, T, U).

    Raises:
        BadInputError: the clips have fewer than 2 frames, or states another length.
    """
    _check("states", states, 3, model.config.rank)
    if states.shape[1] < 2:
        raise BadInputError(f"a clip needs at least 2 frames, not {states.shape[1]}: motion is what is between them")
    before, after = states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1)
    return model.infer(before, after).unflatten(0, (len(states), -1))


def interpolate(latent_action: Tensor, target: Tensor, steps: int) -> Tensor:
    """Latent actions on the straight line from one to another.

    Args:
        latent_action, target: (B, U).
        steps: how many, at least 1.

    Returns:
        (B, steps, U): the first is a `steps`-th of the way from `latent_action`, the last is `target`.

    Raises:
        BadInputError: there are no steps, or the two differ in shape.
    """
    if steps < 1:
        raise BadInputError(f"an interpolation takes at least 1 step, not {steps}")
    if latent_action.shape != target.shape or target.dim() != 2:
        raise BadInputError(
            f"latent actions are {tuple(latent_action.shape)} and {tuple(target.shape)}, not both (B, U)"
        )
    return torch.lerp(latent_action[:, None], target[:, None], _ramp(steps, steps, target))


@torch.no_grad()
def edit(model: WorldModel, states: Tensor, interventions: Sequence[Intervention] = ()) -> Tensor:
    """Rolls clips out again, with interventions (the paper's Algorithm 2).

    The clip's latent actions come from inverse dynamics on its encoded frames; from the first state on, the model is
    by itself: `ẑ[t + 1] = A(ẑ[t]) + B(u[t])`. Without interventions that is the clip as the model remembers it.

    Args:
        model: whose states they are.
        states: (B, T + 1, K), encoded frames.
        interventions: what to change; of two that change the same at the same step the later in the sequence holds.

    Returns:
        (B, T + 1, K): the states of the edited clips; at the step of a content intervention, the new content.

    Raises:
        BadInputError: the clips have fewer than 2 frames, or an intervention does not fit them.
    """
    latent_actions = infer_actions(model, states).clone()
    contents: dict[int, Tensor] = {}
    for intervention in interventions:
        _check_intervention(model, intervention, states)
        if intervention.content is not None:
            contents[intervention.step] = intervention.content
        if intervention.motion is not None:
            own = latent_actions[:, intervention.step : intervention.step + intervention.motion.shape[1]]
            new = intervention.motion[:, : own.shape[1]]
            own.copy_(torch.lerp(own, new, _ramp(own.shape[1], intervention.over, new)))
    edited = [contents.get(0, states[:, 0])]
    for t in range(latent_actions.shape[1]):
        following = model.step(edited[t], latent_actions[:, t])
        edited.append(contents.get(t + 1, following))
    return torch.stack(edited, dim=1)


@torch.no_grad()
def layer(model: WorldModel, name: str, state: Tensor, latent_action: Tensor) -> Tensor:
    """One layer of the frame that a step leads to: a state that can be rendered by itself.

    Content and motion add up to the state after the step; the background is the base weights, `z̄` alone.

    Args:
        model: whose states they are.
        name: one of `LAYERS`.
        state: (B, K), before the step.
        latent_action: (B, U), of the step.

    Returns:
        (B, K).

    Raises:
        BadInputError: there is no such layer.
    """
    if name == "background":
        return torch.zeros_like(state)
    if name == "content":
        return model.content(state)
    if name == "motion":
        return model.motion(latent_action)
    raise BadInputError(f"unknown layer {name!r}; there are {', '.join(LAYERS)}")


def _ramp(steps: int, over: int, like: Tensor) -> Tensor:
    """(steps, 1) weights 1/over, 2/over … that stay at 1 from the `over`-th on."""
    return (torch.arange(1, steps + 1, device=like.device, dtype=like.dtype)[:, None] / over).clamp(max=1.0)


def _check_intervention(model: WorldModel, intervention: Intervention, states: Tensor) -> None:
    count, steps = states.shape[0], states.shape[1] - 1
    if not 0 <= intervention.step < steps:
        raise BadInputError(f"there is no step {intervention.step} to intervene at: the clip has {steps}, from 0 on")
    if intervention.over < 1:
        raise BadInputError(f"a motion is taken over in at least 1 step, not {intervention.over}")
    if intervention.content is not None:
        _check("content", intervention.content, 2, model.config.rank, count)
    if intervention.motion is not None:
        _check("motion", intervention.motion, 3, model.config.latent_action, count)


def _check(name: str, tensor: Tensor, dimensions: int, length: int, count: int | None = None) -> None:
    expected = [str(count or "clips"), *["steps"] * (dimensions - 2), str(length)]
    fits = tensor.dim() == dimensions and tensor.shape[-1] == length and count in (None, tensor.shape[0])
    if not fits or 0 in tensor.shape:
        raise BadInputError(f"{name} must be ({', '.join(expected)}), not {tuple(tensor.shape)}")
