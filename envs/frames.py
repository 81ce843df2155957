"""Frames as states, and states as observations."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.errors import BadInputError
from nova_gym.model.doubt import cell_errors
from nova_gym.stepping import STATE_LIMIT


def observation_space(dream: Dream, observation: str) -> spaces.Box:
    """(K + M, rows, cols) float32 within ±`STATE_LIMIT` for `latent`, (H, W, C) uint8 for `pixels`."""
    config = dream.world_model.config
    if observation == "latent":
        channels = config.rank + config.memory
        return spaces.Box(-STATE_LIMIT, STATE_LIMIT, (channels, *dream.cells), np.float32)
    return spaces.Box(0, 255, (*dream.frame_size, config.inr.channels), np.uint8)


def observe(dream: Dream, states: Tensor, observation: str) -> np.ndarray:
    """States (N, K + M, rows, cols) as observations of the given kind; a copy."""
    if observation == "latent":
        return states.contiguous().cpu().numpy().copy()
    return dream.world_model.render(states, as_bytes=True).cpu().numpy()


@torch.no_grad()
def encode_frames(dream: Dream, frames: np.ndarray) -> Tensor:
    """Pictures as states.

    Args:
        dream: whose encoder to use.
        frames: (N, H, W, C) uint8, or floating point in [0, 1], of any size that divides into cells.

    Returns:
        (N, K, rows, cols) float32 on the dream's device.

    Raises:
        BadInputError: the frames have another shape or dtype, do not divide into cells, hold NaN, or leave [0, 1].
    """
    config = dream.world_model.config
    channels = config.inr.channels
    if frames.ndim != 4 or frames.shape[3] != channels:
        raise BadInputError(
            f"a frame must be (height, width, channels) with {channels} channels, not {frames.shape[1:]}"
        )
    config.cells_of(*frames.shape[1:3])
    if frames.dtype == np.uint8:
        frames = frames.astype(np.float32) / 255.0
    elif not np.issubdtype(frames.dtype, np.floating):
        raise BadInputError(f"a frame must be uint8, or floating point in [0, 1], not {frames.dtype}")
    elif not (np.isfinite(frames).all() and frames.min() >= 0.0 and frames.max() <= 1.0):
        raise BadInputError("a floating-point frame must be finite and within [0, 1]")
    tensor = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32)).permute(0, 3, 1, 2)
    return dream.world_model.encode(tensor.to(dream.world_model.device))


@torch.no_grad()
def first_states(dream: Dream, frames: np.ndarray, official: bool = False) -> Tensor:
    """Pictures as states to begin from, with a memory that is still empty.

    Args:
        dream: whose encoder and memory to use.
        frames: as in `encode_frames`.
        official: whether episodes of the real environment begin with these frames. If not, their past is not known.

    Returns:
        (N, K + M, rows, cols) float32 on the dream's device.

    Raises:
        BadInputError: as in `encode_frames`.
    """
    return dream.world_model.begin(encode_frames(dream, frames), official)


@torch.no_grad()
def drawing_errors(dream: Dream, states: Tensor, frames: np.ndarray) -> Tensor:
    """How badly the dream draws frames that it was given.

    Args:
        dream: whose renderer to use.
        states: (N, K + M, rows, cols), the frames encoded.
        frames: as in `encode_frames`.

    Returns:
        (N, rows, cols) float32, mean squared errors of the cells, for values in [0, 1].
    """
    scaled = frames.astype(np.float32) / (255.0 if frames.dtype == np.uint8 else 1.0)
    truth = torch.from_numpy(scaled).to(states.device).permute(0, 3, 1, 2)
    return cell_errors(dream.world_model, states, truth)


@torch.no_grad()
def next_states(dream: Dream, states: Tensor, frames: np.ndarray, actions: Tensor | None) -> Tensor:
    """The states after a step of the real environment: what its frames show, and the memory after hearing it.

    Args:
        dream: whose encoder and memory to use.
        states: (N, K + M, rows, cols), before the step.
        frames: as in `encode_frames`, after it.
        actions: as the simulator takes them; None if they are not known.

    Returns:
        (N, K + M, rows, cols) float32 on the dream's device.

    Raises:
        BadInputError: as in `encode_frames`.
    """
    return dream.world_model.recall(states, encode_frames(dream, frames), actions)


def heard_states(dream: Dream, frames: np.ndarray, actions: Tensor | None = None) -> Tensor:
    """The states at the end of clips, whose memory has heard them from their first frame on.

    Args:
        dream: whose encoder and memory to use.
        frames: (N, T + 1, H, W, C), each as in `encode_frames`.
        actions: (T, N, …) as the simulator takes them; None if they are not known.

    Returns:
        (N, K + M, rows, cols) float32 on the dream's device.

    Raises:
        BadInputError: as in `encode_frames`.
    """
    states = first_states(dream, frames[:, 0])
    for t in range(1, frames.shape[1]):
        states = next_states(dream, states, frames[:, t], None if actions is None else actions[t - 1])
    return states


def to_simulator(dream: Dream, actions: np.ndarray) -> Tensor:
    """The environment's own actions as the simulator takes them.

    Args:
        dream: whose actions.
        actions: (N, …), members of the environment's action space.

    Returns:
        (N,) int64 where the model sees a number, else (N, length) float32, on the dream's device.

    Raises:
        BadInputError: one is no member of the space.
    """
    return torch.from_numpy(dream_actions(dream).to_model(actions)).to(dream.world_model.device)
