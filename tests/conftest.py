"""What the tests share: a small recording, a dream trained on it in seconds, and the dream that ships."""

import os
from dataclasses import replace

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from filelock import FileLock

from nova_gym import Dream
from nova_gym.data import load_clips, moving_digits
from nova_gym.envs import reality_spec, record
from nova_gym.kernels import find
from nova_gym.training import Run, preset, train

ENV_ID = "MiniGrid-SimpleCrossingS9N1-v0"


@pytest.fixture(scope="session", autouse=True)
def datasets(tmp_path_factory):
    """Minari's folder, away from the user's own."""
    folder = tmp_path_factory.mktemp("minari")
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """The kernels that nearly all tests need: of two processes each compiles half of them, and finds the rest done.

    On a clean checkout both would compile all of them at the same time. What one is busy with, the other waits for.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    kernels = ["step", "doubt", "render", "points"]
    if int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) % 2:
        kernels = ["doubt", "step", "points", "render"]
    for kernel in kernels:
        with FileLock(tmp_path_factory.getbasetemp().parent / f"{kernel}.lock"):
            find(kernel, "cpu")


@pytest.fixture(scope="session", autouse=True)
def little_doubt():
    """What tests train learns its doubt from few roll-outs and short ones; all steps are taken, none is left out.

    At full size that takes longer than all other training of preset `tiny`, and no test asks how good such a doubt is:
    those that ask take the dream that ships.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("prolonging.MOST", 8),
            ("prolonging.STEPS", 32),
            ("doubt.FRAMES", 200),
            ("doubt.TRANSITIONS", 512),
        ):
            patch.setattr(f"nova_gym.training.{name}", value)
        yield


@pytest.fixture(scope="session")
def dataset():
    """Id of a recording of a few hundred transitions."""
    record(reality_spec(ENV_ID), "test/crossing-v0", 500, seed=1)
    return "test/crossing-v0"


@pytest.fixture(scope="session")
def clips(dataset):
    return load_clips(dataset)


@pytest.fixture(scope="session")
def tiny(clips, dataset, tmp_path_factory):
    """A dream of preset `tiny`: everything works, nothing is true."""
    folder = tmp_path_factory.mktemp("tiny")
    return train(clips, dataset, preset("tiny"), Run(folder / "tiny.ckpt", device="cpu"))


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A file of a few clips of moving digits."""
    file = tmp_path_factory.mktemp("video") / "digits.npz"
    np.savez(file, frames=moving_digits(12, seed=0, length=12, size=32))
    return file


@pytest.fixture(scope="session")
def filmed(digits, tmp_path_factory):
    """A dream of preset `tiny`, made from video without labels."""
    folder = tmp_path_factory.mktemp("filmed")
    return train(load_clips(str(digits)), "digits", preset("tiny"), Run(folder / "filmed.ckpt", device="cpu"))


@pytest.fixture(scope="session")
def shipped():
    return Dream.load("minigrid")


@pytest.fixture(scope="session")
def deep_preset():
    """Preset `tiny` with memory and chance, and few steps."""
    chosen = preset("tiny", memory=4, outcomes=3, far=True)
    dynamics, tuning = (replace(recipe, steps=12) for recipe in (chosen.training.dynamics, chosen.training.tuning))
    return replace(chosen, training=replace(chosen.training, dynamics=dynamics, tuning=replace(tuning, steps=4)))


@pytest.fixture(scope="session")
def deep(clips, dataset, deep_preset, tmp_path_factory):
    """A dream with memory and chance, trained on the same recording."""
    folder = tmp_path_factory.mktemp("deep")
    return train(clips, dataset, deep_preset, Run(folder / "deep.ckpt", device="cpu"))
