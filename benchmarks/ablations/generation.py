"""Measures how well a model draws, predicts and goes on dreaming moving digits that no training clip shows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nova_gym.data import moving_digits, to_unit
from nova_gym.dream import Card, Dream
from nova_gym.editing import edit, infer_actions
from nova_gym.measures import jensen_shannon, psnr, ssim, wasserstein
from nova_gym.model.world_model import WorldModel
from nova_gym.simulator import DreamSimulator

#: Test clips, frames of context in each, and frames predicted from them.
CLIPS, CONTEXT, FORETOLD = 128, 10, 10
#: Clips and steps of the long rollouts.
LONG_CLIPS, LONG = 40, 1000
#: Steps after which errors of an open-loop rollout are measured, in addition to the first.
STEPS = (10, 19)

#: By name of the figure, one number for each clip.
Figures = dict[str, np.ndarray]


def measure_generation(model: WorldModel, seed: int) -> Figures:
    """Measures reconstruction, ten frames predicted from ten, rollouts on inferred latent actions, and long rollouts.

    Args:
        model: on the CPU, with a control model.
        seed: of the test clips.
    """
    frames = moving_digits(CLIPS, seed, test=True, length=CONTEXT + FORETOLD)
    states = encode(model, frames)
    foretold = generate(model, frames[:, :CONTEXT], FORETOLD)
    figures = {}
    for name, drawn, truth in (
        ("reconstruction", states, frames),
        (f"{FORETOLD} frames from {CONTEXT} by control", foretold[:, CONTEXT:], frames[:, CONTEXT:]),
        (f"open loop, {states.shape[1] - 1} steps", edit(model, states)[:, 1:], frames[:, 1:]),
    ):
        pictures = draw(model, drawn)
        figures[f"{name}: PSNR"] = by_clip(psnr, truth, pictures)
        figures[f"{name}: SSIM"] = by_clip(ssim, truth, pictures)
    return figures | measure_long_dream(model, seed)


def measure_long_dream(model: WorldModel, seed: int) -> Figures:
    """Distances by clip between the pixel histograms of a long rollout and of the true continuation."""
    frames = moving_digits(LONG_CLIPS, seed, test=True, length=CONTEXT + LONG)
    states = generate(model, frames[:, :CONTEXT], LONG)[:, CONTEXT:]
    distances = []
    for clip, truth in zip(states, frames[:, CONTEXT:], strict=True):
        drawn = model.render(clip, as_bytes=True).numpy()
        distances.append((wasserstein(truth, drawn), jensen_shannon(truth, drawn)))
    names = (f"T = {LONG}, median: Wasserstein-1", f"T = {LONG}, median: Jensen–Shannon")
    return dict(zip(names, np.asarray(distances).T, strict=True))


def measure_dynamics(model: WorldModel, frames: np.ndarray) -> Figures:
    """Errors of the next state, and of rollouts, on latent actions inferred from real frames.

    Args:
        model: on the CPU.
        frames: (n, T + 1, H, W) or (n, T + 1, H, W, C) uint8.

    Returns:
        By step, the mean squared error of states, whose mean square is 1, and the PSNR of frames in dB.
    """
    states = encode(model, frames)
    latent_actions = infer_actions(model, states)
    flat = model.step(states[:, :-1].flatten(0, 1), latent_actions.flatten(0, 1))
    one = flat.unflatten(0, latent_actions.shape[:2])
    rolled, last = edit(model, states), states.shape[1] - 1
    figures = {}
    for name, predicted, truth, real in (
        ("one step", one, states[:, 1:], frames[:, 1:]),
        *(
            (f"open loop, step {k}", rolled[:, k : k + 1], states[:, k : k + 1], frames[:, k : k + 1])
            for k in sorted({min(k, last) for k in STEPS})
        ),
    ):
        figures[f"{name}: state error"] = (predicted - truth).square().flatten(1).mean(1).numpy()
        figures[f"{name}: PSNR"] = by_clip(psnr, real, draw(model, predicted))
    return figures


@torch.no_grad()
def encode(model: WorldModel, frames: np.ndarray) -> Tensor:
    """Encodes frames (n, T, H, W) or (n, T, H, W, C) uint8 → states (n, T, K, rows, cols) float32."""
    clips = torch.from_numpy(frames)
    clips = clips[:, :, None] if clips.ndim == 4 else clips.movedim(-1, 2)
    return torch.stack([model.encode(to_unit(clip)) for clip in clips])


def draw(model: WorldModel, states: Tensor) -> np.ndarray:
    """Renders states (n, T, K, rows, cols) float32 → frames (n, T, H, W, C) float32 in [0, 1]."""
    return np.stack([model.render(clip).movedim(1, -1).numpy() for clip in states])


def generate(model: WorldModel, context: np.ndarray, steps: int) -> Tensor:
    """Continues context frames (n, c, H, W) uint8 by the control model → states (n, c + steps, K, rows, cols)."""
    clips = to_unit(torch.from_numpy(context))[:, :, None]
    horizon = context.shape[1] - 1 + steps
    simulator = DreamSimulator(Dream(model, {}, Card()), len(clips), 0)
    return simulator.generate(clips, (context.shape[1] - 1) / horizon, horizon)[0]


def by_clip(measure, truth: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Means over each clip of a measure of frames: (n,).

    Args:
        measure: of two stacks of frames (T, H, W, C) float32, one number a frame.
        truth: (n, T, H, W) or (n, T, H, W, C) uint8.
        pictures: (n, T, H, W, C) float32 in [0, 1].
    """
    truth = truth.reshape(pictures.shape).astype(np.float32) / 255.0
    return np.asarray([measure(*clip).mean() for clip in zip(truth, pictures, strict=True)])
