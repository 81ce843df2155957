"""What do learned discrete actions mean, and how long do rollouts on them stay true? Measured on real MiniGrid.

`python -m nova_gym.benchmarks.codebook [--reality ID] [--json FILE]` walks at random in each level, on layouts that the
dream's recording does not hold. The inverse dynamics infer a latent action in each cell from each pair
of real frames, and the nearest code stands for it. The dream is rolled out on these codes alone, and for comparison on
the latent actions themselves. A frame is exact if every tile is within 0.02 mean squared error of the real one.

A code is what happens in one cell. A table shows, for each code, where the agent is after the step, as seen from that
cell, and the direction that it faces; and the real actions that the code stood for. Code 0 means that nothing moves.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nova_gym import BadInputError, Dream, DreamSimulator
from nova_gym.benchmarks.levels import CROSSINGS, add_reality_option, by_level
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import interval, show
from nova_gym.editing import infer_actions
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality.grids import pose
from nova_gym.envs.reality.lockstep import Bench
from nova_gym.envs.reality.minigrid_reality import minigrid_of
from nova_gym.measures import TILE_TOLERANCE, share, tile_errors

#: Steps of a walk.
STEPS = 10
#: An agent is near a cell if it is at most so many tiles away along each axis.
NEAR = 1.5
_FACING = ("right", "down", "left", "up")
CODE_COLUMNS = ("code", "times", "after the step", "share that does", "real actions", "in so many cells")


@dataclass(frozen=True)
class Walks:
    """Random walks; n walks.

    Attributes:
        frames: (n, `STEPS` + 1, H, W, C) uint8.
        poses: (n, `STEPS` + 1, 3) int64, x, y and direction of the agent.
        actions: (n, `STEPS`) int64.
        tile: pixels a side of a tile.
        names: of the actions, in their order.
    """

    frames: np.ndarray
    poses: np.ndarray
    actions: np.ndarray
    tile: int
    names: list[str]


def walk_at_random(dream: Dream, count: int, seed: int) -> Walks:
    """Walks from random places. Walks that reach the goal are left out.

    Args:
        dream: of a MiniGrid.
        count: n, number of walks.
        seed: of layouts and actions.

    Raises:
        BadInputError: the dream is not of a MiniGrid.
    """
    reality, bench = minigrid_of(dream), Bench(dream, "random", seed)
    env, found = reality.make(), []
    while len(found) < count:
        bench.restart(env)
        frames, poses, actions = [reality.frame(env)], [pose(env)], []
        while len(actions) < STEPS:
            action = reality.random_action(env, bench.rng)
            if env.step(action)[2]:
                break
            frames.append(reality.frame(env))
            poses.append(pose(env))
            actions.append(action)
        else:
            found.append((np.stack(frames), np.array(poses), np.array(actions)))
    tile = reality.tile(env)
    env.close()
    parts = (np.stack(part) for part in zip(*found, strict=True))
    return Walks(*parts, tile, dream.card.action_names)


@torch.no_grad()
def measure(dream: Dream, walks: Walks) -> dict[str, Any]:
    """Share of exact frames by step, and what each code means, JSON-ready.

    Raises:
        BadInputError: the dream has no codebook.
    """
    model = dream.world_model
    if not model.has_codebook:
        raise BadInputError("this dream has no codebook: `nova-gym train --stage codebook` makes one")
    count = len(walks.frames)
    states = encode_frames(dream, walks.frames.reshape(-1, *walks.frames.shape[2:])).unflatten(0, (count, -1))
    latent_actions = infer_actions(model, states)
    codes = model.nearest_code(latent_actions.flatten(0, 1)).unflatten(0, (count, -1))
    coded = model.decode(codes.flatten(0, 1)).unflatten(0, (count, -1))
    return {
        "walks": count,
        "codes": model.config.codes,
        "codes used": len(codes.unique()),
        "perplexity": float(model.part("codebook").perplexity()),
        "cells in which nothing moves": float((codes == 0).float().mean()),
        "exact frames, codes": _exact(dream, walks, states[:, 0], coded),
        "exact frames, latent actions": _exact(dream, walks, states[:, 0], latent_actions),
        "meaning": meaning(codes.cpu().numpy(), walks, model.config.cell),
    }


def _exact(dream: Dream, walks: Walks, state: Tensor, latent_actions: Tensor) -> dict[str, Any]:
    simulator, exact = DreamSimulator(dream, len(state), horizon=0, cells=tuple(state.shape[2:])), {}
    simulator.reset(states=state)
    for step in range(1, STEPS + 1):
        simulator.step_latent(latent_actions[:, step - 1])
        drawn = simulator.render().permute(0, 2, 3, 1).cpu().numpy()
        truth = walks.frames[:, step].astype(np.float32) / 255.0
        right = (tile_errors(truth, drawn, walks.tile) < TILE_TOLERANCE).all((1, 2))
        exact[str(step)] = share(right).to_dict()
    return exact


def meaning(codes: np.ndarray, walks: Walks, cell: tuple[int, int]) -> list[dict[str, Any]]:
    """What each code but 0 stands for, the most frequent code first.

    Args:
        codes: (n, `STEPS`, rows, cols) int64.
        walks: that they were inferred from.
        cell: (h, w) in pixels of a cell.

    Returns:
        For each code that occurs: how often; what is most often seen from its cell after the step, and the share of
        times that this is so; the shares of real actions; and the number of different cells that it occurred in.
    """
    rows, changed = [], _changed(walks.frames, cell)
    for code, times in Counter(codes[codes != 0].tolist()).most_common():
        walk, step, row, col = np.nonzero(codes == code)
        x, y, direction = walks.poses[walk, step + 1].T
        right = (x + 0.5) - (col + 0.5) * cell[1] / walks.tile
        down = (y + 0.5) - (row + 0.5) * cell[0] / walks.tile
        moved = changed[walk, step, row, col]
        seen = Counter(map(_seen, direction.tolist(), down.tolist(), right.tolist(), moved.tolist()))
        after, times_after = seen.most_common(1)[0]
        actions = Counter(walks.names[action] for action in walks.actions[walk, step].tolist())
        rows.append(
            {
                "code": code,
                "times": times,
                "after the step": after,
                "share that does": times_after / times,
                "real actions": {name: n / times for name, n in actions.most_common()},
                "in so many cells": len({*zip(row.tolist(), col.tolist(), strict=True)}),
            }
        )
    return rows


def _changed(frames: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """(n, T, rows, cols) bool, the cells of frames (n, T + 1, H, W, C) that look otherwise after each step."""
    off = (frames[:, 1:] != frames[:, :-1]).any(-1)
    rows, cols = (size // side for size, side in zip(off.shape[2:], cell, strict=True))
    return off.reshape(*off.shape[:2], rows, cell[0], cols, cell[1]).any((3, 5))


def _seen(direction: int, down: float, right: float, changed: bool) -> str:
    """Where the agent is, as seen from a cell, and its direction; distances in tiles."""
    if not changed and (down or right):
        return "the cell stays as it is"
    if max(abs(down), abs(right)) > NEAR:
        return "agent elsewhere"
    ways = [
        f"{abs(far):g} {way[far < 0]}" for far, way in ((down, ("below", "above")), (right, ("right", "left"))) if far
    ]
    return f"agent {', '.join(ways) or 'here'}, facing {_FACING[direction]}"


def main() -> None:
    """Measures, prints tables and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream of a MiniGrid (default: minigrid)")
    add_reality_option(parser)
    parser.add_argument("--walks", type=int, default=256, help="random walks of 10 steps a level (default: 256)")
    parser.add_argument("--rows", type=int, default=20, help="rows of the table of codes (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of layouts and actions (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, all rows included")
    arguments = parser.parse_args()
    if arguments.walks < 1:
        parser.error("--walks must be at least 1")
    try:
        levels = by_level(
            Dream.load(arguments.dream),
            arguments.reality or CROSSINGS,
            lambda dream: measure(dream, walk_at_random(dream, arguments.walks, arguments.seed)),
        )
    except BadInputError as error:
        parser.error(str(error))
    for level, figures in levels.items():
        _show(level, figures, arguments.rows)
    if arguments.json:
        write_results(arguments.json, {"levels": levels}, arguments.dream)


def _show(level: str, figures: dict[str, Any], rows: int) -> None:
    print(f"\n{figures['codes used']} of {figures['codes']} codes used, perplexity {figures['perplexity']:.0f}")
    exact = ("exact frames, codes", "exact frames, latent actions")
    steps = [(step, *(interval(figures[name][step]) for name in exact)) for step in figures[exact[0]]]
    show(f"{level}, rollouts", ("step", *exact), steps)
    show(f"{level}, the most frequent codes", CODE_COLUMNS, [code_cells(row) for row in figures["meaning"][:rows]])


def code_cells(row: dict[str, Any]) -> list[str]:
    """A row of `meaning` as cells for `CODE_COLUMNS`."""
    actions = ", ".join(f"{name} {part:.0%}" for name, part in row["real actions"].items())
    return [
        str(row["code"]),
        str(row["times"]),
        row["after the step"],
        f"{row['share that does']:.0%}",
        actions,
        str(row["in so many cells"]),
    ]


if __name__ == "__main__":
    main()
