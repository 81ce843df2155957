"""What do learned discrete actions mean, and how long do rollouts on them stay true? Measured on real MiniGrid.

`python -m nova_gym.benchmarks.codebook [--json FILE]` walks at random on held-out layouts. The inverse dynamics infer a
latent action from each pair of real frames, and the nearest code stands for the step. The dream is rolled out on these
codes alone, and for comparison on the latent actions themselves. A frame is exact if every tile is within 0.02 mean
squared error of the real one. A table shows, for each code, the pose in which it leaves the agent, and the real actions
that it stood for.
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
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import interval, show
from nova_gym.editing import infer_actions
from nova_gym.envs.adapter import encode_frames
from nova_gym.envs.reality.grids import pose
from nova_gym.envs.reality.minigrid_reality import minigrid_of
from nova_gym.measures import TILE_TOLERANCE, share, tile_errors

#: Steps of a walk.
STEPS = 10
_FACING = ("right", "down", "left", "up")
CODE_COLUMNS = ("code", "times", "leads to", "share that does", "real actions", "from so many poses")


@dataclass(frozen=True)
class Walks:
    """Random walks on held-out layouts; n walks.

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
    """Walks from random places on held-out layouts. Walks that reach the goal are left out.

    Args:
        dream: of a MiniGrid.
        count: n, number of walks.
        seed: of layouts and actions.

    Raises:
        BadInputError: the dream is not of a MiniGrid.
    """
    reality, rng = minigrid_of(dream), np.random.default_rng([seed, 0xC0DE])
    env = reality.make()
    hold_out, found = reality.can_hold_out(env), []
    while len(found) < count:
        env.reset(seed=int(rng.integers(2**31)))
        reality.scatter(env, rng)
        if hold_out and not reality.is_held_out(env):
            continue
        frames, poses, actions = [reality.frame(env)], [pose(env)], []
        while len(actions) < STEPS:
            action = reality.random_action(env, rng)
            if env.step(action)[2]:
                break
            frames.append(reality.frame(env))
            poses.append(pose(env))
            actions.append(action)
        else:
            found.append((np.stack(frames), np.array(poses), np.array(actions)))
    tile = reality.tile(env)
    env.close()
    return Walks(*(np.stack(part) for part in zip(*found, strict=True)), tile, dream.card.action_names)


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
    coded = model.decode(codes)
    return {
        "codes": model.config.codes,
        "codes used": len(codes.unique()),
        "perplexity": float(model.part("codebook").perplexity()),
        "exact frames, codes": _exact(dream, walks, states[:, 0], coded),
        "exact frames, latent actions": _exact(dream, walks, states[:, 0], latent_actions),
        "meaning": _meaning(codes.numpy(), walks),
    }


def _exact(dream: Dream, walks: Walks, state: Tensor, latent_actions: Tensor) -> dict[str, Any]:
    simulator, exact = DreamSimulator(dream, len(state), horizon=0), {}
    simulator.reset(states=state)
    for step in range(1, STEPS + 1):
        simulator.step_latent(latent_actions[:, step - 1])
        drawn = simulator.render().permute(0, 2, 3, 1).numpy()
        truth = walks.frames[:, step].astype(np.float32) / 255.0
        right = (tile_errors(truth, drawn, walks.tile) < TILE_TOLERANCE).all((1, 2))
        exact[str(step)] = share(right).to_dict()
    return exact


def _meaning(codes: np.ndarray, walks: Walks) -> list[dict[str, Any]]:
    """For each code that occurs, the most frequent first: the pose it leads to, and the real actions it stood for."""
    rows = []
    for code, times in Counter(codes.flatten().tolist()).most_common():
        where = codes == code
        after, times_after = Counter(map(tuple, walks.poses[:, 1:][where].tolist())).most_common(1)[0]
        actions = Counter(walks.names[action] for action in walks.actions[where].tolist())
        sources = {tuple(pose) for pose in walks.poses[:, :-1][where].tolist()}
        x, y, direction = after
        rows.append(
            {
                "code": code,
                "times": times,
                "leads to": f"({x}, {y}) facing {_FACING[direction]}",
                "share that does": times_after / times,
                "real actions": {name: n / times for name, n in actions.most_common()},
                "from so many poses": len(sources),
            }
        )
    return rows


def _pose(env: Any) -> tuple[int, int, int]:
    return (*map(int, env.unwrapped.agent_pos), int(env.unwrapped.agent_dir))


def main() -> None:
    """Measures, prints tables and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream of a MiniGrid (default: minigrid)")
    parser.add_argument("--walks", type=int, default=512, help="random walks of 10 steps (default: 512)")
    parser.add_argument("--rows", type=int, default=20, help="rows of the table of codes (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of layouts and actions (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, all rows included")
    arguments = parser.parse_args()
    if arguments.walks < 1:
        parser.error("--walks must be at least 1")
    try:
        dream = Dream.load(arguments.dream)
        with torch.no_grad():
            figures = measure(dream, walk_at_random(dream, arguments.walks, arguments.seed))
    except BadInputError as error:
        parser.error(str(error))
    _show(figures, arguments.rows)
    if arguments.json:
        write_results(arguments.json, figures, arguments.dream)


def _show(figures: dict[str, Any], rows: int) -> None:
    print(f"{figures['codes used']} of {figures['codes']} codes used, perplexity {figures['perplexity']:.0f}")
    exact = ("exact frames, codes", "exact frames, latent actions")
    steps = [(step, *(interval(figures[name][step]) for name in exact)) for step in figures[exact[0]]]
    show("rollouts", ("step", *exact), steps)
    show("the most frequent codes", CODE_COLUMNS, [code_cells(row) for row in figures["meaning"][:rows]])


def code_cells(row: dict[str, Any]) -> list[str]:
    """A row of `meaning` as cells for `CODE_COLUMNS`."""
    actions = ", ".join(f"{name} {part:.0%}" for name, part in row["real actions"].items())
    share_that_does, sources = f"{row['share that does']:.0%}", row["from so many poses"]
    return [str(cell) for cell in (row["code"], row["times"], row["leads to"], share_that_does, actions, sources)]


if __name__ == "__main__":
    main()
