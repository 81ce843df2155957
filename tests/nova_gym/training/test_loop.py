"""The loop that all stages share: explosions, learning rates."""

import time

import pytest
import torch
from torch import nn

from nova_gym.errors import BadInputError
from nova_gym.training import Recipe, Run
from nova_gym.training.loop import SHARES, Loop, step_generator
from nova_gym.training.optimizers import learning_rate, make_optimizer
from nova_gym.training.stage import Stage
from nova_gym.training.timing import TRIALS


class _Exploding(Stage):
    """Loses badly or not a number at given steps."""

    name = "exploding"

    def __init__(self, recipe, losses):
        super().__init__(None, None, recipe)
        self.weight, self.losses = nn.Parameter(torch.ones(())), iter(losses)

    def batch(self, generator, progress):
        return {"factor": torch.tensor(next(self.losses))}

    def forward(self, batch):
        return self.weight * batch["factor"], {}


def loop(tmp_path):
    return Loop(nn.Module(), 0, Run(tmp_path / "x.ckpt", device="cpu"))


def test_steps_that_explode_are_skipped_and_counted(tmp_path):
    running = loop(tmp_path)
    stage = _Exploding(Recipe(6, 1, 0.1, warmup=0), [1.0, float("nan"), 1.0, 50.0, float("inf"), 1.0])
    running.train(stage)
    assert running.finished["exploding"]["skipped"] == 3
    assert torch.isfinite(stage.weight)


def test_a_run_that_breaks_goes_back_and_on_at_half_the_rate(tmp_path):
    running = loop(tmp_path)
    stage = _Exploding(Recipe(12, 1, 0.1, warmup=0), [1.0] + [float("nan")] * 10 + [1.0] * 12)
    running.train(stage)
    assert running.finished["exploding"]["rate"] == 0.5
    assert running.finished["exploding"]["skipped"] == 10


def test_a_run_that_only_explodes_ends_with_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="any learning rate"):
        loop(tmp_path).train(_Exploding(Recipe(200, 1, 0.1, warmup=0), [float("nan")] * 2000))


def test_the_learning_rate_warms_up_and_ends_at_one_percent():
    recipe = Recipe(1000, 1, 1.0, warmup=100)
    assert learning_rate(recipe, 0) == pytest.approx(0.01)
    assert learning_rate(recipe, 100) == pytest.approx(1.0)
    assert learning_rate(recipe, 1000) == pytest.approx(0.01)


def test_what_is_drawn_in_a_step_depends_on_seed_stage_and_step_alone():
    def drawn(*key):
        return torch.rand(3, generator=step_generator(*key))

    assert torch.equal(drawn(0, "dynamics", 7), drawn(0, "dynamics", 7))
    for other in ((1, "dynamics", 7), (0, "tuning", 7), (0, "dynamics", 8)):
        assert not torch.equal(drawn(0, "dynamics", 7), drawn(*other))


class _Fitting(Stage):
    """Fits a convolution to a linear map, and presses Ctrl-C before a given step."""

    name = "fitting"

    def __init__(self, model, recipe, stop=None):
        super().__init__(None, None, recipe)
        self.layer, self.stop, self.drawn = model.layer, stop, 0

    def batch(self, generator, progress):
        if self.drawn == self.stop:
            raise KeyboardInterrupt
        self.drawn += 1
        return {"inputs": torch.randn(64, 4, 3, 3, generator=generator)}

    def forward(self, batch):
        inputs = batch["inputs"]
        wanted = 0.5 * inputs.flip(1) + 1.0
        return (self.layer(inputs) - wanted).square().mean(), {}


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "soap"])
def test_each_optimiser_learns_and_goes_on_from_what_was_saved_to_the_last_bit(optimizer, tmp_path, monkeypatch):
    monkeypatch.setattr("nova_gym.training.loop.SNAPSHOT_EVERY", 7)
    recipe = Recipe(200, 64, 0.05, warmup=5, optimizer=optimizer)

    def run(name, stop=None, resume=False):
        torch.manual_seed(0)
        model = nn.Module()
        model.layer = nn.Conv2d(4, 4, 1)
        running = Loop(model, 0, Run(tmp_path / name, device="cpu", resume=resume))
        running.resume()
        running.train(_Fitting(model, recipe, stop))
        return model.layer, running.finished["fitting"]["loss"]

    layer, loss = run("whole.ckpt")
    assert loss < 0.2  # a running mean; it began above 1
    with pytest.raises(KeyboardInterrupt):
        run("half.ckpt", stop=101)
    again, _ = run("half.ckpt", resume=True)
    assert torch.equal(layer.weight, again.weight)
    assert torch.equal(layer.bias, again.bias)


def test_an_optimiser_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="adamw, muon or soap"):
        make_optimizer(nn.Linear(2, 2).parameters(), Recipe(1, 1, 0.1, optimizer="sgd"))


def test_stages_share_the_minutes_that_are_left(tmp_path):
    stages = ("representation", "dynamics", "tuning")
    timed = Loop(nn.Module(), 0, Run(tmp_path / "x.ckpt", device="cpu", minutes=1.0), planned=stages)
    assert timed._share("representation") == pytest.approx(60 * 0.35, abs=0.1)
    timed.finished["representation"] = {}
    timed._began -= 30.0  # it took longer
    assert timed._share("dynamics") == pytest.approx(30 * 0.5 / 0.65, abs=0.1)
    timed.mark("dynamics")
    resumed = Loop(nn.Module(), 0, Run(tmp_path / "x.ckpt", device="cpu", minutes=1.0, resume=True), planned=stages)
    resumed.resume()
    assert resumed._share("tuning") == pytest.approx(30.0, abs=0.2)  # what was spent before counts
    assert loop(tmp_path)._share("representation") is None


def test_a_stage_takes_its_time_whatever_its_recipe_says(tmp_path):
    model = nn.Module()
    model.layer = nn.Conv2d(4, 4, 1)
    timed = Loop(model, 0, Run(tmp_path / "x.ckpt", device="cpu"))
    timed.train(_Fitting(model, Recipe(10**9, 64, 0.05)), seconds=0.5)
    assert 0.5 <= timed.finished["fitting"]["seconds"] < 1.5


class _Slow(Stage):
    """A step takes 0.1 ms for each of its batch."""

    name, least = "slow", 4

    def __init__(self, recipe):
        super().__init__(None, None, recipe)
        self.weight, self.batches = nn.Parameter(torch.ones(())), []

    def batch(self, generator, progress):
        self.batches.append(self.recipe.batch)
        self.memory = {"left": torch.ones(self.recipe.batch)}
        time.sleep(1e-4 * self.recipe.batch)
        return {}

    def forward(self, batch):
        return (self.weight - 2.0).square(), {}


@pytest.mark.parametrize(("seconds", "batch"), [(0.4, 64), (0.02, 10), (0.001, 4), (None, 64)])
def test_where_time_is_short_a_step_takes_a_smaller_batch_instead_of_too_few_steps(seconds, batch, tmp_path):
    stage = _Slow(Recipe(20, 64, 0.1, warmup=0))  # 0.128 s
    running = loop(tmp_path)
    running.train(stage, seconds)
    taken = running.finished["slow"]["batch"]
    assert set(stage.batches[TRIALS if seconds else 0 :]) == {taken}
    assert 4 <= taken <= batch
    assert taken == batch or batch == 10  # a busy machine sleeps longer
    assert len(stage.memory["left"]) == taken
    assert stage.weight.grad is None


def test_frames_are_learned_soon_and_leave_their_time_to_what_comes_then(tmp_path, monkeypatch):
    monkeypatch.setitem(SHARES, "fitting", 1.0)
    monkeypatch.setattr("nova_gym.training.loop.SOON", ("fitting",))
    model = nn.Module()
    model.layer = nn.Conv2d(4, 4, 1)
    timed = Loop(model, 0, Run(tmp_path / "x.ckpt", device="cpu", minutes=1.0), planned=("fitting", "dynamics"))
    timed.train(_Fitting(model, Recipe(20, 64, 0.05)))
    assert timed.finished["fitting"]["steps"] == 20
    assert timed._share("dynamics") > 50.0


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_that_are_none_are_refused(minutes, tmp_path):
    with pytest.raises(BadInputError, match="minutes"):
        Loop(nn.Module(), 0, Run(tmp_path / "x.ckpt", device="cpu", minutes=minutes))
