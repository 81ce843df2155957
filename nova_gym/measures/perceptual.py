"""LPIPS, the perceptual distance of Zhang et al. (2018), where it can be had without a download.

It needs the package `lpips` (which needs torchvision) and the weights of AlexNet that torchvision keeps below
`torch.hub.get_dir()`. This package neither includes nor downloads them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

#: File of the weights of torchvision's AlexNet; its name holds the start of its SHA-256.
_WEIGHTS = "alexnet-owt-7be5be79.pth"
_BATCH = 32


def why_no_lpips() -> str:
    """Why `lpips` returns None on this machine; an empty string where it works."""
    for package in ("lpips", "torchvision"):
        if find_spec(package) is None:
            return f"the package {package} is not installed"
    weights = Path(torch.hub.get_dir()) / "checkpoints" / _WEIGHTS
    if not weights.is_file():
        return f"{weights} is missing, and it is not downloaded"
    return ""


@torch.no_grad()
def lpips(truth: np.ndarray, frames: np.ndarray) -> np.ndarray | None:
    """LPIPS of each pair, on AlexNet; lower is closer.

    Args:
        truth, frames: (n, H, W, C) floating point in [0, 1], C 1 or 3, at least 32 pixels a side.

    Returns:
        (n,) float64, or None where the package or its weights are missing: `why_no_lpips` says which.
    """
    if why_no_lpips():
        return None
    import lpips as package

    network = package.LPIPS(net="alex", verbose=False)
    pairs = [torch.from_numpy(np.array(p, dtype=np.float32)).permute(0, 3, 1, 2) for p in (truth, frames)]
    first, second = (p.expand(-1, 3, -1, -1).split(_BATCH) for p in pairs)
    distances = [network(a, b, normalize=True).flatten() for a, b in zip(first, second, strict=True)]
    return torch.cat(distances).double().numpy()
