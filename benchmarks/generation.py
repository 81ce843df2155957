"""Does a dream go on as the world would? Measured on moving digits that no training clip shows.

`python -m nova_gym.benchmarks.generation [--json FILE]` gives the control model 10 frames of clips of test digits. The
10 frames that it dreams next are compared with the true ones (PSNR, SSIM), beside two references: standing still, and
the inverse dynamics, which see the true frames.

Then the dream goes on to 1,000 steps. After 20 and 100 steps a classifier names the digits wherever two of them can be
told apart (`nova_gym.benchmarks.identity`). For each clip, the histogram of all its pixels is compared with that of the
same digits bouncing on for as long, by Wasserstein-1 distance and Jensen–Shannon distance to base 2
(`nova_gym.measures`); the table shows medians over clips. Two references stand beside it: the true frames encoded and
drawn, without any prediction, and the true frames with pixels between black and white changed by up to two grey levels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nova_gym import BadInputError, Dream, DreamSimulator
from nova_gym.benchmarks import identity
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import interval, number, show
from nova_gym.data.moving_digits import labelled_clips
from nova_gym.editing import edit
from nova_gym.measures import jensen_shannon, mean, psnr, ssim, wasserstein
from nova_gym.terminal import progress_bars
from nova_gym.training.representation import encode_in_parts

#: Frames of context, and frames that are predicted and compared one by one.
CONTEXT, PREDICTED = 10, 10
COMPARED = f"frames {CONTEXT + 1} to {CONTEXT + PREDICTED}"
#: Steps after which digits are named.
NAMED = (20, 100)
#: Grey levels by which pixels are changed at most, in the reference that shows how sensitive the histograms are.
OFF = 2
#: The references of the long run.
DRAWN = "true frames encoded and drawn"
BESIDE = (f", {DRAWN}", f", true frames ±{OFF} grey levels")


@torch.no_grad()
def measure(
    dream: Dream, clips: int, steps: int, seed: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """All figures, JSON-ready.

    Args:
        dream: of moving digits, with a control model.
        clips: how many.
        steps: of the long run, context included.
        seed: of the clips.
        progress: called with the number of steps made and their total.

    Raises:
        BadInputError: the dream has no control model, or other frames than moving digits.
    """
    size = dream.world_model.config.frame_size[0]
    truth, labels, _ = labelled_clips(clips, seed, test=True, length=steps + 1, size=size)
    real = torch.from_numpy(truth[:, : CONTEXT + PREDICTED])[:, :, None].float() / 255.0
    simulator = DreamSimulator(dream, clips, horizon=0)
    ratio = (CONTEXT - 1) / steps
    states, _ = simulator.generate(real[:, :CONTEXT], ratio, steps, progress)
    model = dream.world_model
    encoded = model.encode(real.flatten(0, 1)).unflatten(0, real.shape[:2])
    guided = edit(model, encoded[:, CONTEXT - 1 :], dead_band=dream.card.dead_band)
    ways = {
        "control model": states[:, CONTEXT : CONTEXT + PREDICTED],
        "inverse dynamics, which see the true frames": guided[:, 1:],
        "encoder, frame by frame": encoded[:, CONTEXT:],
        "standing still": encoded[:, CONTEXT - 1 : CONTEXT].expand_as(encoded[:, CONTEXT:]),
    }
    wanted = truth[:, CONTEXT : CONTEXT + PREDICTED, :, :, None].astype(np.float32) / 255.0
    short = {name: _compare(wanted, _draw(dream, chosen)) for name, chosen in ways.items()}
    long = {"steps": steps, **_long_run(dream, truth[:, CONTEXT:], states[:, CONTEXT:], seed)}
    named = {str(step): _named(dream, truth, states, labels, step) for step in NAMED if step + identity.FRAMES <= steps}
    return {"clips": clips, "seed": seed, COMPARED: short, "digits named rightly": named, "long run": long}


def _named(
    dream: Dream, truth: np.ndarray, states: torch.Tensor, labels: np.ndarray, step: int
) -> dict[str, dict[str, float] | None]:
    """Shares of digits that the classifier names rightly from a step on: dreamt ones, and for reference true ones."""
    real = truth[:, step : step + identity.FRAMES]
    encoded = encode_in_parts(dream.world_model, torch.from_numpy(real.reshape(-1, 1, *real.shape[2:])))
    drawn = {
        "control model": _draw(dream, states[:, step : step + identity.FRAMES])[..., 0],
        DRAWN: _draw(dream, encoded.unflatten(0, real.shape[:2]))[..., 0],
        "true frames": real / 255.0,
    }
    return {name: identity.identity(frames, real / 255.0, labels) for name, frames in drawn.items()}


def _long_run(dream: Dream, truth: np.ndarray, states: torch.Tensor, seed: int) -> dict[str, float]:
    """Medians over clips of the distances between true frames (clips, T, H, W) and states (clips, T, K, rows, cols).

    The references in `BESIDE` are measured as well.
    """
    rng = np.random.default_rng(seed)
    distances = []
    for pixels, dreamt in zip(truth, states, strict=True):
        encoded = encode_in_parts(dream.world_model, torch.from_numpy(pixels)[:, None])
        off = pixels + rng.integers(-OFF, OFF, pixels.shape, endpoint=True)
        nearly = np.where((pixels > 0) & (pixels < 255), off.clip(0, 255), pixels).astype(np.uint8)
        others = _draw(dream, dreamt[None]), _draw(dream, encoded[None]), nearly
        distances.append([(wasserstein(pixels, other), jensen_shannon(pixels, other)) for other in others])
    medians = {}
    for name, (away, shape) in zip(("", *BESIDE), np.median(distances, axis=0), strict=True):
        medians |= {f"median Wasserstein-1{name}": float(away), f"median Jensen–Shannon{name}": float(shape)}
    return medians


def _draw(dream: Dream, states: torch.Tensor) -> np.ndarray:
    """(n, T, K, rows, cols) → (n, T, H, W, C) float32."""
    parts = [dream.world_model.render(part) for part in states.flatten(0, 1).split(512)]
    return torch.cat(parts).permute(0, 2, 3, 1).unflatten(0, states.shape[:2]).numpy()


def _compare(truth: np.ndarray, drawn: np.ndarray) -> dict[str, Any]:
    """PSNR and SSIM, each averaged over the frames of a clip and then over clips, and PSNR by frame."""
    flat = (clips.reshape(-1, *clips.shape[2:]) for clips in (truth, drawn))
    truth, drawn = flat
    ratios, likeness = (measured.reshape(-1, PREDICTED) for measured in (psnr(truth, drawn), ssim(truth, drawn)))
    return {
        "psnr": mean(ratios.mean(1)).to_dict(),
        "ssim": mean(likeness.mean(1)).to_dict(),
        "psnr by frame": [round(float(value), 2) for value in ratios.mean(0)],
    }


def main() -> None:
    """Measures, prints tables and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="digits", help="name or path of a dream of moving digits (default: digits)")
    parser.add_argument("--clips", type=int, default=64, help="clips of test digits (default: 64)")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the long run (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the clips (default: 1)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.clips < 1 or arguments.steps < CONTEXT + PREDICTED:
        parser.error(f"--clips must be at least 1 and --steps at least {CONTEXT + PREDICTED}")
    try:
        dream = Dream.load(arguments.dream)
        with progress_bars() as bars:
            figures = measure(
                dream,
                arguments.clips,
                arguments.steps,
                arguments.seed,
                lambda done, total: bars("dreaming", done, total),
            )
    except BadInputError as error:
        parser.error(str(error))
    ways, long = figures[COMPARED], figures["long run"]
    rows = [(name, interval(way["psnr"], ".2f", "dB"), interval(way["ssim"])) for name, way in ways.items()]
    show(f"{COMPARED}, {figures['clips']} clips", ("by", "PSNR", "SSIM"), rows)
    named = figures["digits named rightly"]
    rows = [(step, name, interval(value)) for step, names in named.items() for name, value in names.items()]
    show("digits named rightly", ("step", "in", "share"), rows)
    show("long run", ("", "value"), [(name, number(value, ".4g")) for name, value in long.items()])
    if arguments.json:
        write_results(arguments.json, figures, arguments.dream)


if __name__ == "__main__":
    main()
