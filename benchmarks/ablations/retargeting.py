"""Motion retargeting on moving digits: do the digits of one clip take the places of another's, and stay the same?

Each edited frame is compared with the truth: the content clip's digits drawn at the motion clip's places. The model may
choose which of the two digits takes which of the two ways, so the nearer of the two truths counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nova_gym.benchmarks.ablations.generation import Figures, by_clip, draw, encode
from nova_gym.data.moving_digits import DIGIT, digits_of, draw_digits, handwritten_digits, paths
from nova_gym.dream import Card, Dream
from nova_gym.editing import Intervention, edit, infer_actions
from nova_gym.measures import overlap
from nova_gym.model.world_model import WorldModel
from nova_gym.simulator import DreamSimulator

#: Step of the intervention, frames of a clip, and their size.
AT, LENGTH, SIZE = 10, 20, 64
#: Pairs of clips.
PAIRS = 128

#: A way of retargeting: model, states of content and motion clips (n, T + 1, K, rows, cols) → edited states.
Way = Callable[[WorldModel, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Pairs:
    """Pairs of clips of test digits.

    Attributes:
        content, motion: (n, LENGTH, SIZE, SIZE) uint8.
        truths: (2, n, LENGTH, SIZE, SIZE) uint8, the content's digits at the motion's places, both ways to assign them.
    """

    content: np.ndarray
    motion: np.ndarray
    truths: np.ndarray


def digit_pairs(count: int, seed: int) -> Pairs:
    """Draws `count` pairs of clips; all digits and ways are drawn independently."""
    rng = np.random.default_rng([seed, 0xED17])
    digits = handwritten_digits()[digits_of(test=True)]
    chosen = rng.integers(len(digits), size=(2, count, 2))
    ways = [paths(count, rng, LENGTH, SIZE - DIGIT) for _ in range(2)]
    content, motion = (draw_digits(digits, *clip, SIZE) for clip in zip(chosen, ways, strict=True))
    swapped = ways[1][:, :, ::-1]
    return Pairs(content, motion, np.stack([draw_digits(digits, chosen[0], way, SIZE) for way in (ways[1], swapped)]))


def by_inverse_dynamics(model: WorldModel, content: Tensor, motion: Tensor) -> Tensor:
    """Before distillation: moves the content clip by latent actions inferred from the motion clip."""
    return edit(model, content, [Intervention(AT, motion=infer_actions(model, motion)[:, AT:])])


@torch.no_grad()
def by_control(model: WorldModel, content: Tensor, motion: Tensor) -> Tensor:
    """After distillation: moves the content clip by latent actions with which the control model continues the other."""
    latent_actions = infer_actions(model, motion)
    simulator = DreamSimulator(Dream(model, {}, Card()), len(motion), 0)
    simulator.reset(states=motion[:, AT])
    so_far = zip(motion[:, :AT].unbind(1), latent_actions[:, :AT].unbind(1), strict=True)
    memory = simulator.remember(so_far)
    dreamt = [transition.latent_action for transition in simulator.autopilot(motion.shape[1] - 1 - AT, memory)]
    return edit(model, content, [Intervention(AT, motion=torch.stack(dreamt, dim=1))])


@torch.no_grad()
def by_control_in_place(model: WorldModel, content: Tensor, motion: Tensor) -> Tensor:
    """After distillation: the control model remembers the motion clip and acts in the content clip."""
    latent_actions = infer_actions(model, motion)
    before = edit(model, content)[:, : AT + 1]
    simulator = DreamSimulator(Dream(model, {}, Card()), len(motion), 0)
    simulator.reset(states=before[:, AT])
    so_far = zip(motion[:, :AT].unbind(1), latent_actions[:, :AT].unbind(1), strict=True)
    memory = simulator.remember(so_far)
    dreamt = [transition.state for transition in simulator.autopilot(motion.shape[1] - 1 - AT, memory)]
    return torch.cat([before, torch.stack(dreamt, dim=1)], dim=1)


def no_edit(model: WorldModel, content: Tensor, motion: Tensor) -> Tensor:
    """For comparison: the content clip, rolled out without an edit."""
    return edit(model, content)


def measure_retargeting(model: WorldModel, pairs: Pairs, way: Way) -> Figures:
    """Measures clips edited in this way; `model` is on the CPU."""
    edited = way(model, encode(model, pairs.content), encode(model, pairs.motion))
    return measure_clips(draw(model, edited)[:, AT + 1 :], pairs)


def measure_clips(pictures: np.ndarray, pairs: Pairs) -> Figures:
    """Compares edited pictures with the truth.

    Args:
        pictures: (n, LENGTH - AT - 1, SIZE, SIZE, 1) float32 in [0, 1], all frames after the intervention.
        pairs: of the same clips.
    """
    nothing = np.zeros((SIZE, SIZE, 1), dtype=np.float32)

    def shared(truth: np.ndarray) -> np.ndarray:
        return by_clip(lambda real, drawn: overlap(real, drawn, nothing), truth[:, AT + 1 :], pictures)

    both = np.stack([shared(truth) for truth in pairs.truths])
    nearer, rows = both.argmax(0), np.arange(len(pictures))
    truth = pairs.truths[nearer, rows][:, AT + 1 :].reshape(pictures.shape)
    moved, expected = (np.diff(centroids(clips), axis=1) for clips in (pictures, truth))
    return {
        "content at the motion's places: overlap": both.max(0),
        "motion clip's own digits: overlap": shared(pairs.motion),
        "motion: a step of the centroid off by, pixels": np.linalg.norm(moved - expected, axis=-1).mean(1),
    }


def centroids(clips: np.ndarray) -> np.ndarray:
    """Centroid of the ink: frames (n, T, H, W, 1) → (n, T, 2) float64, row and column in pixels."""
    ink = clips[..., 0].astype(np.float64) + 1e-9  # an empty frame has its centre in the middle
    total = ink.sum((2, 3))
    rows, columns = np.arange(ink.shape[2]), np.arange(ink.shape[3])
    return np.stack([ink.sum(3) @ rows / total, ink.sum(2) @ columns / total], axis=-1)
