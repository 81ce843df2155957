"""Small files that are whole, to be broken: a dream, agents, a recording, videos. Made in some seconds."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from nova_gym.agents import make_agent, save_agent
from nova_gym.agents.vec_env import DreamVecEnv
from nova_gym.data import load_clips, moving_digits
from nova_gym.dream import Dream
from nova_gym.envs import reality_spec, record
from nova_gym.training import Run, preset, train

#: The environment that is recorded, and the recording's name.
ENV_ID, DATASET = "MiniGrid-SimpleCrossingS9N1-v0", "reliability/crossing-v0"


@dataclass(frozen=True)
class Inputs:
    """Whole files in a folder.

    Attributes:
        folder: of all of them; recordings lie in its `minari`.
        dream, film: dreams of a recording and of video.
        agent, zipped: one agent, in both formats.
        arrays, movie: video.
    """

    folder: Path
    dream: Path
    film: Path
    agent: Path
    zipped: Path
    arrays: Path
    movie: Path

    @property
    def recording(self) -> Path:
        """The folder of the recording."""
        return self.folder / "minari" / DATASET


def inputs(folder: Path) -> Inputs:
    """The files, made where they are missing; from then on Minari's folder is the one in `folder`."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["MINARI_DATASETS_PATH"] = str(folder / "minari")
    named = ("tiny.safetensors", "film.safetensors", "agent.safetensors", "agent.zip", "digits.npz", "digits.gif")
    files = Inputs(folder, *(folder / name for name in named))
    if not files.recording.exists():
        record(reality_spec(ENV_ID), DATASET, 120, seed=1)
    if not files.movie.exists():
        frames = moving_digits(2, seed=0, length=6, size=32)
        np.savez(files.arrays, frames=frames)
        iio.imwrite(files.movie, frames[0], extension=".gif", loop=0)
    for path, source in ((files.dream, DATASET), (files.film, str(files.arrays))):
        if not path.exists():
            train(load_clips(source), source, preset("tiny"), Run(folder / "tiny.ckpt", device="cpu")).save(path)
            (folder / "tiny.ckpt").unlink(missing_ok=True)
    if not files.zipped.exists():
        dream = Dream.load(files.dream)
        agent = make_agent("ppo", DreamVecEnv(dream, 2, max_episode_steps=20), device="cpu")
        agent.learn(64)
        save_agent(agent, files.agent, dream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save_agent(agent, files.zipped, dream)
    return files
