"""The demo without its agent: walks a dream beside its reality, draws both, and measures truth and speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import imageio.v3 as iio
import numpy as np

from nova_gym.benchmarks.speed import Speed, measure_speed
from nova_gym.dream import Dream
from nova_gym.envs.reality.base import ATTEMPTS
from nova_gym.envs.reality.counterpart import reality_of
from nova_gym.envs.reality.evaluation import Report, evaluate
from nova_gym.envs.reality.real_env import RealityEnv, make_reality
from nova_gym.files import write_atomically
from nova_gym.pictures import beside

#: Scale, relative to the dream's own frames, of the frames in the GIF and of the single picture.
GIF_SCALE, PICTURE_SCALE = 4, 8
#: Episodes in the GIF, and the most steps that each shows.
WALKS, WALK_STEPS = 4, 40
#: Episodes on which agreement with reality is measured; `nova-gym eval` takes more.
EPISODES = 64

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Demo:
    """What the demo made and measured.

    Attributes:
        gif: file of the walk, reality left and dream right.
        picture: file of one dreamt frame, 8 times as large as the dream's own.
        report: agreement with reality.
        speeds: steps per second of reality and dream.
        dreams: number of dreams stepped as one batch, and how many of their episodes were terminated.
    """

    gif: Path
    picture: Path
    report: Report
    speeds: list[Speed]
    dreams: tuple[int, int]


def run_demo(
    folder: Path,
    dream: str = "minigrid",
    seed: int = 0,
    device: str = "auto",
    progress: Progress = lambda part, done, total: None,
) -> Demo:
    """Walks, draws and measures; writes `dream.gif` and `frame-8x.png`.

    Args:
        folder: of the pictures.
        dream: name or path of a dream with a real counterpart.
        seed: of layouts and actions.
        device: `auto`, `cpu`, `cuda` …, where to dream.
        progress: called as `progress(part, done, total)`.

    Raises:
        BadInputError: the dream has no real counterpart, or the folder cannot be written to.
    """
    env = gym.make("nova_gym:NovaDream-v0", dream=dream, render_mode="rgb_array", device=device)
    dreaming = env.unwrapped
    height, width = dreaming.resolution
    starts = "random" if reality_of(dreaming.dream).scatters else "official"
    reality = make_reality(dreaming.dream, observation="pixels", starts=starts)
    dreaming.resolution = GIF_SCALE * height, GIF_SCALE * width
    frames = _walk(env, reality, seed, progress)
    gif, picture = folder / "dream.gif", folder / "frame-8x.png"
    with write_atomically(gif) as temporary:
        iio.imwrite(temporary, frames, extension=".gif", duration=150, loop=0)
    dreaming.resolution = PICTURE_SCALE * height, PICTURE_SCALE * width
    env.reset(seed=seed)
    with write_atomically(picture) as temporary:
        iio.imwrite(temporary, env.render(), extension=".png")
    batch = _batch(dreaming.dream, 256, seed, progress)
    report = evaluate(dreaming.dream, episodes=EPISODES, seed=seed, progress=progress)
    speeds = measure_speed(dreaming.dream, rounds=3, progress=lambda done, total: progress("speed", done, total))
    env.close()
    reality.close()
    return Demo(gif, picture, report, speeds, batch)


def _walk(env: gym.Env, reality: RealityEnv, seed: int, progress: Progress) -> list[np.ndarray]:
    """Frames of reality and dream, side by side, on held-out layouts; mostly led by the expert, if there is one."""
    rng, known = np.random.default_rng(seed), reality.reality
    frames: list[np.ndarray] = []
    for walk in range(WALKS):
        for _ in range(ATTEMPTS):
            frame, _ = reality.reset(seed=int(rng.integers(2**31)))
            if known.layout_id(reality) is None or known.is_held_out(reality):
                break
        env.reset(seed=seed, options={"frame": frame})
        expert = known.policy(reality)
        frames.append(beside(reality.draw(GIF_SCALE), env.render()))
        for _ in range(WALK_STEPS):
            astray = expert is None or rng.random() < 0.3
            action = known.stroll(reality, rng) if astray else expert()
            _, _, terminated, truncated, _ = reality.step(action)
            env.step(action)
            frames.append(beside(reality.draw(GIF_SCALE), env.render()))
            if terminated or truncated:
                break
        frames += [frames[-1]] * 5
        progress("walking", walk + 1, WALKS)
    return frames


def _batch(dream: Dream, count: int, seed: int, progress: Progress) -> tuple[int, int]:
    """Steps `count` dreams 100 times with random actions: (`count`, how many episodes were terminated)."""
    device = dream.world_model.device
    starts = "random" if "random" in dream.starts else None  # from official ones chance seldom ends an episode
    envs = gym.make_vec("nova_gym:NovaDream-v0", num_envs=count, dream=dream, starts=starts, device=device)
    envs.reset(seed=seed)
    envs.action_space.seed(seed)
    ended, steps = 0, 100
    for step in range(steps):
        _, _, terminated, _, _ = envs.step(envs.action_space.sample())
        ended += int(terminated.sum())
        progress(f"{count} dreams", step + 1, steps)
    envs.close()
    return count, ended
