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

from nova_gym.benchmarks.ablations.models import (
    JointModel,
    StateUnrolling,
    VectorModel,
    VectorRepresentation,
    parameter_count,
)
from nova_gym.data import Clips, moving_digits
from nova_gym.data.clips import unlabelled_clips
from nova_gym.model.config import ModelConfig
from nova_gym.model.world_model import WorldModel
from nova_gym.training import Run
from nova_gym.training.control import ControlStage
from nova_gym.training.dynamics import Dynamics, bound_latent_actions, infer_all, scale_latent_actions
from nova_gym.training.loop import Loop, keep_freed_memory, step_generator
from nova_gym.training.presets import Recipe, TrainingConfig, preset
from nova_gym.training.representation import Representation, encode_all, settle_coordinates
from nova_gym.training.stage import Stage

#: Clips of moving digits that are trained on.
CLIPS = 4_000
#: What each stage gets of a side's minutes: of a side that is trained from the start, most of them for pictures, and
#: of one of dynamics alone.
SHARES = {"representation": 0.6, "dynamics": 0.05, "unrolling": 0.1, "control": 0.25}
DYNAMICS_SHARES = {"dynamics": 0.5, "unrolling": 0.5}

#: Called as `progress(done, total, text)` with seconds of training.
Progress = Callable[[int, int, str], None]


@dataclass
class TimedLoop(Loop):
    """The training loop, but a stage ends when its time is over, and its schedule runs over that time.

    How many steps that will be is estimated anew at every step, from the time that the steps so far have taken.

    Attributes:
        budget: seconds of the stage that runs.
    """

    budget: float = 0.0

    def recipe(self, stage: Stage, state: dict[str, Any]) -> Recipe:
        step, spent = state["step"], state["seconds"]
        if not spent:
            return stage.recipe
        steps = max(step + (spent < self.budget), round(step * self.budget / spent))
        return replace(stage.recipe, steps=steps, warmup=min(stage.recipe.warmup, steps // 10))


@dataclass
class Side:
    """A model and how far its training is.

    Attributes:
        name: of the side.
        loop: that trains the model.
        clips: what it is trained on.
        training: the recipes, of which the numbers of steps do not count.
        states: (F, K) float32 of all frames, once they are encoded.
    """

    name: str
    loop: TimedLoop
    clips: Clips
    training: TrainingConfig
    states: Tensor | None = None

    @property
    def model(self) -> WorldModel:
        return self.loop.model

    def run(self, stage: str, seconds: float) -> None:
        """Trains a stage for so long, and then does what follows it, which takes its own time."""
        model, clips = self.model, self.clips
        self.loop.budget = seconds
        self.loop.train(self._stage(stage))
        began = time.monotonic()
        if stage == "representation":
            settle_coordinates(model, clips, step_generator(self.training.seed, "coordinates", 0), self.training.margin)
            self.states = encode_all(model, clips)
        elif model.has_control:  # nothing else minds the scale of latent actions
            if stage == "dynamics":
                scale_latent_actions(model, infer_all(model, clips, self.states))
            elif stage == "unrolling":
                bound_latent_actions(model, clips, self.states)
        self.loop.finished[stage]["seconds after it"] = round(time.monotonic() - began, 3)

    def measured(self) -> WorldModel:
        """A copy to measure, on the CPU."""
        return copy.deepcopy(self.model).cpu().eval().requires_grad_(False)

    def report(self) -> dict[str, Any]:
        """What went into it, JSON-ready."""
        model = self.model
        parts = ("forward dynamics", "encoder", "inverse dynamics", "control")
        decoder = model.part("decoder") if isinstance(model, VectorModel) else None
        return {
            "parameters": {
                "renderer": parameter_count(model.part("renderer"), decoder),
                **{name: parameter_count(model.part(name.replace(" ", "_"))) for name in parts},
            },
            "stages": self.loop.finished,
        }

    def _stage(self, name: str) -> Stage:
        if name == "representation":
            kind = VectorRepresentation if isinstance(self.model, VectorModel) else Representation
            return kind(self.model, self.clips, self.training)
        kind = {"dynamics": Dynamics, "unrolling": StateUnrolling, "control": ControlStage}[name]
        return kind(self.model, self.clips, self.states, self.training)


class Workshop:
    """What all ablations of a run share: data, seed, time, and what is trained already.

    Args:
        minutes: of a side.
        seed: of everything random.
        total: seconds of training that there will be, for the progress.
        folder: for checkpoints.
        progress: called as training goes on.
    """

    def __init__(self, minutes: float, seed: int, total: float, folder: Path, progress: Progress) -> None:
        keep_freed_memory()
        self.seconds, self.seed, self.total = 60.0 * minutes, seed, total
        self.folder, self.progress, self.spent = folder, progress, 0.0
        self.run = Run(folder / "checkpoint")
        self.device = self.run.find_device()
        self.preset = preset("digits", codes=0)

    @cached_property
    def clips(self) -> Clips:
        """Moving digits to train on."""
        frames = torch.from_numpy(moving_digits(CLIPS, self.seed))
        lengths = torch.full((len(frames),), frames.shape[1] - 1)
        return unlabelled_clips(frames.flatten(0, 1)[:, None], lengths, {"kind": "moving digits", "seed": self.seed})

    @cached_property
    def inr(self) -> Side:
        """NOVA itself, on moving digits."""
        return self._side("INR state", WorldModel, self.preset.model, self.clips, self.preset.training)

    @cached_property
    def vector(self) -> Side:
        """The same with a vector latent and a decoder."""
        return self._side("vector latent", VectorModel, self.preset.model, self.clips, self.preset.training)

    def dynamics(self, source: WorldModel, clips: Clips, states: Tensor, training: TrainingConfig) -> list[Side]:
        """Additive and joint dynamics on one representation, neither trained yet.

        Args:
            source: whose encoder and renderer both have.
            clips: to train on.
            states: (F, K) float32 of all their frames.
            training: the recipes.
        """
        config = replace(source.config, actions=0, reward_values=(), codes=0, control=None)
        shared = {k: v for k, v in source.state_dict().items() if k.startswith(("base", "basis", "encoder."))}
        sides = []
        for name, kind in (("additive", WorldModel), ("joint", JointModel)):
            side = self._side(name, kind, config, clips, training)
            side.model.load_state_dict(shared, strict=False)
            side.states = states
            sides.append(side)
        return sides

    def train(self, sides: Sequence[Side], shares: Mapping[str, float]) -> None:
        """Trains stages in turns, each for its share of the minutes, unless that was done before."""
        for stage, share in shares.items():
            for side in sides:
                if stage in side.loop.finished:
                    continue
                side.run(stage, share * self.seconds)
                self.spent += share * self.seconds
                self.say(f"{side.name}: {stage} done")

    def say(self, what: str) -> None:
        """Tells what is being done besides training."""
        self.progress(round(self.spent), round(self.total), what)

    def _side(
        self, name: str, kind: type[WorldModel], config: ModelConfig, clips: Clips, training: TrainingConfig
    ) -> Side:
        training = replace(training, seed=self.seed)
        model = kind(config, torch.Generator().manual_seed(self.seed)).to(self.device)
        loop = TimedLoop(model, self.seed, self.run)
        loop.progress = lambda stage, step, steps, text: self.progress(
            round(self.spent + loop.budget * step / steps), round(self.total), f"{name}: {stage}"
        )
        return Side(name, loop, clips, training)
