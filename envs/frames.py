"""Frames as states, and states as observations."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.simulator import STATE_LIMIT


def observation_space(dream: Dream, observation: str) -> spaces.Box:
    """(K, rows, cols) float32 within ±`STATE_LIMIT` for `latent`, (H, W, C) uint8 for `pixels`."""
    config = dream.world_model.config
    if observation == "latent":
        return spaces.Box(-STATE_LIMIT, STATE_LIMIT, (config.rank, *dream.cells), np.float32)
    return spaces.Box(0, 255, (*dream.frame_size, config.inr.channels), np.uint8)


def observe(dream: Dream, states: Tensor, observation: str) -> np.ndarray:
    """States (N, K, rows, cols) as observations of the given kind; a copy."""
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
