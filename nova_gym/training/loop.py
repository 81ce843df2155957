"""The one training loop that all stages share: schedule, precision, guards, curves and checkpoints."""

from __future__ import annotations

import copy
import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from nova_gym.dream import resolve_device
from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel
from nova_gym.training.checkpoints import read_checkpoint, write_checkpoint
from nova_gym.training.curves import Curves
from nova_gym.training.optimizers import learning_rate, make_optimizer
from nova_gym.training.stage import Batch, Metrics, Stage
from nova_gym.training.timing import batch_in_time, recipe_in_time

#: A step whose loss is this many times its running mean is an explosion and is skipped. This many explosions in a row
#: mean that the weights are broken: training goes back to its last snapshot, at half the learning rate.
EXPLOSION, BROKEN = 8.0, 10
#: Steps between two scalars and between two snapshots, seconds between two checkpoints (which hold the last snapshot).
LOG_EVERY, SNAPSHOT_EVERY, SAVE_EVERY = 50, 200, 120.0

#: Names of the stages, in order.
STAGES = ("representation", "dynamics", "tuning", "control")
#: What follows the stages, and is not one of them: doubt is fitted to the finished model.
DOUBT = "doubt"
#: What each of them gets of a time limit, relative to the others that a model needs.
SHARES = {"representation": 0.35, "dynamics": 0.5, "tuning": 0.15, "control": 0.1, DOUBT: 0.15}
#: Stages that take at most the steps of their recipes; what is left of their share is worth more to the others.
SOON = ("representation",)

#: Called as `progress(stage, step, steps, text)`.
Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Run:
    """Where and how training runs.

    Attributes:
        checkpoint: file that `resume` continues from.
        log_dir: folder for TensorBoard curves, None to write none.
        device: `auto`, `cpu`, `cuda` …
        precision: `no` for single precision, `bf16` for PyTorch's autocast to bfloat16.
        resume: continue from the checkpoint.
        progress: called as `progress(stage, step, steps, text)`.
        minutes: that training takes, those before a resumption included. The stages share them (`SHARES`), and each
            stage's schedule lasts as long as its time. None for the numbers of steps that the recipes have.
    """

    checkpoint: Path
    log_dir: Path | None = None
    device: str = "auto"
    precision: str = "no"
    resume: bool = False
    progress: Progress = lambda stage, step, steps, text: None
    minutes: float | None = None

    def find_device(self) -> torch.device:
        """The device that `device` names.

        Raises:
            BadInputError: `device` cannot be used here, `precision` is unknown, or `minutes` are none.
        """
        if self.minutes is not None and not 0.0 < self.minutes < math.inf:
            raise BadInputError(f"minutes must be more than 0, not {self.minutes}")
        if self.precision not in ("no", "bf16"):
            raise BadInputError(f"precision is no or bf16, not {self.precision!r}")
        return resolve_device(self.device)


def step_generator(seed: int, stage: str, step: int) -> torch.Generator:
    """The generator of everything random in one step, on the CPU; so a resumed run draws the same numbers."""
    digest = hashlib.sha256(f"{seed}/{stage}/{step}/0".encode()).digest()  # 0 is the number of the process
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))


@dataclass
class Loop:
    """Runs stages one after the other, and can be stopped and resumed within any of them.

    With a time limit, a stage and its schedule last as long as its time. The number of steps is then estimated anew at
    every step, from the time that the steps so far have taken. Where these are fewer than the recipe's, each takes a
    smaller batch, so that they become more: a network learns little in few steps, however large they are.

    Attributes:
        model: the world model, trained in place.
        seed: of data order and noise.
        run: where and how; its checkpoint file keeps the state of training.
        fingerprint: what a checkpoint must agree with to be resumed (data set, configuration).
        planned: names of the stages that share the run's minutes.
        device: where it trains.
        progress: called as `progress(stage, step, steps, text)`.
        budget: seconds of the present stage, None without a limit.
        writer: TensorBoard, while `curves` is open and the run has a folder for it.
        finished: by stage, its last loss, its steps and seconds, and its last metrics.
        kept: tensors that later stages need, also after a resumption.
    """

    model: WorldModel
    seed: int
    run: Run
    fingerprint: dict[str, Any] = field(default_factory=dict)
    planned: tuple[str, ...] = ()
    device: torch.device = field(init=False)
    progress: Progress = field(init=False)
    budget: float | None = field(default=None, init=False)
    writer: Curves | None = field(default=None, init=False)
    finished: dict[str, dict[str, float]] = field(default_factory=dict)
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    _pending: dict[str, Any] | None = None
    _snapshot: dict[str, Any] | None = None
    _began: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        self.device, self.progress = self.run.find_device(), self.run.progress

    @contextmanager
    def curves(self) -> Iterator[None]:
        """A context in which curves and pictures are written to the run's folder, if it has one."""
        if self.run.log_dir is None:
            yield
            return
        try:
            with closing(Curves(self.run.log_dir)) as self.writer:
                yield
        finally:
            self.writer = None

    def resume(self) -> None:
        """Continues from the checkpoint, if the run says so.

        Raises:
            BadInputError: the checkpoint is missing or damaged, or belongs to another run.
        """
        if not self.run.resume:
            return
        saved = read_checkpoint(self.run.checkpoint, self.model, self.fingerprint, STAGES)
        self.model.load_state_dict(saved["model"])
        self.finished, self.kept, self._pending = saved["finished"], saved["kept"], saved["current"]
        self._began -= saved["seconds"]

    @property
    def spent(self) -> float:
        """Seconds since training began, without those between an interruption and its resumption."""
        return time.monotonic() - self._began

    def train(self, stage: Stage, seconds: float | None = None) -> None:
        """Trains one stage to its end, or skips it if it is finished already.

        Args:
            stage: the stage.
            seconds: that it takes, instead of its share of the run's minutes.

        Raises:
            KeyboardInterrupt: training was interrupted; a checkpoint was written first.
            RuntimeError: the stage explodes at any learning rate.
        """
        if stage.name in self.finished:
            return
        recipe = stage.recipe
        self.model.requires_grad_(False)
        stage.to(self.device).requires_grad_(True)
        optimizer = make_optimizer(stage.parameters(), recipe)
        state = {"name": stage.name, "step": 0, "mean": None, "skipped": 0, "rate": 1.0, "seconds": 0.0, "metrics": {}}
        if self._pending and self._pending["name"] == stage.name:
            optimizer.load_state_dict(self._pending.pop("optimizer"))
            stage.memory = self._pending.pop("memory", {})
            stage.helpers.load_state_dict(self._pending.pop("helpers", {}))
            state = self._pending
        self._pending = None
        if "budget" not in state:
            state["budget"] = self._share(stage.name) if seconds is None else seconds
            stage.begin()
            state["most"] = recipe.steps if seconds is None and stage.name in SOON else None
            state["batch"] = batch_in_time(stage, state["budget"], partial(self._measured, stage))
        self.budget, stage.recipe = state["budget"], replace(recipe, batch=state.get("batch", recipe.batch))
        try:
            self._steps(stage, optimizer, state)
        except KeyboardInterrupt:
            self._save()
            raise
        stage.finish()
        kept = {
            "loss": state["mean"],
            "steps": state["step"],
            **{key: state[key] for key in ("skipped", "rate", "seconds")},
            "batch": stage.recipe.batch,
        }
        self.finished[stage.name] = kept | state["metrics"]
        if self.writer:
            self.writer.add_pictures(stage.name, stage.pictures(), recipe.steps)
        self._snapshot = self._take(None)
        self._save()

    def mark(self, name: str, found: dict[str, float] | None = None) -> None:
        """Records that some work between two stages is done, and what it found, so that a resumed run skips it."""
        self.finished[name] = found or {}
        self._snapshot = self._take(None)
        self._save()

    def _steps(self, stage: Stage, optimizer: Optimizer, state: dict[str, Any]) -> None:
        began, saved = time.monotonic() - state["seconds"], time.monotonic()
        in_a_row = 0
        while state["step"] < (recipe := recipe_in_time(stage.recipe, state)).steps:
            step = state["step"]
            if step % SNAPSHOT_EVERY == 0 and in_a_row == 0:
                kept = {
                    "optimizer": copy.deepcopy(optimizer.state_dict()),
                    "memory": dict(stage.memory),
                    "helpers": copy.deepcopy(stage.helpers.state_dict()),
                }
                self._snapshot = self._take({**state, **kept})
                if step and time.monotonic() - saved > SAVE_EVERY:
                    try:
                        self._save()
                    except BadInputError as error:  # a full disk may have room later; training goes on
                        warnings.warn(str(error), stacklevel=2)
                    saved = time.monotonic()
                    if self.writer:
                        self.writer.add_pictures(stage.name, stage.pictures(), step)
            drawn = stage.batch(step_generator(self.seed, stage.name, step), step / recipe.steps)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step) * state["rate"] * group.get("share", 1.0)
            loss, metrics = self._backward(stage, drawn)
            norm = float(clip_grad_norm_(stage.parameters(), recipe.clip))
            value = float(loss.detach())
            usual = state["mean"] if state["mean"] is not None else value
            if math.isfinite(value) and math.isfinite(norm) and value <= EXPLOSION * usual:
                optimizer.step()
                state["mean"] = 0.98 * usual + 0.02 * value
                in_a_row = 0
            else:
                state["skipped"] += 1
                in_a_row += 1
            optimizer.zero_grad(set_to_none=True)
            state["step"] = step + 1
            state["seconds"] = round(time.monotonic() - began, 3)
            if in_a_row == BROKEN:
                in_a_row = 0
                self._go_back(stage, optimizer, state, value)
            elif state["step"] % LOG_EVERY == 0 or state["step"] == recipe.steps:
                state["metrics"] = {key: float(metric.detach()) for key, metric in metrics.items()}
                self._log(stage, state, norm)

    def _backward(self, stage: Stage, drawn: Batch) -> tuple[torch.Tensor, Metrics]:
        """The loss of a batch and what there is to log, after its gradients are added."""
        batch = {key: value.to(self.device) for key, value in drawn.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.run.precision == "bf16"):
            loss, metrics = stage(batch)
        loss.backward()
        return loss, metrics

    def _measured(self, stage: Stage, trial: int) -> None:
        """A pass whose time is measured."""
        self._backward(stage, stage.batch(step_generator(self.seed, f"{stage.name}, measured", trial), 0.0))

    def _share(self, name: str) -> float | None:
        """Seconds of a stage that begins now: its share of those that are left; None without a limit."""
        if self.run.minutes is None:
            return None
        coming = {stage: SHARES[stage] for stage in (*self.planned, name) if stage not in self.finished}
        return max(0.0, 60.0 * self.run.minutes - self.spent) * SHARES[name] / sum(coming.values())

    def _take(self, current: dict[str, Any] | None) -> dict[str, Any]:
        """A copy of everything that training goes on from."""
        return {
            "fingerprint": self.fingerprint,
            "model": {key: value.clone() for key, value in self.model.state_dict().items()},
            "finished": dict(self.finished),
            "kept": dict(self.kept),
            "current": current,
            "seconds": self.spent,
        }

    def _go_back(self, stage: Stage, optimizer: Optimizer, state: dict[str, Any], loss: float) -> None:
        """Restores the last snapshot, from which training goes on at half the learning rate."""
        kept = self._snapshot["current"]
        kept["rate"] = state["rate"] / 2
        kept["skipped"] = state["skipped"]
        if kept["rate"] < 1 / 64:
            raise RuntimeError(
                f"{state['name']} explodes at any learning rate: the loss is {loss:.3g}, usually {state['mean']}"
            )
        self.model.load_state_dict(self._snapshot["model"])
        optimizer.load_state_dict(copy.deepcopy(kept["optimizer"]))
        stage.memory = dict(kept["memory"])
        stage.helpers.load_state_dict(kept["helpers"])
        state.update({key: value for key, value in kept.items() if key not in ("optimizer", "memory", "helpers")})

    def _log(self, stage: Stage, state: dict[str, Any], norm: float) -> None:
        text = f"loss {state['mean']:.5f}"
        text += "".join(f"  {key} {value:.4g}" for key, value in state["metrics"].items())
        if state["skipped"]:
            text += f"  skipped {state['skipped']}"
        recipe = recipe_in_time(stage.recipe, state)
        self.progress(stage.name, state["step"], recipe.steps, text)
        if self.writer:
            scalars = {
                "loss": state["mean"],
                "gradient norm": norm,
                "learning rate": learning_rate(recipe, state["step"]) * state["rate"],
                "skipped": state["skipped"],
                **state["metrics"],
            }
            self.writer.add_scalars(stage.name, scalars, state["step"])

    def _save(self) -> None:
        """Writes the last snapshot to the checkpoint."""
        if self._snapshot:
            write_checkpoint(self.run.checkpoint, self._snapshot)
