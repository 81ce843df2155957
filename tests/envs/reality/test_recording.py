import json

import gymnasium as gym
import minari
import numpy as np
import pytest

from nova_gym.data import load_clips
from nova_gym.envs import evaluate, find_reality, reality_spec, record
from nova_gym.errors import BadInputError
from nova_gym.training import Run, preset, train

ENV_ID = "MiniGrid-SimpleCrossingS9N1-v0"


def test_recorded_frames_are_what_the_environment_draws_without_loss(dataset):
    episode = next(minari.load_dataset(dataset).iterate_episodes())
    official = find_reality(reality_spec(ENV_ID)).make()
    official.reset(seed=int(next(minari.load_dataset(dataset).storage.get_episode_metadata([0]))["seed"]))
    np.testing.assert_array_equal(episode.observations[0], official.render())
    for action, frame in zip(episode.actions, episode.observations[1:], strict=True):
        official.step(action)
        np.testing.assert_array_equal(frame, official.render())


def test_metadata_says_which_share_is_of_which_kind(dataset):
    metadata = json.loads(minari.load_dataset(dataset).storage.metadata["nova_gym"])
    assert metadata["reward_discount"] == 0.9
    assert metadata["horizon"] == 324
    assert sum(metadata["clip_shares"].values()) == pytest.approx(1, abs=0.01)
    bumps = {"bump into outer wall", "bump into inner wall"}
    assert set(metadata["transition_shares"]) == {"turn", "free move", *bumps, "into goal", "no-op"}
    assert metadata["transition_shares"]["into goal"] > 0.02  # a random walk finds it in 1 of 500 steps
    assert metadata["held_out"] == "one layout in 8"


@pytest.mark.parametrize("env_id", ["NovaLayouts-MiniGrid-v0", ENV_ID])
def test_rare_transitions_are_frequent_and_clips_short_but_for_some_long_ones(env_id):
    name = f"test/cover-{env_id.split('-')[1].lower()}-v0"
    dataset = record(reality_spec(env_id), name, 2500, seed=0)
    shares = json.loads(dataset.storage.metadata["nova_gym"])["transition_shares"]
    assert shares["into goal"] > 0.04
    assert shares["bump into inner wall"] > 0.06
    lengths = np.array([len(episode.actions) for episode in dataset.iterate_episodes()])
    assert lengths.mean() < 12  # so many layouts are seen
    assert 0.1 < lengths[lengths > 60].sum() / lengths.sum() < 0.3


def test_recordings_of_layouts_say_which_families_they_hold_out_and_what_they_show():
    dataset = record(reality_spec("NovaLayouts-MiniGrid-v0"), "test/layouts-v0", 60)
    metadata = json.loads(dataset.storage.metadata["nova_gym"])
    assert metadata["things"] == ["agent", "goal", "wall"]
    assert "whole families" in metadata["held_out"]
    assert metadata["horizon"] == 324
    assert metadata["reward_discount"] == 0.9


def test_things_that_a_recording_shows_bear_names_that_a_reader_knows():
    dataset = record(reality_spec("MiniGrid-DoorKey-5x5-v0", 40), "test/things-v0", 60)
    things = json.loads(dataset.storage.metadata["nova_gym"])["things"]
    assert {"agent", "goal", "wall", "yellow key", "locked yellow door"} <= set(things)
    dataset = record(reality_spec("CartPole-v1", 24), "test/no-things-v0", 20)
    assert json.loads(dataset.storage.metadata["nova_gym"])["things"] == []


def test_no_held_out_layout_is_ever_recorded(dataset):
    """Official starts are remade from their seeds; the others are moved within layouts checked the same way."""
    storage = minari.load_dataset(dataset).storage
    reality, env = find_reality(reality_spec(ENV_ID)), gym.make(ENV_ID)
    checked = 0
    for meta in storage.get_episode_metadata(range(storage.total_episodes)):
        if meta["options"]["starts"] == "official":
            env.reset(seed=int(meta["seed"]))
            assert not reality.is_held_out(env)
            checked += 1
    assert checked


def test_about_one_layout_in_eight_is_held_out():
    reality, rng = find_reality(reality_spec(ENV_ID)), np.random.default_rng(0)
    env, held = reality.make(), []
    for seed in range(400):
        env.reset(seed=seed)
        reality.scatter(env, rng)
        held.append(reality.is_held_out(env))
    assert 0.06 < np.mean(held) < 0.2


def test_the_same_seed_records_the_same_episodes(dataset):
    again = record(reality_spec(ENV_ID), "test/again-v0", 60, seed=1)
    assert again.total_episodes > 1
    for first, second in zip(minari.load_dataset(dataset).iterate_episodes(), again.iterate_episodes(), strict=False):
        np.testing.assert_array_equal(first.actions, second.actions)
        np.testing.assert_array_equal(first.observations, second.observations)


@pytest.mark.parametrize("env_id", ["CartPole-v1", pytest.param("Pendulum-v1", marks=pytest.mark.slow)])
def test_any_environment_that_renders_can_be_dreamt(env_id, tmp_path):
    name = f"test/{env_id.split('-')[0].lower()}-v0"
    record(reality_spec(env_id, (24, 24)), name, 100)
    clips = load_clips(name)
    assert clips.frames.shape[1:] == (3, 24, 24)
    dream = train(clips, name, preset("tiny"), Run(tmp_path / "run.ckpt", device="cpu"))
    report = evaluate(dream, episodes=3, steps=4)
    assert set(report.open_loop[1]) == {"psnr", "ssim"}
    assert report.outcomes["random"]["reward absolute error"].n >= 3
    path = tmp_path / "dream.safetensors"
    dream.save(path)
    env = gym.make("nova_gym:NovaDream-v0", dream=str(path))
    env.reset(seed=0)
    _, reward, _, _, _ = env.step(env.action_space.sample())
    assert reward == 1.0 if env_id == "CartPole-v1" else reward < 0.5


def test_a_grid_with_one_layout_and_no_inner_walls_is_recorded_and_evaluated(tmp_path):
    spec = reality_spec("MiniGrid-Empty-5x5-v0", 40)
    metadata = json.loads(record(spec, "test/empty-v0", 150).storage.metadata["nova_gym"])
    assert metadata["held_out"] == "none"
    assert "facing an inner wall" not in metadata["clip_shares"]
    assert "official starts, to the goal" in metadata["clip_shares"]
    dream = train(load_clips("test/empty-v0"), "test/empty-v0", preset("tiny"), Run(tmp_path / "e.ckpt", device="cpu"))
    for starts in ("official", "random"):
        report = evaluate(dream, episodes=2, steps=2, starts=starts)
        assert "turn" in report.transitions
        assert "bump into inner wall" not in report.transitions


def test_bad_input_is_one_clear_error(dataset):
    with pytest.raises(BadInputError, match="cannot make the environment 'Nothing-v0'"):
        reality_spec("Nothing-v0")
    with pytest.raises(BadInputError, match="multiple of 9"):
        reality_spec(ENV_ID, 70)
    with pytest.raises(BadInputError, match="already exists"):
        record(reality_spec(ENV_ID), dataset, 10)
    with pytest.raises(BadInputError, match="at least 1 transition"):
        record(reality_spec(ENV_ID), "test/none-v0", 0)


def test_a_recording_that_is_stopped_leaves_no_half_dataset(monkeypatch):
    monkeypatch.setattr("nova_gym.envs.reality.tape.HELD_BYTES", 1)

    def stop(recorded):
        if recorded > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(reality_spec(ENV_ID), "test/stopped-v0", 1000, progress=stop)
    assert "test/stopped-v0" not in minari.list_local_datasets()


def test_an_expert_s_clips_all_end_on_the_goal():
    record(reality_spec(ENV_ID), "test/expert-v0", 60, seed=3, expert=True)
    for episode in minari.load_dataset("test/expert-v0").iterate_episodes():
        assert episode.terminations[-1]
        assert episode.rewards[-1] > 0.9


def test_there_is_no_expert_outside_minigrid():
    with pytest.raises(BadInputError, match="leave out --expert"):
        record(reality_spec("CartPole-v1"), "test/no-expert-v0", 10, expert=True)
