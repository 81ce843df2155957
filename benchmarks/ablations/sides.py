"""The sides of an ablation, trained for the same time on the same data with the same seeds."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nova_gym.benchmarks.ablations.models import JointModel, VectorModel, field, one_network, parameter_count
from nova_gym.data import Clips, moving_digits, unlabelled_clips
from nova_gym.dream import Dream
from nova_gym.model.config import ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run
from nova_gym.training.control import ControlStage
from nova_gym.training.dynamics import Dynamics
from nova_gym.training.freed_memory import keep_freed_memory
from nova_gym.training.latent_actions import settle_latent_actions
from nova_gym.training.looks import learn_looks, looks_of
from nova_gym.training.loop import Loop, step_generator
from nova_gym.training.presets import Preset
from nova_gym.training.representation import Representation, encode_all, settle_coordinates
from nova_gym.training.stage import Stage
from nova_gym.training.train import config_for, make_card

#: Number of training clips of moving digits.
CLIPS = 4_000
#: Share of a side's minutes that each stage gets: on moving digits; on MiniGrid, where the environment's own actions
#: take the place of a control model; and for a side whose dynamics alone are trained.
SHARES = {"representation": 0.35, "dynamics": 0.25, "control": 0.4}
MINIGRID_SHARES = {"representation": 0.25, "dynamics": 0.75}
DYNAMICS_SHARES = {"dynamics": 1.0}
#: The sides that differ in what a state is, by name: the kind of model, and its preset for moving digits or MiniGrid.
STATES = {
    "field": (WorldModel, field),
    "one network": (WorldModel, one_network),
    "vector latent": (VectorModel, one_network),
}

#: Called as `progress(done, total, text)` with seconds of training.
Progress = Callable[[int, int, str], None]


@dataclass
class Side:
    """One model of a comparison, with its training.

    Attributes:
        name: of the side.
        loop: the loop that trains the model.
        clips: the training clips.
        preset: the recipes; time limits replace their numbers of steps.
        states: (F, K, rows, cols) float32 of all frames, once they are encoded.
    """

    name: str
    loop: Loop
    clips: Clips
    preset: Preset
    states: Tensor | None = None

    @property
    def model(self) -> WorldModel:
        """The model that is trained."""
        return self.loop.model

    @cached_property
    def looks(self) -> Tensor | None:
        """The looks (L, C, h, w) uint8 that the model knows, if it knows any."""
        return looks_of(self.clips, self.model.config.cell) if self.model.config.looks else None

    def run(self, stage: str, seconds: float) -> None:
        """Trains a stage for `seconds`, then does the work that follows the stage, which takes further time."""
        model, clips, training = self.model, self.clips, self.preset.training
        self.loop.train(self._stage(stage), seconds)
        began = time.monotonic()
        if stage == "representation":
            settle_coordinates(model, clips, step_generator(training.seed, "coordinates", 0), training.margin)
            self.states = encode_all(model, clips)
            if self.looks is not None:
                learn_looks(model, self.looks)
        elif stage == "dynamics" and model.has_control:  # the control model answers in [-1, 1]
            settle_latent_actions(model, clips, self.states)
        self.loop.finished[stage]["seconds after it"] = round(time.monotonic() - began, 3)

    def measured(self) -> WorldModel:
        """A copy of the model for measurements, on the CPU."""
        return copy.deepcopy(self.model).cpu().eval().requires_grad_(False)

    def dream(self) -> Dream:
        """The trained model as a dream of what its clips were recorded from, on the CPU, without starts."""
        card = make_card(self.clips, self.states, "", self.preset, self.loop)
        return Dream(self.measured(), {}, card)

    def report(self) -> dict[str, Any]:
        """Numbers of parameters, and the stages that were trained, JSON-ready."""
        parts = ("renderer", "encoder", "forward dynamics", "inverse dynamics", "bridge", "control")
        return {
            "parameters": {name: parameter_count(self.model.part(name.replace(" ", "_"))) for name in parts},
            "stages": self.loop.finished,
        }

    def _stage(self, name: str) -> Stage:
        if name == "representation":
            return Representation(self.model, self.clips, self.preset.training, looks=self.looks)
        kind = {"dynamics": Dynamics, "control": ControlStage}[name]
        return kind(self.model, self.clips, self.states, self.preset.training)


class Workshop:
    """What all ablations of a run share: data, seed, time, and the sides trained so far.

    Args:
        minutes: of training for each side.
        seed: of everything random.
        total: seconds of training in all, for the progress.
        folder: for checkpoints.
        progress: called during training, see `Progress`.
    """

    def __init__(self, minutes: float, seed: int, total: float, folder: Path, progress: Progress) -> None:
        keep_freed_memory()
        self.seconds, self.seed, self.total = 60.0 * minutes, seed, total
        self.folder, self.progress, self.spent = folder, progress, 0.0
        self.run = Run(folder / "checkpoint")
        self.device = self.run.find_device()
        self.minigrid: dict[str, Side] = {}

    @cached_property
    def digits(self) -> dict[str, Side]:
        """The sides of `STATES`, on moving digits."""
        frames = torch.from_numpy(moving_digits(CLIPS, self.seed))
        lengths = torch.full((len(frames),), frames.shape[1] - 1)
        what = {"kind": "moving digits", "seed": self.seed}
        return self._sides("digits", unlabelled_clips(frames.flatten(0, 1)[:, None], lengths, what))

    def read_minigrid(self, clips: Clips) -> None:
        """Makes the sides of `STATES` for a recording of MiniGrid with labels, as `minigrid`, unless they are made."""
        self.minigrid = self.minigrid or self._sides("minigrid", clips)

    def dynamics(self, source: Side) -> list[Side]:
        """Two untrained sides with additive and joint dynamics, on the encoder and renderer of a side.

        Both are trained without labels, by inferred latent actions.
        """
        config = replace(source.model.config, actions=0, reward_values=(), control=None)
        shared = {k: v for k, v in source.model.state_dict().items() if k.startswith(("base", "basis", "encoder."))}
        recorded = source.clips
        clips = unlabelled_clips(recorded.frames, recorded.lengths, recorded.metadata, recorded.starts)
        sides = []
        for name, kind in (("additive", WorldModel), ("joint", JointModel)):
            side = self._side(name, kind, config, clips, source.preset)
            side.model.load_state_dict(shared, strict=False)
            side.states = source.states
            sides.append(side)
        return sides

    def train(self, sides: Sequence[Side], shares: Mapping[str, float]) -> None:
        """Trains the sides in turns, each stage for its share of the minutes. Skips stages that are trained already."""
        for stage, share in shares.items():
            for side in sides:
                if stage in side.loop.finished:
                    continue
                side.run(stage, share * self.seconds)
                self.spent += share * self.seconds
                self.say(f"{side.name}: {stage} done")

    def say(self, what: str) -> None:
        """Reports work besides training to the progress."""
        self.progress(round(self.spent), round(self.total), what)

    def _sides(self, what: str, clips: Clips) -> dict[str, Side]:
        sides = {}
        for name, (kind, sizes) in STATES.items():
            chosen = sizes(what)
            config = config_for(clips, chosen)
            config = replace(config, control=None) if clips.labelled else config
            sides[name] = self._side(name, kind, config, clips, chosen)
        return sides

    def _side(self, name: str, kind: type[WorldModel], config: ModelConfig, clips: Clips, chosen: Preset) -> Side:
        chosen = replace(chosen, training=replace(chosen.training, seed=self.seed))
        model = kind(config, torch.Generator().manual_seed(self.seed)).to(self.device)
        loop = Loop(model, self.seed, self.run)
        loop.progress = lambda stage, step, steps, text: self.progress(
            round(self.spent + loop.budget * step / steps), round(self.total), f"{name}: {stage}"
        )
        return Side(name, loop, clips, chosen)
