import copy

import minari
import pytest
import torch
from typer.testing import CliRunner

from nova_gym import Dream
from nova_gym.agents import improve
from nova_gym.agents.improvement import Budget, _accepted, _joined
from nova_gym.cli import app
from nova_gym.envs.reality.counterpart import reality_of
from nova_gym.errors import BadInputError
from nova_gym.training.doubt import held_out

SMALL = Budget(agent_steps=64, real_steps=60, tuning_steps=5, episodes=2, num_dreams=4)


@pytest.fixture(scope="module")
def improved(tiny, dataset, tmp_path_factory):
    """The file of a dream after one round, and that dream."""
    output = tmp_path_factory.mktemp("improved") / "better.safetensors"
    return output, improve(tiny, output, rounds=1, dataset=dataset, budget=SMALL, device="cpu")


def test_rounds_are_scored_resumable_and_leave_the_encoder_alone(tiny, dataset, improved):
    output, first = improved
    assert len(first.card.scores["rounds"]) == 1
    assert "rounds" not in tiny.card.scores  # what it started from is left as it was
    second = improve(tiny, output, rounds=2, dataset=dataset, budget=SMALL, resume=True, device="cpu")
    rounds = second.card.scores["rounds"]
    assert len(rounds) == 2
    assert rounds[0] == first.card.scores["rounds"][0]
    assert 0 <= rounds[1]["wrong after"] <= 1
    for name, tensor in tiny.world_model.encoder.state_dict().items():
        torch.testing.assert_close(second.world_model.encoder.state_dict()[name], tensor, atol=2e-3, rtol=2e-3)
    assert Dream.load(output).card.scores["rounds"] == rounds
    with pytest.raises(BadInputError, match="already exists"):
        improve(tiny, output, rounds=1, budget=SMALL)
    with pytest.raises(BadInputError, match="auto or cpu"):
        improve(tiny, output, rounds=1, budget=SMALL, device="cuda:7")


@pytest.mark.slow
def test_a_dream_that_was_right_about_everything_is_left_as_it_is(tiny, tmp_path, monkeypatch):
    nothing = lambda model, clips, states: torch.zeros(len(clips.source), dtype=torch.bool)  # noqa: E731
    monkeypatch.setattr("nova_gym.agents.improvement.wrong_transitions", nothing)
    kept = improve(tiny, tmp_path / "kept.safetensors", rounds=1, budget=SMALL, device="cpu")
    for name, tensor in tiny.world_model.state_dict().items():
        assert torch.equal(kept.world_model.state_dict()[name], tensor), name
    assert kept.card.scores["rounds"][0]["wrong after"] == 0.0
    assert "rounds" not in tiny.card.scores


@pytest.mark.slow
def test_only_a_tuned_dream_that_is_no_less_true_is_kept(tmp_path, monkeypatch):
    true = Dream.load("minigrid")
    false = copy.deepcopy(true)
    false.world_model.forward_dynamics.motion_network.layers[-1].weight.data.zero_()  # nothing moves any more
    for name, start, tuned, kept in (("accepted", false, true, True), ("refused", true, false, False)):
        monkeypatch.setattr("nova_gym.agents.improvement.wrong_transitions", _some_wrong)
        monkeypatch.setattr("nova_gym.agents.improvement.fine_tune", lambda *_, tuned=tuned: copy.deepcopy(tuned))
        improved = improve(start, tmp_path / f"{name}.safetensors", rounds=1, budget=SMALL, device="cpu")
        (row,) = improved.card.scores["rounds"]
        assert row["accepted"] is kept, name
        weight = improved.world_model.forward_dynamics.motion_network.layers[-1].weight
        assert torch.equal(weight, true.world_model.forward_dynamics.motion_network.layers[-1].weight)


def _some_wrong(model, clips, states):
    return torch.arange(len(clips.source)) == 0


def test_no_held_out_layout_is_acted_on(tiny, improved):
    ids = [name for name in minari.list_local_datasets() if name.startswith(f"improve/{improved[0].stem}")]
    assert ids
    reality = reality_of(tiny)
    env = reality.make()
    for name in ids:
        storage = minari.load_dataset(name).storage
        for meta in storage.get_episode_metadata(range(storage.total_episodes)):
            env.reset(seed=int(meta["seed"]))
            assert not reality.is_held_out(env)


def test_what_doubt_is_calibrated_on_is_never_tuned_on(tiny, clips):
    """Which clips those are is counted in each recording, however many stand before it."""
    shorter = clips.part(torch.arange(len(clips.lengths)) != 4)
    parts = [clips, shorter, clips]
    joined = _joined(tiny, parts, has_original=True)
    held = torch.cat([held_out(part).repeat_interleave(part.lengths) for part in parts])
    assert held.any()
    assert torch.equal(joined.weights == 0, held)
    assert joined.weights[: len(clips.source)].sum() == pytest.approx(0.5)


def test_real_steps_stay_within_the_total():
    for budget, rounds in ((Budget(), 3), (Budget(), 40), (Budget(real_steps=9_000, real_total=10_000), 2)):
        learned, scored = budget.acting(rounds)
        assert rounds * (learned + scored) <= budget.real_total
        assert 0 < scored < learned <= budget.real_steps
    assert Budget().acting(3) == (4_000, 1_000)


def test_the_command_refuses_to_resume_nothing(tmp_path):
    command = ["improve", "minigrid", "-o", str(tmp_path / "x.safetensors")]
    nothing = CliRunner().invoke(app, [*command, "--resume"])
    assert (nothing.exit_code, "nothing to resume" in nothing.output) == (2, True)


@pytest.mark.slow
def test_a_dream_with_memory_learns_from_random_play_where_the_agent_has_led(deep, dataset, tmp_path):
    improve(deep, tmp_path / "deeper.safetensors", rounds=1, dataset=dataset, budget=SMALL, device="cpu")
    lengths = [len(episode.actions) for episode in minari.load_dataset("improve/deeper-round-1-v0").iterate_episodes()]
    assert max(lengths) <= 16  # the agent's own steps are not recorded
    assert 20 <= sum(lengths) <= 40  # of 60 steps in reality two in three lead


def test_how_many_may_be_wrong_is_a_matter_of_degree_where_frames_have_no_tiles():
    """Of 1,000, five or six wrong make no difference there; where tiles tell right from wrong, they do."""
    blurred = {"1": {"psnr": {"value": 30.0, "low": 29.5, "high": 30.5, "n": 100}}}
    tiled = {"1": {"psnr": blurred["1"]["psnr"], "exact": {"value": 1.0, "low": 0.97, "high": 1.0, "n": 100}}}
    scores = {"fresh transitions": 1000, "wrong before": 0.005, "wrong after": 0.006}
    for loops, after, accepted in ((blurred, 0.006, True), (blurred, 0.05, False), (tiled, 0.006, False)):
        assert (
            _accepted(scores | {"open loop before": loops, "open loop after": loops, "wrong after": after}) is accepted
        )
    worse = {"1": {"psnr": {"value": 29.0, "low": 28.5, "high": 29.5, "n": 100}}}
    assert not _accepted(scores | {"open loop before": blurred, "open loop after": worse})
