"""One encoded frame, rendered finer than anything the model ever saw, against upsampling filters.

`python -m nova_gym.benchmarks.super_resolution [--json FILE]` encodes real MiniGrid frames, renders the same weights at
×0.5 to ×32, and at ×2, ×4 and ×8 compares them with the same scene that MiniGrid draws at that size by itself; so do
the filters, which enlarge the real frame. Differences are taken frame by frame. The Nyquist mask is off and on. LPIPS
stands beside PSNR and SSIM on machines that have it (`nova_gym.perceptual`).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nova_gym import BadInputError, Dream
from nova_gym.envs import minigrid as grids
from nova_gym.envs.interface import encode_frames, reality_of
from nova_gym.envs.reality import RealitySpec
from nova_gym.files import write_atomically
from nova_gym.inr import nyquist_mask
from nova_gym.metrics import mean, psnr, ssim
from nova_gym.perceptual import lpips, why_no_lpips

#: Sizes that are rendered, and those of them that are compared with reality drawn at that size.
FACTORS, COMPARED = (0.5, 1, 2, 4, 8, 16, 32), (2, 4, 8)
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
RENDERERS = {"weights": False, "weights, Nyquist mask": True}


def scenes(dream: Dream, starts: str, count: int, factors: tuple[int, ...], seed: int) -> dict[int, np.ndarray]:
    """The same scenes of the real environment at several sizes.

    Args:
        dream: of a MiniGrid environment.
        starts: `official`, as the environment resets itself: all different, and as many as there are up to `count`;
            `random`, held-out layouts with agent and goal anywhere.
        count: n.
        factors: sizes, 1 for that of the dream's frames.
        seed: of the scenes.

    Returns:
        By factor, (n, H, W, C) uint8.

    Raises:
        BadInputError: the dream is of something else.
    """
    spec = reality_of(dream)
    first = spec.make()
    if not grids.is_minigrid(first):
        raise BadInputError(f"{spec.env_id} is not a MiniGrid: only that can be drawn at any size")
    tile = spec.frame_size[1] // first.unwrapped.width
    specs = {factor: enlarged(spec, tile, factor) for factor in factors}
    envs = {factor: bigger.make() for factor, bigger in specs.items()}
    hold_out = starts == "random" and grids.can_hold_out(first)
    rng, seen = np.random.default_rng([seed, 0x5CA1E]), set()
    drawn: dict[int, list[np.ndarray]] = {factor: [] for factor in factors}
    for _ in range(grids.ATTEMPTS * count):
        chosen, placing = int(rng.integers(2**31)), int(rng.integers(2**31))
        for env in (first, *envs.values()):
            env.reset(seed=chosen)
            if starts == "random":
                grids.scatter(env, np.random.default_rng(placing))
        scene = first.unwrapped.grid.encode().tobytes(), tuple(first.unwrapped.agent_pos), first.unwrapped.agent_dir
        if scene in seen or (hold_out and not grids.is_held_out(first)):
            continue
        seen.add(scene)
        for factor, env in envs.items():
            drawn[factor].append(specs[factor].frame(env))
        if len(seen) == count:
            break
    for env in (first, *envs.values()):
        env.close()
    return {factor: np.stack(frames) for factor, frames in drawn.items()}


def enlarged(spec: RealitySpec, tile: int, factor: int) -> RealitySpec:
    """The same MiniGrid drawn natively at another size; `tile` is its pixels a side of a tile now."""
    height, width = (factor * side for side in spec.frame_size)
    return RealitySpec(spec.env_id, {**spec.env_kwargs, "tile_size": factor * tile}, (height, width))


def upsample(frames: np.ndarray, factor: int, resampling: Image.Resampling) -> np.ndarray:
    """(n, H, W, C) uint8 → (n, factor · H, factor · W, C) uint8."""
    _, height, width, _ = frames.shape
    size = factor * width, factor * height
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, resampling)) for frame in frames])


def compare(dream: Dream, drawn: dict[int, np.ndarray]) -> dict[str, Any]:
    """PSNR and SSIM to reality of renderers and filters, by factor; JSON-ready.

    Args:
        dream: that encodes and renders.
        drawn: what `scenes` gave, factor 1 among them.
    """
    states = encode_frames(dream, drawn[1])
    figures = {}
    for factor in (factor for factor in drawn if factor > 1):
        truth = drawn[factor]
        pictures = {name: upsample(drawn[1], factor, resampling) for name, resampling in FILTERS.items()}
        pictures |= {name: _render(dream, states, truth.shape[1:3], mask) for name, mask in RENDERERS.items()}
        scores = {name: _scores(truth, frames) for name, frames in pictures.items()}
        best = max(FILTERS, key=lambda name: scores[name]["psnr"].mean())
        figures[f"×{factor}"] = {
            **{name: {m: mean(v).to_dict() for m, v in measures.items()} for name, measures in scores.items()},
            "best filter": best,
            "lead over the best filter": {
                measure: mean(scores["weights"][measure] - scores[best][measure]).to_dict()
                for measure in ("psnr", "ssim")
            },
        }
    return figures


def render_all_sizes(dream: Dream, state: Tensor) -> dict[str, Any]:
    """Seconds that a frame takes at each of `FACTORS`, and its PSNR to the ×1 frame once both are averaged to one size.

    Args:
        dream: that renders.
        state: (1, K).
    """
    height, width = dream.world_model.config.frame_size
    base = _render(dream, state, (height, width), False)[0]
    figures = {}
    for factor in FACTORS:
        size = round(factor * height), round(factor * width)
        _render(dream, state, size, False)  # the first of a size is slower
        began = time.perf_counter()
        frame = _render(dream, state, size, False)[0]
        seconds = time.perf_counter() - began
        common = min(size, (height, width))
        averaged = [np.asarray(Image.fromarray(f).resize(common[::-1], Image.Resampling.BOX)) for f in (frame, base)]
        agreement = _scores(*(f[None] for f in averaged))["psnr"][0]
        figures[f"×{factor}"] = {"size": size, "seconds": seconds, "psnr to ×1": float(agreement)}
    return figures


def run(dream: Dream, count: int, seed: int) -> dict[str, Any]:
    """All figures, JSON-ready.

    Raises:
        BadInputError: the dream is not of a MiniGrid.
    """
    model = dream.world_model.config
    mask = nyquist_mask(model.inr.frequencies, *model.frame_size)
    figures: dict[str, Any] = {
        "features the Nyquist mask switches off": f"{int((mask == 0).sum())} of {len(mask)}",
        "LPIPS": why_no_lpips() or "on AlexNet",
    }
    for starts in ("official", "random"):
        drawn = scenes(dream, starts, count, (1, *COMPARED), seed)
        figures[starts] = {"scenes": len(drawn[1]), **compare(dream, drawn)}
    figures["all sizes"] = render_all_sizes(dream, encode_frames(dream, drawn[1][:1]))
    return figures


@torch.no_grad()
def _render(dream: Dream, states: Tensor, size: tuple[int, int], nyquist: bool) -> np.ndarray:
    """(n, H, W, C) uint8: what the filters give as well."""
    return dream.world_model.render(states, size, nyquist, as_bytes=True).cpu().numpy()


def _scores(truth: np.ndarray, frames: np.ndarray) -> dict[str, np.ndarray]:
    first, second = (pictures.astype(np.float32) / 255.0 for pictures in (truth, frames))
    distance = lpips(first, second)
    return {"psnr": psnr(first, second), "ssim": ssim(first, second)} | (
        {} if distance is None else {"lpips": distance}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream of a MiniGrid (default: minigrid)")
    parser.add_argument("--scenes", type=int, default=32, help="of each kind of start (default: 32)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    if arguments.scenes < 1:
        parser.error("--scenes must be at least 1")
    try:
        figures = run(Dream.load(arguments.dream), arguments.scenes, arguments.seed)
    except BadInputError as error:
        parser.error(str(error))
    _show(figures)
    if arguments.json:
        with write_atomically(arguments.json) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n")


def _show(figures: dict[str, Any]) -> None:
    for starts in ("official", "random"):
        for factor in COMPARED:
            part = figures[starts][f"×{factor}"]
            print(f"{starts} starts, {figures[starts]['scenes']} scenes, ×{factor}; best filter: {part['best filter']}")
            for name in (*FILTERS, *RENDERERS, "lead over the best filter"):
                ratio, likeness = part[name]["psnr"], part[name]["ssim"]
                print(
                    f"  {name:26} {ratio['value']:6.2f} dB [{ratio['low']:.2f}, {ratio['high']:.2f}]"
                    f"   SSIM {likeness['value']:.4f} [{likeness['low']:.4f}, {likeness['high']:.4f}]"
                    + (f"   LPIPS {part[name]['lpips']['value']:.4f}" if "lpips" in part[name] else "")
                )
    for name in ("features the Nyquist mask switches off", "LPIPS"):
        print(f"{name}: {figures[name]}")
    for factor, part in figures["all sizes"].items():
        print(f"  {factor}: {part['size']}, {part['seconds'] * 1000:.1f} ms, {part['psnr to ×1']:.1f} dB to ×1")


if __name__ == "__main__":
    main()
