"""Environments as people bring them are recorded as they are, or refused at once in one line."""

import json

import beads
import gymnasium as gym
import minari
import numpy as np
import pytest
import torch
from gymnasium import spaces

from nova_gym.data import load_clips, load_dataset
from nova_gym.envs import RealitySpec, find_reality, reality_spec, record
from nova_gym.envs.reality import tape
from nova_gym.errors import BadInputError


@pytest.fixture(autouse=True)
def free_names():
    """Each test may take any names below `beads/`."""
    yield
    for name in minari.list_local_datasets():
        if name.startswith("beads/"):
            minari.delete_dataset(name)


def recorded(transitions=40, view=None, size=None, name="beads/one-v0", seed=0, **kwargs):
    spec = reality_spec(beads.Bead, size, kwargs) if view is None else view
    dataset = record(spec, name, transitions, seed=seed)
    return dataset, json.loads(dataset.storage.metadata["nova_gym"])


@pytest.mark.parametrize(
    "style", ["plain", "float32", "float64", "int16", "upside down", "columns first", "opaque", "grey",
              "grey with channel", "black and white"],
)  # fmt: skip
def test_recorded_frames_are_what_the_environment_draws_however_it_draws(style):
    spec = RealitySpec("beads:Bead", {"style": style}, (24, 60))
    dataset = record(spec, "beads/one-v0", 20)
    for episode in dataset.iterate_episodes():
        places = [episode.observations[0][4, 5::10].argmax(0)[0]]
        for action in episode.actions:
            places.append(np.clip(places[-1] + (1 if action else -1), 0, beads.CELLS - 1))
        expected = np.stack([beads.drawn(place) for place in places])
        if style.startswith("grey"):
            expected = expected[..., 1:2].repeat(3, axis=3)
        if style == "black and white":
            expected = ((expected[..., :1] > 100) * np.uint8(255)).repeat(3, axis=3)
        np.testing.assert_array_equal(episode.observations, expected)


def test_what_is_transparent_is_laid_on_black():
    from nova_gym.pixels import picture

    half = np.dstack([np.full((8, 8, 3), 200, np.uint8), np.full((8, 8), 51, np.uint8)])
    assert (picture(half) == 40).all()


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("nothing", "gave nothing"),
        ("list", "a list of 2 things"),
        ("two channels", r"shape \(24, 60, 2\)"),
        ("bright", "float32 from 7 to 250"),
        ("no number", "float64 from nan"),
        ("16 bits", "uint16 from 1799 to 64250"),
        ("line", r"shape \(3,\)"),
        ("empty", "without pixels"),
    ],
)
def test_what_is_no_picture_is_refused_before_anything_is_written(style, said):
    with pytest.raises(BadInputError, match=f"{said}.*accepted are"):
        reality_spec(beads.Bead, None, {"style": style})
    with pytest.raises(BadInputError, match=f"{said}.*accepted are"):
        record(RealitySpec("beads:Bead", {"style": style}), "beads/refused-v0", 10)
    assert "beads/refused-v0" not in minari.list_local_datasets()


@pytest.mark.parametrize(
    ("env_id", "size", "tile"),
    [
        ("FrozenLake-v1", (32, 32), 8),
        ("CliffWalking-v1", (32, 96), 8),
        ("MiniGrid-FourRooms-v0", (152, 152), 8),
        ("CartPole-v1", (64, 96), 0),
        ("Acrobot-v1", (72, 72), 0),
    ],
)
def test_a_size_is_chosen_that_suits_the_picture(env_id, size, tile):
    spec = reality_spec(env_id)
    assert (spec.frame_size, spec.tile) == (size, tile)


def test_proportions_are_kept_unless_a_height_is_given():
    assert reality_spec(beads.Bead, 80).frame_size == (32, 80)
    assert reality_spec(beads.Bead, (48, 48)).frame_size == (48, 48)
    assert reality_spec("FrozenLake-v1", 64).tile == 16


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (spaces.Discrete(2, start=-3), 2),
        (spaces.MultiDiscrete([2, 3], start=[4, 0]), 6),
        (spaces.MultiDiscrete([2, 40]), 42),
        (spaces.MultiBinary(3), 8),
        (spaces.Box(-2.0, 5.0, (2, 2), np.float64), 4),
        (spaces.Box(-3, 3, (1,), np.int8), 1),
    ],
)
def test_actions_of_all_kinds_are_recorded_as_they_are_and_read_as_a_model_sees_them(space, count):
    dataset, metadata = recorded(view=reality_spec(lambda: beads.Bead("rgb_array", space=space)))
    clips = load_clips("beads/one-v0")
    assert dataset.action_space == space
    assert all(space.contains(action) for episode in dataset.iterate_episodes() for action in episode.actions)
    assert clips.action_count == count
    assert clips.actions.abs().max() <= max(1, count - 1)
    assert clips.metadata["action_space"] == metadata["action_space"]


@pytest.mark.parametrize(
    "space", [spaces.Dict({"go": spaces.Discrete(2)}), spaces.Box(-np.inf, 1.0, (1,)), spaces.Text(4)]
)
def test_actions_that_no_dream_takes_are_refused_in_a_line_that_says_what_to_do(space):
    with pytest.raises(BadInputError, match="ActionWrapper") as refused:
        record(reality_spec(lambda: beads.Bead("rgb_array", space=space)), "beads/refused-v0", 10)
    assert "\n" not in str(refused.value)
    assert "beads/refused-v0" not in minari.list_local_datasets()


def test_environments_are_made_again_from_plain_data_with_arguments_and_wrappers():
    spec = reality_spec("beads:Bead", None, {"pays": 3.0}, ['beads:Faster {"speed": 4}'])
    again = RealitySpec(**json.loads(json.dumps(recorded(view=spec)[1]["reality"])))
    assert again == spec
    env = find_reality(again).make()
    assert (env.unwrapped.pays, env.unwrapped.speed) == (3.0, 4)
    factory = find_reality(reality_spec(beads.limited, None, {"steps": 9}))
    assert (factory.spec.env_id, factory.horizon(factory.make())) == ("beads:limited", 9)
    here = reality_spec(lambda: beads.limited(5), wrappers=[lambda env: beads.Faster(env, 3)])
    assert find_reality(here).make().unwrapped.speed == 3


@pytest.mark.parametrize(
    ("env_id", "kwargs", "wrappers", "said"),
    [
        ("beads:Nothing", {}, (), "no attribute 'Nothing'"),
        ("beads:drawn", {"at": 0}, (), "makes a ndarray, not a gymnasium.Env"),
        ("beads:Bead", {"shape": 3}, (), "unexpected keyword argument 'shape'"),
        ("beads:Bead", {"space": spaces.Discrete(2)}, (), "must be plain data"),
        ("beads:Bead", {}, ("Faster",), "write module:callable"),
        ("beads:Bead", {}, ("beads:Faster {speed}",), "are no JSON"),
        ("beads:Bead", {}, ('beads:Faster {"sped": 3}',), "cannot be put around"),
    ],
)
def test_what_cannot_be_made_is_one_line(env_id, kwargs, wrappers, said):
    with pytest.raises(BadInputError, match=said) as refused:
        reality_spec(env_id, None, kwargs, wrappers)
    assert "\n" not in str(refused.value)


def of_kinds(dataset):
    """Actions of clips by what their kind is called."""
    kinds = {}
    metadata = dataset.storage.get_episode_metadata(range(dataset.total_episodes))
    for episode, meta in zip(dataset.iterate_episodes(), metadata, strict=True):
        kinds.setdefault(meta["options"]["kind"], []).append(episode.actions)
    return kinds


def test_episodes_are_recorded_to_their_real_end():
    dataset, metadata = recorded(1200, ends_after=300)
    lengths = {len(actions) for kind, clips in of_kinds(dataset).items() if "official" in kind for actions in clips}
    assert lengths == {300}
    assert metadata["summary"]["endings"]["terminated"] >= 2


def test_half_of_the_clips_hold_actions_to_get_about():
    kinds = of_kinds(recorded(2000, ends_after=50)[0])
    changes = {
        kind: np.mean([np.count_nonzero(np.diff(actions)) / max(1, len(actions) - 1) for actions in clips])
        for kind, clips in kinds.items()
    }
    assert len(changes) == 4
    for start in ("official starts", "onward"):
        assert changes[f"{start}, actions held"] < 0.35 < 0.45 < changes[f"{start}, at random or seldom tried"]


def test_where_frames_come_back_recordings_go_to_what_was_seldom_tried():
    spec = reality_spec(beads.Lock, (8, 104))
    dataset = record(spec, "beads/lock-v0", 4000)
    assert sum(episode.rewards.sum() for episode in dataset.iterate_episodes()) >= 10  # one random try in 4096 opens it
    again = record(spec, "beads/again-v0", 4000)
    for one, other in zip(dataset.iterate_episodes(), again.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)


@pytest.mark.slow
def test_random_play_goes_on_from_where_it_came_so_that_a_recording_shows_more_than_beginnings():
    dataset = record(reality_spec(beads.Ladder, (320, 8)), "beads/ladder-v0", 1500)
    rungs = [(episode.observations[:, :, 0, 0] > 127).sum(1) for episode in dataset.iterate_episodes()]
    assert all((np.diff(each) == 1).all() for each in rungs)  # what is left out is whole
    assert max(each.max() for each in rungs) > 20  # from the ground, one climb in a million is so high
    again = record(reality_spec(beads.Ladder, (320, 8)), "beads/again-v0", 1500)
    for one, other in zip(dataset.iterate_episodes(), again.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(one.observations, other.observations)


def test_a_policy_that_leads_is_not_recorded_and_random_play_begins_where_it_came():
    climb = lambda way, env: way  # noqa: E731
    dataset = record(reality_spec(beads.Ladder, (320, 8)), "beads/led-v0", 400, policy=climb, led=True)
    begun, right = [], []
    for episode in dataset.iterate_episodes():
        rungs = (episode.observations[:, :, 0, 0] > 127).sum(1)
        assert (np.diff(rungs) == 1).all()
        begun.append(rungs[0])
        right.append(len(episode.actions) - 1)
    assert np.mean(begun) > 10  # it climbs 16 rungs on average
    assert np.mean(right) < 2  # a random step is right every other time
    assert all(clip.get("options")["starts"] == "" for clip in dataset.storage.get_episode_metadata(range(9)))


def test_a_recording_written_in_parts_is_the_same(monkeypatch):
    whole, _ = recorded(100, ends_after=45, name="beads/whole-v0")
    monkeypatch.setattr(tape, "HELD_BYTES", 20 * 24 * 64 * 3)
    parts, _ = recorded(100, ends_after=45, name="beads/parts-v0")
    for one, other in zip(whole.iterate_episodes(), parts.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_array_equal(one.terminations, other.terminations)
    count = range(whole.total_episodes)
    lengths = [[m["total_steps"] for m in d.storage.get_episode_metadata(count)] for d in (whole, parts)]
    assert lengths[0] == lengths[1]
    assert max(lengths[0]) > 20  # so that one clip was written in parts
    assert whole.total_steps == parts.total_steps == sum(lengths[0])


def test_a_disk_that_fails_leaves_nothing_half_written(monkeypatch):
    monkeypatch.setattr(tape, "HELD_BYTES", 1)
    written, write = [], tape.write_episodes

    def fail(*args):
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(args)
        return write(*args)

    monkeypatch.setattr(tape, "write_episodes", fail)
    with pytest.raises(BadInputError, match=r"cannot write the dataset 'beads/full-v0'.*No space left"):
        recorded(100, name="beads/full-v0")
    assert "beads/full-v0" not in minari.list_local_datasets()


def test_the_summary_says_what_was_seen():
    dataset, metadata = recorded(200, pays=2.5)
    seen, episodes = metadata["summary"], list(dataset.iterate_episodes())
    rewards = np.concatenate([episode.rewards for episode in episodes])
    actions = np.concatenate([episode.actions for episode in episodes])
    assert seen["rewards"]["most"] == 2.5
    assert seen["rewards"]["share of others than 0"] == pytest.approx(np.mean(rewards > 0))
    assert seen["rewards"]["values"]["2.5"] == pytest.approx(np.mean(rewards == 2.5))
    assert seen["endings"]["terminated"] == sum(episode.terminations[-1] for episode in episodes)
    assert seen["endings"]["steps"]["most"] == max(map(len, (episode.actions for episode in episodes)))
    assert seen["actions"] == {"0": pytest.approx(np.mean(actions == 0)), "1": pytest.approx(np.mean(actions == 1))}
    assert seen["coverage"] == {"transitions": len(actions), "different frames": beads.CELLS}
    assert seen["warnings"] == []


def test_the_summary_warns_of_what_is_missing():
    spec = reality_spec(beads.limited, None, {"steps": 2})
    dataset = record(spec, "beads/left-v0", 20, policy=lambda observation, env: 0)
    warnings = json.loads(dataset.storage.metadata["nova_gym"])["summary"]["warnings"]
    assert [warning.split(":")[0] for warning in warnings] == ["nothing pays", "nothing ends", "never taken"]
    assert "never taken: 1;" in warnings[2]


def test_a_policy_acts_on_the_environment_s_own_observations_mixed_with_chance():
    spec = reality_spec(beads.Bead)
    for episode in record(spec, "beads/right-v0", 20, policy=beads.right).iterate_episodes():
        assert (episode.actions == 1).all()
        assert episode.rewards[-1] == 1
    mixed = record(spec, "beads/mixed-v0", 400, policy=beads.right, random=0.5)
    share = np.mean(np.concatenate([episode.actions for episode in mixed.iterate_episodes()]))
    assert 0.65 < share < 0.85
    with pytest.raises(BadInputError, match="7 is no action of beads:Bead"):
        record(spec, "beads/wrong-v0", 20, policy=lambda observation, env: 7)
    with pytest.raises(BadInputError, match="needs --policy"):
        record(spec, "beads/wrong-v0", 20, random=0.5)


def test_a_punishment_is_not_discounted_and_leaves_the_discount_of_rewards():
    record(reality_spec("MiniGrid-Dynamic-Obstacles-5x5-v0"), "beads/obstacles-v0", 150)
    clips = load_clips("beads/obstacles-v0")
    assert clips.metadata["reward_discount"] == 0.9
    assert set(clips.rewards.tolist()) == {-1.0, 0.0, 1.0}
    assert len(clips.metadata["action_names"]) == clips.action_count == 3


def test_frames_larger_than_memory_are_mapped_from_a_file_that_leaves_nothing_behind(dataset, clips):
    files = sorted(minari.load_dataset(dataset).storage.data_path.iterdir())
    mapped = load_dataset(dataset, in_memory=1000)
    assert torch.equal(mapped.frames, clips.frames)
    assert torch.equal(mapped.frames[torch.tensor([5, 3])], clips.frames[[5, 3]])
    assert sorted(minari.load_dataset(dataset).storage.data_path.iterdir()) == files


def test_a_limit_of_time_is_found_without_a_spec():
    env = gym.wrappers.RecordEpisodeStatistics(beads.limited(11))
    assert find_reality(reality_spec(beads.limited)).horizon(env) == 11
