"""What a recording shows decides the sizes of the model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nova_gym import kernels
from nova_gym.data.ambiguity import ambiguity_of
from nova_gym.model.compiled_step import compiled_step
from nova_gym.model.world_model import WorldModel
from nova_gym.training import PRESETS
from nova_gym.training.layout import moves_gradually, needs_everywhere
from nova_gym.training.suiting import suiting_preset
from nova_gym.training.train import config_for, left_to_chance

from . import toys


def suiting(rule, pixels=8, **sizes):
    """The sizes that suit walks by a rule, and what is said of them."""
    places, actions = toys.walks(rule)
    clips = toys.clips_of(toys.drawn(places, pixels), actions)
    found = suiting_preset(clips, **sizes)
    return config_for(clips, found.preset), " ".join(found.lines)


def test_tiles_that_follow_rules_need_neither_memory_nor_chance_and_their_step_is_compiled():
    config, said = suiting(toys.pushed)
    assert (config.memory, config.outcomes, config.far, config.everywhere) == (0, 0, False, False)
    assert config.cells == (1, 12)
    assert "none needed" in said
    if kernels.find("step", "cpu"):
        assert compiled_step(WorldModel(config), None) is not None


@pytest.mark.parametrize("rule", [toys.slipping, toys.flipping])
def test_what_no_past_explains_is_chance(rule):
    config, said = suiting(rule)
    assert config.memory == 0
    assert config.outcomes > 0
    assert compiled_step(WorldModel(config), None) is None
    assert "chance: 9" in said or "chance: 100%" in said


def test_what_the_past_explains_is_memory():
    config, said = suiting(toys.gliding)
    assert config.memory > 0
    assert config.outcomes == 0
    assert "explains 100%" in said


def test_what_happens_out_of_sight_needs_far_sight_alone():
    config, _ = suiting(toys.teleporting)
    assert (config.memory, config.outcomes, config.far, config.everywhere) == (0, 0, True, False)


def test_where_frames_seldom_repeat_those_that_do_say_whether_the_whole_frame_decides():
    places, actions = toys.walks(toys.teleporting, episodes=120)
    frames = toys.drawn(places, width=136)
    clock = np.random.default_rng(0).integers(180, size=(120, 1)) + np.arange(21)
    frames[..., 1, :, 128:] = (clock % 180)[..., None, None]  # far from where the block moves
    clips = toys.clips_of(frames, actions)
    assert not ambiguity_of(clips).enough
    model = suiting_preset(clips).preset.model
    assert (model.memory, model.outcomes, model.far) == (0, 0, True)


def test_things_that_move_gradually_are_one_network_with_memory():
    config, said = suiting(toys.rolling, pixels=1)
    assert config.cells == (1, 1)
    assert config.memory > 0
    assert "one network" in said


def test_what_moves_fast_but_may_be_anywhere_is_one_network_and_what_jumps_between_few_places_is_cells():
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (60, 1, 1)) + 2.4 * np.arange(9)[None, :, None]
    acts = rng.integers(2, size=(60, 8))
    for places, whole in ((phase, True), (np.round(phase * 2) / 2 % 8, False)):
        wave = 127.5 + 127.5 * np.cos(0.4 * np.arange(16) + places)
        frames = np.broadcast_to(wave[:, :, None, None], (60, 9, 3, 16, 16)).astype(np.uint8)
        assert moves_gradually(toys.clips_of(frames, acts), (8, 8)) is whole


def test_sizes_that_are_given_are_taken():
    config, _ = suiting(toys.pushed, name="tiny", memory=3, outcomes=2)
    assert (config.memory, config.outcomes, config.hidden) == (3, 2, 16)


def test_rewards_and_endings_that_a_coin_decides_are_left_to_chance():
    places, actions = toys.walks(toys.pushed)
    clips = toys.clips_of(toys.drawn(places), actions)
    coin = torch.rand(len(clips.rewards), generator=torch.Generator().manual_seed(0)) < 0.5
    plain = WorldModel(replace(PRESETS["tiny"].model, actions=2))
    assert left_to_chance(plain, clips) == (False, False)
    assert left_to_chance(plain, replace(clips, rewards=coin.float())) == (True, False)
    assert left_to_chance(plain, replace(clips, terminations=coin)) == (False, True)
    remembering = WorldModel(replace(PRESETS["tiny"].model, actions=2, memory=4))
    assert left_to_chance(remembering, replace(clips, rewards=coin.float())) == (False, False)  # the past may decide


def test_the_same_change_that_pays_by_one_action_alone_needs_more_than_the_changed_cells():
    frames = np.zeros((40, 2, 3, 16, 16), np.uint8)
    frames[:, 0, :, :8, 8:] = 200  # a box, which is gone then
    acts = np.arange(40)[:, None] % 2
    clips = toys.clips_of(frames, acts)
    assert not needs_everywhere(clips, (8, 8))
    paid = replace(clips, rewards=torch.from_numpy(acts.ravel()).float())
    assert needs_everywhere(paid, (8, 8))
    frames[::2, 0, :, :8, 8:] = 100  # of another colour where nothing is paid
    assert not needs_everywhere(replace(toys.clips_of(frames, acts), rewards=paid.rewards), (8, 8))
