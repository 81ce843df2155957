"""Random numbers that depend on a key and a place alone, so that a dream's chance is its own in any batch."""

from __future__ import annotations

import torch
from torch import Tensor

#: Constants of the SplitMix64 generator (Steele, Lea and Flood 2014), as signed numbers.
_STEP, _FIRST, _SECOND = (n - (1 << 64) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def uniform(keys: Tensor, steps: Tensor, count: int) -> Tensor:
    """Numbers in [0, 1), the same for the same key, step and place, on every device.

    Args:
        keys: (N,) int64.
        steps: (N,) int64.
        count: how many for each.

    Returns:
        (N, count) float32.
    """
    place = torch.arange(count, device=keys.device)
    bits = keys[:, None] + _STEP * (1 + place + steps[:, None] * (1 << 32))
    bits = (bits ^ _shifted(bits, 30)) * _FIRST
    bits = (bits ^ _shifted(bits, 27)) * _SECOND
    return _shifted(bits ^ _shifted(bits, 31), 40).to(torch.float32) * 2.0**-24


def _shifted(bits: Tensor, count: int) -> Tensor:
    """A shift to the right that fills with zeros."""
    return (bits >> count) & ((1 << (64 - count)) - 1)
