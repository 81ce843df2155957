"""Editing clips in the world model: content of one clip with motion of another, and each layer of a frame by itself.

A step is `z' = A(z) + B(u)`: the state z says what there is, the latent action u what moves, and where. Content
retargeting replaces z and keeps u: other content takes over the motion. Motion retargeting replaces u and keeps z: the
same content moves in another way (arXiv 2605.06298). Both are fields, so a motion happens where it happened in
its own clip: a retargeted agent goes to the pose that it has there, wherever it was.

Shapes: B clips, T steps, K = `config.rank`, U = `config.latent_action`, rows × cols cells, of any number that the clips
of one call share. All tensors are float32 on the model's device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel

#: The layers of a frame: the base weights alone, the part of A, the part of B.
LAYERS = ("background", "content", "motion")


@dataclass(frozen=True)
class Intervention:
    """One change of a clip. Content alone retargets the content, motion alone the motion; both together are allowed.

    Attributes:
        step: when, counted from 0.
        content: (B, K, rows, cols) state that takes the place of the clip's at that step; None keeps it.
        motion: (B, S, U, rows, cols) latent actions that take the place of the clip's from that step on, for S steps
            at most; after them the clip's own continue. None keeps the clip's own.
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
        model: the model that encoded the states.
        states: (B, T + 1, K, rows, cols), encoded frames.

    Returns:
        (B, T, U, rows, cols).

    Raises:
        BadInputError: the clips have fewer than 2 frames, or the states have another number of channels than K.
    """
    _check("states", states, ("clips", "frames", model.config.rank, "rows", "cols"))
    if states.shape[1] < 2:
        raise BadInputError(f"a clip needs at least 2 frames, not {states.shape[1]}: motion is what is between them")
    before, after = states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1)
    return model.infer(before, after).unflatten(0, (len(states), -1))


def interpolate(latent_action: Tensor, target: Tensor, steps: int) -> Tensor:
    """Latent actions on the straight line from one to another.

    Args:
        latent_action, target: (B, U, rows, cols).
        steps: how many, at least 1.

    Returns:
        (B, steps, U, rows, cols): the first is 1 / `steps` of the way from `latent_action`, the last is `target`.

    Raises:
        BadInputError: `steps` is below 1, or the two are not both (B, U, rows, cols).
    """
    if steps < 1:
        raise BadInputError(f"an interpolation takes at least 1 step, not {steps}")
    if latent_action.shape != target.shape or target.dim() != 4:
        shapes = f"{tuple(latent_action.shape)} and {tuple(target.shape)}"
        raise BadInputError(f"latent actions are {shapes}, not both (B, U, rows, cols)")
    return torch.lerp(latent_action[:, None], target[:, None], _ramp(steps, steps, target))


@torch.no_grad()
def edit(
    model: WorldModel, states: Tensor, interventions: Sequence[Intervention] = (), dead_band: float = 0.0
) -> Tensor:
    """Rolls clips out again, with interventions (the paper's Algorithm 2).

    The clip's latent actions come from inverse dynamics on its encoded frames. From the first state on, the model
    predicts each state from its own last one: `ẑ[t + 1] = A(ẑ[t]) + B(u[t])`. Without interventions the result is the
    clip as the model reproduces it.

    Args:
        model: the model that encoded the states.
        states: (B, T + 1, K, rows, cols), encoded frames.
        interventions: what to change; where two change the same at the same step, the later in the sequence wins.
        dead_band: that of the dream's card, so that what does not move cannot fade (`WorldModel.settle`); 0 for none.

    Returns:
        (B, T + 1, K, rows, cols): the states of the edited clips; the new content at the step of a content
            intervention.

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
        following = model.settle(edited[t], model.step(edited[t], latent_actions[:, t]), dead_band)
        edited.append(contents.get(t + 1, following))
    return torch.stack(edited, dim=1)


@torch.no_grad()
def layer(model: WorldModel, name: str, state: Tensor, latent_action: Tensor) -> Tensor:
    """One layer of the frame that a step leads to, as a state that can be rendered by itself.

    Content and motion add up to the state after the step; the background is the base weights `z̄` in every cell.

    Args:
        model: the model that encoded the states.
        name: one of `LAYERS`.
        state: (B, K, rows, cols), before the step.
        latent_action: (B, U, rows, cols), of the step.

    Returns:
        (B, K, rows, cols).

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
    """(steps, 1, 1, 1) weights 1/over, 2/over … that stay at 1 from the `over`-th on."""
    weights = torch.arange(1, steps + 1, device=like.device, dtype=like.dtype) / over
    return weights.clamp(max=1.0)[:, None, None, None]


def _check_intervention(model: WorldModel, intervention: Intervention, states: Tensor) -> None:
    count, length, _, *cells = states.shape
    steps = length - 1
    if not 0 <= intervention.step < steps:
        raise BadInputError(f"there is no step {intervention.step} to intervene at: the clip has {steps}, from 0 on")
    if intervention.over < 1:
        raise BadInputError(f"`over` must be at least 1 step, not {intervention.over}")
    if intervention.content is not None:
        _check("content", intervention.content, (count, model.config.rank, *cells))
    if intervention.motion is not None:
        _check("motion", intervention.motion, (count, "steps", model.config.latent_action, *cells))


def _check(name: str, tensor: Tensor, expected: tuple[int | str, ...]) -> None:
    """Refuses a tensor of another shape; a word in `expected` stands for any size from 1 on."""
    fits = tensor.dim() == len(expected) and all(
        size > 0 if isinstance(wanted, str) else size == wanted
        for size, wanted in zip(tensor.shape, expected, strict=True)
    )
    if not fits:
        raise BadInputError(f"{name} must be ({', '.join(map(str, expected))}), not {tuple(tensor.shape)}")
