"""From clips to a dream: whole runs of all stages."""

import copy
from dataclasses import replace

import pytest
import torch

from nova_gym import DreamSimulator
from nova_gym.errors import BadInputError
from nova_gym.training import PRESETS, Run, preset, train
from nova_gym.training.control import ControlStage
from nova_gym.training.dynamics import Dynamics, Tuning
from nova_gym.training.loop import STAGES, Loop
from nova_gym.training.representation import Representation, encode_all


def assert_same_weights(first, second):
    for (name, value), other in zip(
        first.world_model.state_dict().items(), second.world_model.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), name


STOPS = [*zip(STAGES, (7, 11, 4, 3), strict=True), ("encoding", 512)]


@pytest.mark.parametrize("stop", [STOPS[1], *(pytest.param(s, marks=pytest.mark.slow) for s in STOPS if s != STOPS[1])])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(stop, tiny, clips, dataset, tmp_path, monkeypatch):
    """To the last bit, codebook and control model included."""
    monkeypatch.setattr("nova_gym.training.loop.LOG_EVERY", 1)
    monkeypatch.setattr("nova_gym.training.loop.SNAPSHOT_EVERY", 2)  # so that it goes on within the stage

    def press_ctrl_c(stage, step, steps, text):
        if (stage, step) == stop:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu", progress=press_ctrl_c))
    resumed = train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu", resume=True))
    assert_same_weights(tiny, resumed)
    assert resumed.card.dead_band == tiny.card.dead_band
    assert resumed.card.training["stages"].keys() == tiny.card.training["stages"].keys()
    for name, bank in tiny.starts.items():
        assert torch.equal(bank, resumed.starts[name])


def test_the_same_seed_trains_the_same_dream_and_another_does_not(tiny, clips, dataset, tmp_path):
    torch.manual_seed(123)  # what else the process does with PyTorch's own generator does not matter
    again = train(clips, dataset, preset("tiny"), Run(tmp_path / "a.ckpt", device="cpu"))
    assert_same_weights(tiny, again)
    chosen = preset("tiny")
    chosen = replace(chosen, training=replace(chosen.training, seed=1))
    other = train(clips, dataset, chosen, Run(tmp_path / "b.ckpt", device="cpu"))
    assert not torch.equal(other.world_model.base, tiny.world_model.base)


def test_sizes_follow_the_recording(tiny, filmed, clips):
    config = tiny.world_model.config
    assert (config.frame_size, config.cells, config.inr.channels) == ((72, 72), (9, 9), 3)
    assert (config.actions, config.discrete, config.reward_values) == (7, True, (0.0, 1.0))
    config = filmed.world_model.config
    assert (config.frame_size, config.cells, config.inr.channels) == ((32, 32), (4, 4), 1)
    assert (config.actions, config.reward_values) == (0, ())


def test_starts_are_different_first_frames_of_their_kind(tiny, clips):
    states = encode_all(tiny.world_model, clips)
    assert set(tiny.starts) == set(clips.starts) - {""} == {"official", "random"}
    for name, bank in tiny.starts.items():
        assert bank.shape[1:] == (tiny.world_model.config.rank, 9, 9)
        first = states[[int(at) for at, kind in zip(clips.first_frames, clips.starts, strict=True) if kind == name]]
        assert torch.equal(torch.unique(bank, dim=0), torch.unique(first, dim=0))
        assert len(torch.unique(bank, dim=0)) == len(bank)


def test_the_card_says_what_a_dream_was_made_from(tiny, dataset, clips):
    card = tiny.card
    assert card.env_id == "MiniGrid-SimpleCrossingS9N1-v0"
    assert (card.horizon, card.reward_discount) == (324, 0.9)
    assert card.data["dataset"] == dataset
    assert card.data["frames"] == len(clips.frames)
    assert card.dead_band > 0
    assert set(card.training["stages"]) >= {*STAGES, "codebook"}
    assert card.training["stages"]["dynamics"]["steps"] == preset("tiny").training.dynamics.steps


@pytest.mark.slow
def test_one_network_for_the_whole_frame_is_a_field_of_one_cell(clips, dataset, tmp_path):
    """The paper's model: `whole` in a preset, and nothing else about it is special."""
    chosen = replace(preset("tiny"), whole=True)
    dream = train(clips, dataset, chosen, Run(tmp_path / "run.ckpt", device="cpu"))
    model = dream.world_model
    assert (model.config.cell, model.config.cells, model.config.blend) == ((72, 72), (1, 1), False)
    assert dream.starts["random"].shape[1:] == (8, 1, 1)
    simulator = DreamSimulator(dream, 2)
    simulator.reset(starts="random", generator=torch.Generator().manual_seed(0))
    result = simulator.step(torch.tensor([2, 0]))
    assert result.state.shape == (2, 8, 1, 1)
    assert simulator.render().shape == (2, 3, 72, 72)
    assert model.places == 0


def test_frames_that_do_not_divide_into_cells_are_refused_at_once(clips, dataset, tmp_path):
    odd = replace(clips, frames=clips.frames[:, :, :, :70])
    with pytest.raises(BadInputError, match="72×64 or 72×72"):
        train(odd, dataset, preset("tiny"), Run(tmp_path / "run.ckpt", device="cpu"))
    assert not list(tmp_path.iterdir())


def test_a_preset_without_a_recipe_that_the_recording_needs_is_refused_at_once(clips, dataset, tmp_path):
    with pytest.raises(BadInputError, match="preset 'digits' has no recipe for tuning"):
        train(clips, dataset, preset("digits"), Run(tmp_path / "run.ckpt", device="cpu"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_without_actions_has_no_recipe_for_labels_and_cards_name_none(name):
    chosen = PRESETS[name]
    assert ("tuning" in chosen.training.to_dict()) == bool(chosen.model.actions)
    assert None not in chosen.training.to_dict().values()
    assert chosen.whole == (chosen.model.cell == chosen.model.frame_size)


def test_a_stage_trains_the_parts_that_it_names_and_no_other(tiny, clips, tmp_path):
    """To the last bit: agents and other stages rely on what stays."""
    model, training = copy.deepcopy(tiny.world_model), preset("tiny").training
    states = encode_all(model, clips)
    owners = {"base": "renderer", "basis": "renderer"}
    stages = (
        Representation(model, clips, training),
        Dynamics(model, clips, states, training),
        Tuning(model, clips, states, training),
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


def test_a_checkpoint_of_another_run_is_refused(clips, dataset, tmp_path):
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(BadInputError, match="does not exist"):
        train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu", resume=True))
    train(clips, dataset, preset("tiny"), Run(checkpoint, device="cpu"))
    with pytest.raises(BadInputError, match="differs in model"):
        train(clips, dataset, preset("tiny", rank=6), Run(checkpoint, device="cpu", resume=True))
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


def test_mixed_precision_trains_all_stages(filmed, digits, tmp_path):
    from nova_gym.data import load_clips

    dream = train(load_clips(str(digits)), "digits", preset("tiny"), Run(tmp_path / "b.ckpt", None, "cpu", "bf16"))
    assert all(value.isfinite().all() for value in dream.world_model.state_dict().values())
    assert not torch.equal(dream.world_model.base, filmed.world_model.base)


@pytest.mark.slow
def test_training_with_memory_and_chance_goes_on_as_if_it_had_not_been_stopped(
    deep, deep_preset, clips, dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr("nova_gym.training.loop.LOG_EVERY", 1)
    monkeypatch.setattr("nova_gym.training.loop.SNAPSHOT_EVERY", 2)

    def press_ctrl_c(stage, step, steps, text):
        if (stage, step) == ("dynamics", 7):
            raise KeyboardInterrupt

    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        train(clips, dataset, deep_preset, Run(checkpoint, device="cpu", progress=press_ctrl_c))
    assert_same_weights(deep, train(clips, dataset, deep_preset, Run(checkpoint, device="cpu", resume=True)))
