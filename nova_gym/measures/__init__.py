"""Measures: how close two pictures are, how far apart two sets of pictures are, and how sure a number is."""

from nova_gym.measures.agreement import agreement
from nova_gym.measures.distances import histogram, jensen_shannon, wasserstein
from nova_gym.measures.intervals import Estimate, difference, mean, share
from nova_gym.measures.perceptual import lpips, why_no_lpips
from nova_gym.measures.pictures import (
    FOREGROUND,
    PSNR_CAP,
    TILE_TOLERANCE,
    alike,
    find_tiles,
    overlap,
    psnr,
    ssim,
    tile_errors,
)

__all__ = [
    "FOREGROUND",
    "PSNR_CAP",
    "TILE_TOLERANCE",
    "Estimate",
    "agreement",
    "alike",
    "difference",
    "find_tiles",
    "histogram",
    "jensen_shannon",
    "lpips",
    "mean",
    "overlap",
    "psnr",
    "share",
    "ssim",
    "tile_errors",
    "wasserstein",
    "why_no_lpips",
]
