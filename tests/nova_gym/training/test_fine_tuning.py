"""A trained dream is tuned on new transitions."""

from dataclasses import replace

import pytest
import torch

from nova_gym.data import join_clips
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.model.world_model import WorldModel
from nova_gym.training import PRESETS, Run, check_recording, fine_tune, preset, train_further
from nova_gym.training.representation import encode_all


@pytest.fixture(scope="module")
def states(tiny, clips):
    return encode_all(tiny.world_model, clips)


def test_a_tuned_dream_has_other_dynamics_and_the_same_pictures(tiny, clips, states, tmp_path):
    scored = replace(tiny, card=replace(tiny.card, scores={"random": {"exact": 1.0}}))
    checkpoint = tmp_path / "tuned.ckpt"
    tuned = fine_tune(scored, clips, states, 3, 0, Run(checkpoint, device="cpu"))
    assert not checkpoint.exists()
    before, after = scored.world_model.state_dict(), tuned.world_model.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"forward_dynamics", "inverse_dynamics", "bridge", "heads"}
    assert tuned.card.scores == {}  # they were those of other weights
    assert scored.card.scores
    assert tuned.card.dead_band == pytest.approx(tiny.card.dead_band)
    for name, bank in tiny.starts.items():
        assert torch.equal(bank, tuned.starts[name])


def test_a_dream_is_tuned_by_the_recipe_of_its_own_preset(tiny, clips, states, tmp_path):
    """Where its card names none that is known, by that of `cpu`."""
    for name, recipe in (("tiny", PRESETS["tiny"].training.tuning), ("of my own", PRESETS["cpu"].training.tuning)):
        named = replace(tiny, card=replace(tiny.card, training={"preset": name}))
        tuned = fine_tune(named, clips, states, 1, 0, Run(tmp_path / "tuned.ckpt", device="cpu"))
        assert tuned.card.training["tuned"][-1]["recipe"]["batch"] == recipe.batch
    assert PRESETS["tiny"].training.tuning.batch != PRESETS["cpu"].training.tuning.batch


def test_a_dream_is_tuned_on_several_recordings_at_once(tiny, clips, states, tmp_path):
    """As `nova-gym improve` does: what was recorded long ago, and what an agent did in reality."""
    joined = join_clips([clips, clips], [0.25, 0.75])
    both = torch.cat([states, states])
    tuned = fine_tune(tiny, joined, both, 2, 0, Run(tmp_path / "tuned.ckpt", device="cpu"))
    assert tuned.card.training["tuned"][-1]["steps"] == 2


def test_a_recording_fits_if_it_is_of_the_dream_s_environment_or_of_that_it_was_trained_on(tiny, clips):
    """And whatever its size, if its frames divide into cells."""

    def check(frames=clips.frames, env_id=None, dream=tiny, labels=True):
        reality = {**clips.metadata["reality"], **({"env_id": env_id} if env_id else {})}
        check_recording(replace(clips, frames=frames, metadata={"reality": reality}), dream, "new", labels)

    check()
    check(torch.zeros(1, 3, 152, 40, dtype=torch.uint8))
    of_layouts = replace(tiny, card=replace(tiny.card, env_id="MiniGrid-FourRooms-v0"))
    check(dream=of_layouts)
    check(env_id="MiniGrid-FourRooms-v0", dream=of_layouts)
    for arguments, said in (
        ({"env_id": "CartPole-v1"}, "'new' is of CartPole-v1; the dream is of MiniGrid-SimpleCrossingS9N1-v0"),
        ({"frames": torch.zeros(1, 3, 72, 70, dtype=torch.uint8)}, "do not divide into cells"),
        ({"frames": torch.zeros(1, 1, 72, 72, dtype=torch.uint8)}, "1 channels; the dream's have 3"),
    ):
        with pytest.raises(BadInputError, match=said):
            check(**arguments)


def test_tuning_needs_actions(tiny, filmed, clips):
    with pytest.raises(BadInputError, match="needs a dream with actions"):
        check_recording(clips, filmed, "new", labels=True)
    with pytest.raises(BadInputError, match="lacks actions"):
        check_recording(replace(clips, action_count=0), tiny, "new", labels=True)


@pytest.fixture
def remembering(tiny, states):
    """A dream with random weights, memory and chance, that knows one reward alone."""
    config = replace(tiny.world_model.config, memory=4, outcomes=3, everywhere=True, reward_values=(0.0,), looks=0)
    model = WorldModel(config).eval().requires_grad_(False)
    return Dream(model, {"official": model.begin(states[:4], True)}, tiny.card)


def changed(before, after):
    before, after = before.world_model.state_dict(), after.world_model.state_dict()
    same = {name for name, value in after.items() if before[name].shape == value.shape}
    return {name.split(".")[0] for name in after if name not in same or not torch.equal(before[name], after[name])}


def test_an_agent_that_is_kept_keeps_the_memory_that_it_reads(remembering, clips, states, tmp_path):
    tuned = fine_tune(remembering, clips, states, 2, 0, Run(tmp_path / "tuned.ckpt", device="cpu"))
    assert changed(remembering, tuned) == {"forward_dynamics", "inverse_dynamics", "bridge", "heads", "chance"}


def test_training_further_teaches_memory_and_rewards_that_only_the_later_recording_shows(remembering, clips, tmp_path):
    paid = replace(clips, rewards=torch.where(clips.terminations, 5.0, 0.0))
    if not clips.terminations.any():
        paid.rewards[-1] = 5.0
    run = Run(tmp_path / "further.ckpt", device="cpu", minutes=0.005)
    further = train_further(remembering, [clips, paid], preset("tiny"), run)
    assert {"memory", "chance", "bridge", "heads"} <= changed(remembering, further)
    assert not {"encoder", "base", "basis"} & changed(remembering, further)
    assert 5.0 in further.world_model.config.reward_values
    assert further.starts["recorded"].shape[1] == remembering.world_model.config.rank + 4
    assert further.card.training["tuned"][-1]["seconds"] >= 0.1
