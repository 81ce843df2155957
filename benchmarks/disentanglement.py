"""Does motion retargeting keep the content, and content retargeting the motion? Measured on real MiniGrid.

`python -m nova_gym.benchmarks.disentanglement [--reality ID] [--json FILE]` takes pairs of real clips of each level, on
layouts that the dream's recording does not hold. The two clips of a pair have the same layout or different ones, and
every tile on the second clip's way is free in the first one's layout.

Motion retargeting rolls the first clip out and, from a step on, moves it by the second's latent actions (from the
inverse dynamics). Content retargeting rolls the second clip out and at that step replaces its state by the first clip's
frame. Both should then show the first clip's layout with the agent at the second clip's pose. The real MiniGrid draws
that frame for comparison: it is exact if all tiles are within 0.02 mean squared error. As a control, the first clip is
rolled out unedited and measured in the same way.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from nova_gym import BadInputError, Dream
from nova_gym.benchmarks.levels import CROSSINGS, add_reality_option, by_level
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import interval, show
from nova_gym.editing import Intervention, edit, infer_actions
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality import grids
from nova_gym.envs.reality.clips import walk
from nova_gym.envs.reality.lockstep import Bench
from nova_gym.envs.reality.minigrid_reality import MiniGridReality, minigrid_of
from nova_gym.measures import TILE_TOLERANCE, find_tiles, mean, overlap, share, tile_errors

#: Step of the intervention, and steps of a clip.
AT, STEPS = 3, 8
#: A retargeted agent must reach its pose within so many steps (the paper: 1 to 2).
WITHIN = 2
RETARGETINGS = ("motion retargeting", "content retargeting", "control: no edit")


@dataclass(frozen=True)
class Pairs:
    """Pairs of clips; n pairs, T steps.

    Attributes:
        content, motion: (n, T + 1, H, W, C) uint8, real.
        truth: (n, T + 1, H, W, C) uint8, the content clip's layout with the agent where the motion clip has it.
        poses: (n, T + 1, 3) int64 row, column and direction of the motion clip's agent.
        same: (n,) bool, whether both are on the same layout.
        looks: (4, s, s, C) uint8, the agent's tile in each direction.
        empty: (H, W, C) uint8, the grid with its outer walls alone, without goal and agent.
        layouts: number of different layouts of the content clips.
    """

    content: np.ndarray
    motion: np.ndarray
    truth: np.ndarray
    poses: np.ndarray
    same: np.ndarray
    looks: np.ndarray
    empty: np.ndarray
    layouts: int


def run(dream: Dream, count: int, seed: int) -> dict[str, Any]:
    """All figures of a level, JSON-ready: by place of the goal, then by retargeting, part of the pairs and name.

    Raises:
        BadInputError: the dream is not of a MiniGrid.
    """
    figures = {}
    for starts in ("official", "random"):
        pairs = find_pairs(dream, count, starts, seed)
        figures[starts] = {"layouts": pairs.layouts, **measure(dream, pairs)}
    return figures


def find_pairs(dream: Dream, count: int, starts: str, seed: int) -> Pairs:
    """Walks until there are `count` pairs; in every other pair both clips have the same layout.

    Args:
        dream: of a MiniGrid environment.
        count: n.
        starts: place of the goal: `official`, as the environment resets itself, or `random`. The agent starts anywhere.
        seed: of layouts and walks.

    Raises:
        BadInputError: the dream is of another environment.
    """
    reality, bench = minigrid_of(dream), Bench(dream, starts, seed)
    env, other, rng = reality.make(), reality.make(), bench.rng
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray, list[grids.Pose]]] = []
    layouts = set()
    while len(found) < count:
        bench.restart(env)
        bench.restart(other)
        layout = reality.layout_id(env)
        if not len(found) % 2:
            other.unwrapped.grid = env.unwrapped.grid.copy()
        for environment in (env, other):
            free = grids.free_cells(environment)
            grids.place_agent(environment, free[int(rng.integers(len(free)))], int(rng.integers(4)))
        poses: list[grids.Pose] = []
        content = walk(env, reality, STEPS, rng)
        motion = walk(other, reality, STEPS, rng, lambda e, seen=poses: seen.append(grids.pose(e)))
        if content is None or motion is None:
            continue
        if all(env.unwrapped.grid.get(x, y) is None for x, y, _ in poses):
            truth = np.stack([_drawn(env, reality, pose) for pose in poses])
            found.append((content, motion, truth, poses))
            layouts.add(layout)
    looks, empty = _looks(env, reality)
    env.close()
    other.close()
    content, motion, truth, poses = (np.stack(part) for part in zip(*found, strict=True))
    same = np.arange(count) % 2 == 0
    return Pairs(content, motion, truth, poses[..., [1, 0, 2]], same, looks, empty, len(layouts))


def measure(dream: Dream, pairs: Pairs) -> dict[str, Any]:
    """Both retargetings of all pairs and the control, JSON-ready: by name, by part of the pairs, by figure."""
    model = dream.world_model
    count = len(pairs.content)
    content, motion = (
        encode_frames(dream, frames.reshape(-1, *frames.shape[2:])).unflatten(0, (count, -1))
        for frames in (pairs.content, pairs.motion)
    )
    latent_actions = infer_actions(model, motion)[:, AT:]
    band = dream.card.dead_band
    edited = (
        edit(model, content, [Intervention(AT, motion=latent_actions)], band),
        edit(model, motion, [Intervention(AT, content=content[:, AT])], band),
        edit(model, content, dead_band=band),
    )
    parts = {"all": np.ones(count, dtype=bool), "same layout": pairs.same, "other layout": ~pairs.same}
    figures = {}
    for name, states in zip(RETARGETINGS, edited, strict=True):
        frames = _frames(model, states)
        figures[name] = {part: _summary(frames[rows], pairs, rows) for part, rows in parts.items()}
    return figures


def _summary(frames: np.ndarray, pairs: Pairs, rows: np.ndarray) -> dict[str, Any]:
    """Figures of the frames (n, T + 1, H, W, C) after the intervention; steps are counted from there."""
    frames, truth = frames[:, AT + 1 :], pairs.truth[rows, AT + 1 :].astype(np.float32) / 255.0
    poses = pairs.poses[rows, AT + 1 :]
    n, steps = poses.shape[:2]
    flat, flat_truth = (clips.reshape(n * steps, *clips.shape[2:]) for clips in (frames, truth))
    right = tile_errors(flat_truth, flat, pairs.looks.shape[1]) < TILE_TOLERANCE
    places, misfit = find_tiles(flat, pairs.looks.astype(np.float32) / 255.0)
    tracked = (places == poses.reshape(-1, 3)).all(1) & (misfit < TILE_TOLERANCE)
    elsewhere = np.ones_like(right)
    elsewhere[np.arange(n * steps), *poses.reshape(-1, 3)[:, :2].T] = False
    layout = (right & elsewhere).sum((1, 2)) / elsewhere.sum((1, 2))
    exact = right.all((1, 2)).reshape(n, steps)
    empty = pairs.empty.astype(np.float32) / 255.0
    later = slice(WITHIN - 1, None)
    figures = {
        f"pose reached within {WITHIN} steps, layout unchanged": share(exact[:, :WITHIN].any(1)),
        **{f"exact, step {k + 1}": share(exact[:, k]) for k in range(steps)},
        f"motion: tracked pose right, from step {WITHIN}": mean(tracked.reshape(n, steps)[:, later].mean(1)),
        f"content: other tiles right, from step {WITHIN}": mean(layout.reshape(n, steps)[:, later].mean(1)),
        f"foreground overlap with the truth, step {WITHIN}": mean(
            overlap(truth[:, later][:, 0], frames[:, later][:, 0], empty)
        ),
    }
    return {name: figure.to_dict() for name, figure in figures.items()}


def _frames(model: Any, states: torch.Tensor) -> np.ndarray:
    """(n, T, K, rows, cols) → (n, T, H, W, C) float32."""
    frames = model.render(states.flatten(0, 1)).permute(0, 2, 3, 1).cpu().numpy()
    return frames.reshape(*states.shape[:2], *frames.shape[1:])


def _drawn(env: gym.Env, reality: MiniGridReality, pose: grids.Pose) -> np.ndarray:
    """(H, W, C) uint8, the layout of `env` with the agent at another pose."""
    grids.place_agent(env, pose[:2], pose[2])
    return reality.frame(env)


def _looks(env: gym.Env, reality: MiniGridReality) -> tuple[np.ndarray, np.ndarray]:
    """The agent's tile in each direction, and the grid with outer walls alone and no agent; changes `env`."""
    grid = env.unwrapped
    tile = reality.tile(env)
    for x in range(1, grid.width - 1):
        for y in range(1, grid.height - 1):
            grid.grid.set(x, y, None)
    frames = [_drawn(env, reality, (1, 1, direction)) for direction in range(4)]
    empty = frames[0].copy()
    empty[tile : 2 * tile, tile : 2 * tile] = empty[tile : 2 * tile, 2 * tile : 3 * tile]
    return np.stack([frame[tile : 2 * tile, tile : 2 * tile] for frame in frames]), empty


def main() -> None:
    """Measures, prints tables and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream of a MiniGrid (default: minigrid)")
    add_reality_option(parser)
    parser.add_argument(
        "--pairs", type=int, default=128, help="pairs of clips for each level and place of the goal (default: 128)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of layouts and walks (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.pairs < 2:
        parser.error("--pairs must be at least 2: one pair on the same layout, one on different layouts")
    try:
        levels = by_level(
            Dream.load(arguments.dream),
            arguments.reality or CROSSINGS,
            lambda dream: run(dream, arguments.pairs, arguments.seed),
        )
    except BadInputError as error:
        parser.error(str(error))
    for level, figures in levels.items():
        for starts, measured in figures.items():
            names = measured[RETARGETINGS[0]]["all"]
            rows = [(name, *(interval(measured[way]["all"][name]) for way in RETARGETINGS)) for name in names]
            show(f"{level}, goal {starts}, {measured['layouts']} layouts", ("", *RETARGETINGS), rows)
    if arguments.json:
        write_results(arguments.json, {"levels": levels}, arguments.dream)


if __name__ == "__main__":
    main()
