import copy
from dataclasses import replace

import pytest
import torch
from pytorch_optimizer import SOAP
from torch import nn

from nova_gym.data import load_clips
from nova_gym.errors import BadInputError
from nova_gym.training import PRESETS, Recipe, Run, fine_tune, preset, train
from nova_gym.training.codebook import CodebookStage
from nova_gym.training.control import ControlStage
from nova_gym.training.dynamics import Dynamics, infer_all
from nova_gym.training.grounding import Grounding
from nova_gym.training.loop import Loop
from nova_gym.training.optimizers import learning_rate, make_optimizer
from nova_gym.training.rendering import Rendering
from nova_gym.training.representation import Representation, encode_all
from nova_gym.training.stage import Stage
from nova_gym.training.tuning import EMPHASIS, Tuning, wrong_transitions
from nova_gym.training.unrolling import Unrolling

STAGES = ("representation", "dynamics", "grounding", "unrolling", "tuning")


@pytest.mark.parametrize("stop", list(zip(STAGES, (7, 11, 3, 5, 4), strict=True)))
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(stop, tiny, clips, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("nova_gym.training.loop.LOG_EVERY", 1)
    monkeypatch.setattr("nova_gym.training.loop.SNAPSHOT_EVERY", 2)  # so that it goes on within the stage

    def press_ctrl_c(stage, step, steps, text):
        if (stage, step) == stop:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu", progress=press_ctrl_c))
    resumed = train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu", resume=True))
    for (name, once), again in zip(
        tiny.world_model.state_dict().items(), resumed.world_model.state_dict().values(), strict=True
    ):
        assert torch.equal(once, again), name


def test_the_same_seed_trains_the_same_dream_and_another_does_not(tiny, clips, dataset, tmp_path):
    again = train(clips, dataset, preset("tiny"), Run(tmp_path / "a.ckpt", device="cpu"))
    assert torch.equal(again.world_model.base, tiny.world_model.base)
    chosen = preset("tiny")
    chosen = replace(chosen, training=replace(chosen.training, seed=1))
    other = train(clips, dataset, chosen, Run(tmp_path / "b.ckpt", device="cpu"))
    assert not torch.equal(other.world_model.base, tiny.world_model.base)


def test_soap_learns_what_adam_hardly_moves_towards():
    """Inputs that vary much more in one direction than in another, which no scaling of single weights can mend."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(8, 8, generator=generator) * torch.logspace(0, -2, 8)
    inputs = torch.randn(256, 8, generator=generator) @ mixing.T
    wanted = inputs @ torch.randn(8, 8, generator=generator)
    errors = {}
    for name in ("adamw", "soap"):
        layer = nn.Linear(8, 8, bias=False)
        nn.init.zeros_(layer.weight)
        recipe = Recipe(300, 256, 0.03, weight_decay=0.0, optimizer=name)
        optimizer = make_optimizer(layer.parameters(), recipe)
        for _ in range(recipe.steps):
            loss = (layer(inputs) - wanted).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        errors[name] = float(loss.detach())
    assert errors["soap"] < 0.1 * errors["adamw"]
    with pytest.raises(ValueError, match="adamw or soap"):
        make_optimizer(nn.Linear(2, 2).parameters(), Recipe(1, 1, 0.1, optimizer="adam"))


def test_soap_takes_the_steps_of_the_library_that_it_speeds_up(monkeypatch):
    monkeypatch.setattr("nova_gym.training.optimizers.NEW_AXES_EVERY", 5)
    inputs, wanted = torch.randn(2, 64, 8, generator=torch.Generator().manual_seed(0))
    ours = nn.Linear(8, 8)
    theirs = copy.deepcopy(ours)
    options = {"lr": 0.01, "weight_decay": 0.01, "max_precondition_dim": 8, "precondition_frequency": 5}
    optimizers = (
        make_optimizer(ours.parameters(), Recipe(30, 64, 0.01, optimizer="soap")),
        SOAP(theirs.parameters(), **options),
    )
    for _ in range(30):
        for layer, optimizer in zip((ours, theirs), optimizers, strict=True):
            (layer(inputs) - wanted).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(ours.weight, theirs.weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.bias, theirs.bias, atol=1e-5, rtol=0)


def test_soap_goes_on_from_what_was_saved(tmp_path, monkeypatch):
    """To the last bit, across new axes before and after."""
    monkeypatch.setattr("nova_gym.training.optimizers.NEW_AXES_EVERY", 5)
    inputs, wanted = torch.randn(2, 64, 8, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(30, 64, 0.01, optimizer="soap")

    def learn(layer, optimizer, steps):
        for _ in range(steps):
            (layer(inputs) - wanted).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    once = nn.Linear(8, 8)
    optimizer = make_optimizer(once.parameters(), recipe)
    learn(once, optimizer, 13)
    torch.save([once.state_dict(), optimizer.state_dict()], tmp_path / "saved.pt")
    learn(once, optimizer, 17)

    again = nn.Linear(8, 8)
    weights, state = torch.load(tmp_path / "saved.pt", weights_only=True)
    again.load_state_dict(weights)
    optimizer = make_optimizer(again.parameters(), recipe)
    optimizer.load_state_dict(state)
    learn(again, optimizer, 17)
    assert torch.equal(once.weight, again.weight)


def test_tuning_shows_what_is_wrong_more_often(tiny, clips):
    states = encode_all(tiny.world_model, clips)
    wrong = wrong_transitions(tiny.world_model, clips, states)
    assert wrong.any()
    assert not wrong.all()
    few = wrong & (torch.cumsum(wrong, 0) <= 3)
    tuning = Tuning(tiny.world_model, clips, states, preset("tiny").training, few)
    drawn = tuning.clips.draw(20_000, torch.Generator().manual_seed(0))
    share = float(few[drawn].float().mean())
    expected = 3 * EMPHASIS / (3 * EMPHASIS + len(few) - 3)
    assert share == pytest.approx(min(0.5, expected), rel=0.15)
    assert share > 5 * float(few.float().mean())


def test_latent_actions_are_trained_to_tell_endings(tiny, clips, monkeypatch):
    """Their first value does; time turned back or standing still ends nothing."""
    model, states = tiny.world_model, encode_all(tiny.world_model, clips)
    stage = Dynamics(model, clips, states, preset("tiny").training)
    batch = stage.batch(torch.Generator().manual_seed(0), 0.5)
    ends = clips.terminations.nonzero()[:, 0]
    true_ends = torch.cat([states[clips.source[ends]], states[clips.source[ends] + 1]], dim=1)
    shown = torch.cat([batch["state"], batch["next"]], dim=1)
    apart = torch.cdist(shown, true_ends, compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.equal(batch["endings"] == 1, (apart < 1e-4).any(1))
    assert 0 < batch["endings"].sum() < len(shown) / 2

    losses = []
    for first in (2 * batch["endings"] - 1, 1 - 2 * batch["endings"]):
        latent_action = torch.zeros(len(shown), model.config.latent_action)
        latent_action[:, 0] = first
        monkeypatch.setattr(model, "infer", lambda state, following, said=latent_action: said)
        with torch.no_grad():
            losses.append(stage(batch)[1]["endings"])
    assert losses[0] < 1e-3 < 5 < losses[1]


def rolling(tiny, clips, **training):
    """The stage on true states without noise, and these."""
    states = encode_all(tiny.world_model, clips)
    config = preset("tiny").training
    config = replace(config, unrolling=replace(config.unrolling, noise=0.0), **training)
    return Unrolling(tiny.world_model, clips, states, config), states


def test_roll_outs_go_on_from_one_step_to_the_next(tiny, clips):
    """A rollout is what the model makes of a true state and of the actions since, till its clip or `horizon` ends."""
    model = tiny.world_model
    stage, states = rolling(tiny, clips, near=float("inf"), horizon=6)
    longest = 0
    for step in range(12):
        batch = stage.batch(torch.Generator().manual_seed(step), 0.0)
        with torch.no_grad():
            stage(batch)
        memory = stage.memory
        for state, after, steps, over in zip(*(memory[key] for key in ("state", "at", "steps", "over")), strict=True):
            begun = after - steps
            made = states[clips.source[begun]][None]
            for transition in range(int(begun), int(after)):
                made = model.step(made, model.translate(made, clips.actions[transition][None]))
            torch.testing.assert_close(state, made[0], atol=1e-5, rtol=1e-4)
            last = clips.remaining[after - 1] == 1
            assert over == (last or steps == 6)
            assert clips.position[begun] % 6 == 0
            longest = max(longest, int(steps))
    assert longest == 6


def test_a_roll_out_that_is_lost_makes_room_for_another(tiny, clips):
    stage, states = rolling(tiny, clips, near=0.0)
    for step in range(3):
        batch = stage.batch(torch.Generator().manual_seed(step), 0.0)
        begun = clips.source[stage.memory["at"]]
        assert torch.equal(batch["state"][: len(begun)], states[begun])
        with torch.no_grad():
            _, metrics = stage(batch)
        assert metrics["lost"] == 1
        assert metrics["length"] == 1


def test_roll_outs_are_compared_as_they_are_drawn_too(tiny, clips):
    """Of two errors of the state as large as each other, the one that shows in the frame costs more."""
    model = tiny.world_model
    states = encode_all(model, clips)
    unrolling = Unrolling(model, clips, states, preset("tiny").training)
    true = states[:64]
    costs, changes = [], []
    with torch.no_grad():
        for axis in range(4):
            off = torch.zeros(true.shape[-1])
            off[axis] = 0.3
            costs.append(unrolling._drawn_error(true + off, true, unrolling.grid).mean())
            changes.append((model.render(true + off) - model.render(true)).square().mean())
        assert unrolling._drawn_error(true, true, unrolling.grid).max() < 1e-9
    torch.testing.assert_close(torch.stack(costs), torch.stack(changes), rtol=0.2, atol=1e-6)
    assert max(costs) > 1.5 * min(costs)


def test_single_steps_from_the_truth_count_beside_roll_outs(tiny, clips):
    """As many as rollouts; few of these come to a step into the goal."""
    model = tiny.world_model
    stage, _ = rolling(tiny, clips)
    batch = stage.batch(torch.Generator().manual_seed(0), 1.0)
    count = stage.recipe.batch
    assert len(batch["state"]) == len(batch["before"]) == len(batch["after"]) == 2 * count
    assert torch.equal(batch["state"][count:], batch["before"][count:])
    with torch.no_grad():
        loss, metrics = stage(batch)
        assert metrics["single"] > 1e-6
        made = model.step(batch["state"], model.translate(batch["state"], batch["actions"]))
        batch["after"] = torch.cat([batch["after"][:count], made[count:]])
        better, perfect = stage(batch)
    assert perfect["single"] < 1e-9
    torch.testing.assert_close(
        loss - better, metrics["single"] + metrics["inverse"] - perfect["inverse"], atol=1e-6, rtol=1e-4
    )


def test_a_dream_is_tuned_by_the_recipe_of_its_own_preset(tiny, clips, tmp_path):
    """Where its card names none that is known, by that of `cpu`."""
    states = encode_all(tiny.world_model, clips)
    for name, recipe in (("tiny", PRESETS["tiny"].training.tuning), ("of my own", PRESETS["cpu"].training.tuning)):
        named = replace(tiny, card=replace(tiny.card, training={"preset": name}))
        tuned = fine_tune(named, clips, states, 1, 0, Run(tmp_path / "tuned.ckpt", device="cpu"))
        assert tuned.card.training["tuned"][-1]["recipe"]["batch"] == recipe.batch
    assert PRESETS["tiny"].training.tuning.batch != PRESETS["cpu"].training.tuning.batch


def test_a_preset_without_a_recipe_that_the_recording_needs_is_refused_at_once(clips, dataset, tmp_path):
    with pytest.raises(BadInputError, match="preset 'digits' has no recipe for grounding, tuning"):
        train(clips, dataset, preset("digits"), Run(tmp_path / "run.ckpt", device="cpu"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_without_actions_has_no_recipe_for_labels_and_cards_name_none(name):
    chosen = PRESETS[name]
    assert {"grounding", "tuning"} <= set(chosen.training.to_dict()) or not chosen.model.actions
    assert {"grounding", "tuning"}.isdisjoint(chosen.training.to_dict()) or chosen.model.actions
    assert None not in chosen.training.to_dict().values()


def test_a_stage_trains_the_parts_that_it_names_and_no_other(tiny, clips, tmp_path):
    """To the last bit: agents and other stages rely on what stays."""
    model, training = copy.deepcopy(tiny.world_model), preset("tiny").training
    states = encode_all(model, clips)
    owners = {"base": "renderer", "basis": "renderer"}
    stages = (
        Representation(model, clips, training),
        Rendering(model, clips, states, training),
        Dynamics(model, clips, states, training),
        Grounding(model, clips, states, infer_all(model, clips, states), training),
        Unrolling(model, clips, states, training),
        CodebookStage(model, clips, states, training),
        ControlStage(model, clips, states, training),
    )
    for stage in stages:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        Loop(model, 0, Run(tmp_path / "x.ckpt", device="cpu")).train(stage)
        changed = {name.split(".")[0] for name, value in model.state_dict().items() if not value.equal(before[name])}
        assert {owners.get(name, name) for name in changed} == set(stage.trains), stage.name


def test_curves_and_pictures_are_written(clips, dataset, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(clips, dataset, preset("tiny"), Run(tmp_path / "run.ckpt", tmp_path / "logs", device="cpu"))
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    for stage in STAGES:
        assert f"{stage}/loss" in events.Tags()["scalars"]
        assert f"{stage}/truth above, model below" in events.Tags()["images"]


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


def test_a_checkpoint_of_another_run_is_refused(clips, dataset, tmp_path):
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(BadInputError, match="does not exist"):
        train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu", resume=True))
    train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu"))
    with pytest.raises(BadInputError, match="differs in model"):
        train(clips, dataset, preset("tiny", rank=8), Run(checkpoint, device="cpu", resume=True))
    checkpoint.write_bytes(b"nonsense")
    with pytest.raises(BadInputError, match="not a checkpoint"):
        train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu", resume=True))


def test_an_unknown_device_or_precision_is_refused(clips, dataset, tmp_path):
    for wrong, said in (
        ({"device": "abacus"}, "cannot be used here"),
        ({"precision": "fp7"}, "precision is no or bf16"),
    ):
        with pytest.raises(BadInputError, match=said):
            train(clips, dataset, preset("tiny"), Run(tmp_path / "run.ckpt", **wrong))


def test_clips_hold_every_transition_once(clips):
    assert len(clips.frames) == len(clips.actions) + len(clips.lengths)
    assert clips.source[0] == 0
    last = clips.source[torch.cumsum(clips.lengths, 0) - 1] + 1
    assert torch.equal(last[:-1] + 1, clips.first_frames[1:])
    assert torch.equal(clips.remaining[torch.cumsum(clips.lengths, 0) - 1], torch.ones_like(clips.lengths))


def test_rewards_are_undiscounted_and_end_the_clip(clips):
    assert clips.reward_values() == (0.0, 1.0)
    assert torch.equal(clips.rewards > 0.5, clips.terminations)
    assert clips.terminations.any()
    assert (clips.remaining[clips.terminations] == 1).all()


def test_a_missing_dataset_is_one_clear_error():
    with pytest.raises(BadInputError, match="nova-gym record"):
        load_clips("test/nothing-v0")
