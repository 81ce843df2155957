"""States of whole frames that can be foreseen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nova_gym.model.config import INRConfig, ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run, preset
from nova_gym.training.foresight import WINDOW, Foresight
from nova_gym.training.loop import Loop
from nova_gym.training.presets import Recipe
from nova_gym.training.representation import Representation

from . import toys


def test_what_follows_from_states_and_actions_is_foreseen_and_what_does_not_is_not():
    generator = torch.Generator().manual_seed(0)
    foresight = Foresight(4, 1)
    optimizer = torch.optim.Adam(foresight.parameters(), 3e-3)

    def windows(noise):
        begin, speed = torch.randn(256, 1, 4, generator=generator), torch.randn(256, 1, 4, generator=generator)
        actions = torch.randint(2, (256, WINDOW - 1, 1), generator=generator).float()
        pushed = speed + 0.5 * actions.cumsum(1)
        states = torch.cat([begin, begin + pushed.cumsum(1)], dim=1)
        return states + noise * torch.randn(states.shape, generator=generator), actions

    for _ in range(300):
        loss = foresight(*windows(0.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert foresight(*windows(0.0)).item() < 0.05
    assert foresight(*windows(3.0)).item() > 0.5


def running(tmp_path, name, stop=None):
    """A representation of one network for whole frames, and how it goes on in training."""
    frames = np.zeros((30, 9, 1, 16, 16), np.uint8)
    for clip, t in np.ndindex(30, 9):
        at = (clip + t) % 12
        frames[clip, t, 0, 4:8, at : at + 4] = 255
    clips = toys.clips_of(frames, np.ones((30, 8), np.int64))
    config = ModelConfig(
        frame_size=(16, 16), cell=(16, 16), actions=2, rank=4, latent_action=4, hidden=8, head_hidden=8, reach=1,
        reward_values=(0.0,), encoder_widths=(8, 8), inr=INRConfig(1, 2, 8, 1), memory=4,
    )  # fmt: skip
    training = replace(preset("tiny").training, representation=Recipe(40, 8, 1e-2, warmup=5))
    model = WorldModel(config, torch.Generator().manual_seed(0))
    stage = Representation(model, clips, training)
    if stop is not None:
        draw, drawn = stage.batch, []

        def batch(*args):
            drawn.append(None)
            if len(drawn) > stop:
                raise KeyboardInterrupt
            return draw(*args)

        stage.batch = batch
    loop = Loop(model, 0, Run(tmp_path / name, device="cpu", resume=(tmp_path / name).exists()))
    loop.resume()
    return model, stage, loop


def test_an_interrupted_run_goes_on_with_what_it_could_foresee(tmp_path, monkeypatch):
    monkeypatch.setattr("nova_gym.training.loop.SNAPSHOT_EVERY", 7)
    model, stage, loop = running(tmp_path, "whole.ckpt")
    loop.train(stage)
    assert "surprise" in loop.finished["representation"]
    _, stage, loop = running(tmp_path, "half.ckpt", stop=20)
    with pytest.raises(KeyboardInterrupt):
        loop.train(stage)
    again, stage, loop = running(tmp_path, "half.ckpt")
    for weight in stage.helpers.parameters():  # what was saved counts, not what it begins with
        torch.nn.init.zeros_(weight)
    loop.train(stage)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
