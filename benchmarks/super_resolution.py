"""Encoded frames, rendered larger than they are, against upsampling filters.

`python -m nova_gym.benchmarks.super_resolution [--reality ID] [--json FILE]` encodes real MiniGrid frames of each level
and renders their states at ×0.5 to ×32. At ×2, ×4 and ×8 they are compared with the same scene as MiniGrid itself draws
it at that size. Filters that enlarge the real frame are compared in the same way, and differences are taken frame by
frame.

The dream draws by the weights that learned from its own frames alone, with the Nyquist mask off and on, and by those
for detail if it has them. LPIPS stands beside PSNR and SSIM on machines that have it (`nova_gym.measures.perceptual`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nova_gym import BadInputError, Dream
from nova_gym.benchmarks.levels import add_reality_option, by_level
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import interval, number, show
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality.scenes import scenes_of_a_kind
from nova_gym.measures import lpips, mean, psnr, ssim, why_no_lpips
from nova_gym.model import inr
from nova_gym.model.inr import Renderer, nyquist_mask

#: Levels to measure on. All scenes are official resets.
LEVELS = ("MiniGrid-SimpleCrossingS9N1-v0", "MiniGrid-SimpleCrossingS11N5-v0")
#: Sizes to render, and those of them to compare with reality drawn at that size.
FACTORS, COMPARED = (0.5, 1, 2, 4, 8, 16, 32), (2, 4, 8)
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
#: Ways to draw: by the weights that learned from the dream's own frames, without and with a mask; and by the weights
#: for detail from `nova-gym sharpen`, which a dream uses by default if it has them.
WEIGHTS, MASKED, DETAIL = "weights", "weights, Nyquist mask", "weights for detail"
COLUMNS = ("drawn by", "PSNR", "SSIM", "LPIPS", "PSNR above the best filter")
SIZE_COLUMNS = ("factor", "size", "milliseconds", "PSNR to ×1, dB")


def renderers(dream: Dream) -> tuple[str, ...]:
    """Names of the ways in which a dream can draw."""
    return (WEIGHTS, MASKED, DETAIL) if dream.world_model.has_detail else (WEIGHTS, MASKED)


@torch.no_grad()
def render(dream: Dream, states: Tensor, size: tuple[int, int], name: str) -> np.ndarray:
    """Draws states in one of the ways that `renderers` names.

    Args:
        dream: the dream that draws.
        states: (n, K, rows, cols) float32.
        size: (H, W) in pixels.
        name: `WEIGHTS`, `MASKED` or `DETAIL`.

    Returns:
        (n, H, W, C) uint8.
    """
    model = dream.world_model
    if name == WEIGHTS:
        renderer = Renderer(*model.part("renderer"), model.config.inr, None, model.config.cell, model.config.blend)
        drawn = inr.render(renderer, states, *size, as_bytes=True)
    else:
        drawn = model.render(states, size, nyquist=name == MASKED, as_bytes=True)
    return drawn.cpu().numpy()


def upsample(frames: np.ndarray, factor: int, resampling: Image.Resampling) -> np.ndarray:
    """Enlarges frames (n, H, W, C) uint8 by a filter → (n, factor · H, factor · W, C) uint8."""
    _, height, width, _ = frames.shape
    size = factor * width, factor * height
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, resampling)) for frame in frames])


def compare(dream: Dream, drawn: dict[int, np.ndarray]) -> dict[str, Any]:
    """PSNR and SSIM to reality of renderers and filters, by factor; JSON-ready.

    Args:
        dream: the dream that encodes and renders.
        drawn: the result of `scenes_of_a_kind`, factor 1 included.
    """
    states = encode_frames(dream, drawn[1])
    figures = {}
    for factor in (factor for factor in drawn if factor > 1):
        truth = drawn[factor]
        pictures = {name: upsample(drawn[1], factor, resampling) for name, resampling in FILTERS.items()}
        pictures |= {name: render(dream, states, truth.shape[1:3], name) for name in renderers(dream)}
        scores = {name: _scores(truth, frames) for name, frames in pictures.items()}
        best = max(FILTERS, key=lambda name: scores[name]["psnr"].mean())
        figures[f"×{factor}"] = {
            **{name: {m: mean(v).to_dict() for m, v in measures.items()} for name, measures in scores.items()},
            "best filter": best,
            "lead over the best filter": {
                name: {m: mean(scores[name][m] - scores[best][m]).to_dict() for m in ("psnr", "ssim")}
                for name in renderers(dream)
            },
        }
    return figures


def render_all_sizes(dream: Dream, state: Tensor) -> dict[str, Any]:
    """Seconds of a frame at each of `FACTORS`, and its PSNR to the ×1 frame after averaging both to the smaller size.

    Args:
        dream: the dream that renders.
        state: (1, K, rows, cols) float32.
    """
    height, width = dream.world_model.size_of(state)
    name = renderers(dream)[-1]  # with detail, ×1 has another renderer than larger sizes
    base = render(dream, state, (height, width), name)[0]
    figures = {}
    for factor in FACTORS:
        size = round(factor * height), round(factor * width)
        render(dream, state, size, name)  # the first frame of a size is slower
        began = time.perf_counter()
        frame = render(dream, state, size, name)[0]
        seconds = time.perf_counter() - began
        common = min(size, (height, width))
        averaged = [np.asarray(Image.fromarray(f).resize(common[::-1], Image.Resampling.BOX)) for f in (frame, base)]
        agreement = _scores(*(f[None] for f in averaged))["psnr"][0]
        figures[f"×{factor}"] = {"size": size, "seconds": seconds, "psnr to ×1": float(agreement)}
    return figures


def run(dream: Dream, count: int, seed: int) -> dict[str, Any]:
    """All figures of a level, JSON-ready.

    Raises:
        BadInputError: the dream's environment draws too few pixels.
    """
    drawn = scenes_of_a_kind(dream, "official", count, (1, *COMPARED), seed)
    state = encode_frames(dream, drawn[1][:1])
    return {"scenes": len(drawn[1]), **compare(dream, drawn), "all sizes": render_all_sizes(dream, state)}


def masked(dream: Dream) -> str:
    """How many Fourier features of a cell the Nyquist mask switches off, of all."""
    config = dream.world_model.config
    mask = nyquist_mask(config.inr.frequencies, *config.cell)
    return f"{int((mask == 0).sum())} of {len(mask)}"


def _scores(truth: np.ndarray, frames: np.ndarray) -> dict[str, np.ndarray]:
    first, second = (pictures.astype(np.float32) / 255.0 for pictures in (truth, frames))
    distance = lpips(first, second)
    return {"psnr": psnr(first, second), "ssim": ssim(first, second)} | (
        {} if distance is None else {"lpips": distance}
    )


def main() -> None:
    """Measures, prints tables and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream of a MiniGrid (default: minigrid)")
    add_reality_option(parser, LEVELS)
    parser.add_argument("--scenes", type=int, default=16, help="scenes of each level (default: 16)")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.scenes < 1:
        parser.error("--scenes must be at least 1")
    try:
        dream = Dream.load(arguments.dream)
        levels = by_level(
            dream, arguments.reality or LEVELS, lambda at_level: run(at_level, arguments.scenes, arguments.seed)
        )
    except BadInputError as error:
        parser.error(str(error))
    figures = {
        "features the Nyquist mask switches off": masked(dream),
        "LPIPS": why_no_lpips() or "on AlexNet",
        "levels": levels,
    }
    for level, measured in levels.items():
        for factor in COMPARED:
            show(f"{level}, {measured['scenes']} scenes, ×{factor}", COLUMNS, rows_of(measured[f"×{factor}"]))
        show(f"{level}, all sizes", SIZE_COLUMNS, rows_of_sizes(measured["all sizes"]))
    for name in ("features the Nyquist mask switches off", "LPIPS"):
        print(f"{name}: {figures[name]}")
    if arguments.json:
        write_results(arguments.json, figures, arguments.dream)


def rows_of(part: dict[str, Any]) -> list[list[str]]:
    """The result of `compare` at one factor, as cells for `COLUMNS`."""
    leads = part["lead over the best filter"]
    rows = []
    for name, scores in part.items():
        if name in ("best filter", "lead over the best filter"):
            continue
        marked = f"{name} (best filter)" if name == part["best filter"] else name
        lead = interval(leads[name]["psnr"], ".2f", "dB") if name in leads else "–"
        perceptual = interval(scores.get("lpips"), ".4f")
        rows.append([marked, interval(scores["psnr"], ".2f", "dB"), interval(scores["ssim"], ".4f"), perceptual, lead])
    return rows


def rows_of_sizes(figures: dict[str, Any]) -> list[list[str]]:
    """The result of `render_all_sizes`, as cells for `SIZE_COLUMNS`."""
    return [
        [
            factor,
            "{} × {}".format(*part["size"]),
            number(1000 * part["seconds"], ".1f"),
            number(part["psnr to ×1"], ".1f"),
        ]
        for factor, part in figures.items()
    ]


if __name__ == "__main__":
    main()
