import copy
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics, RecordVideo, TimeLimit
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

import nova_gym
from nova_gym.envs import make_reality
from nova_gym.envs.play.keymap import ACTION_KEYS
from nova_gym.errors import BadInputError

ID = "NovaDream-MiniGrid-v0"


KINDS = [
    {"id": ID, "action": action, "starts": starts, "observation": observation}
    for action, starts in (("discrete", "official"), ("latent", "random"), ("codebook", "official"))
    for observation in ("latent", "pixels")
] + [
    {"id": dream, "observation": observation}
    for dream in ("NovaDream-FrozenLake-v0", "NovaDream-CartPole-v0", "NovaDream-MovingDigits-v0")
    for observation in ("latent", "pixels")
]


#: What SB3 has to say about fields: states look like pictures to it, and it wants actions in one row.
ADVICE = ("image", "multidimensional array")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(kind.values()))
def test_both_checkers_pass_with_no_warning_but_sb3_s_advice_on_fields(kind):
    env = gym.make(**kind, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for advice in ADVICE:
            warnings.filterwarnings("ignore", f"(?s).*{advice}")
        check_env(env.unwrapped)
        check_env_of_sb3(env)


@pytest.mark.parametrize("observation", ["latent", "pixels"])
def test_reality_passes_them_too_and_has_the_dream_s_spaces(observation):
    dream, real = gym.make(ID, observation=observation), make_reality(observation=observation)
    assert real.observation_space == dream.observation_space
    assert real.action_space == dream.action_space
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MiniGrid's own
        check_env_of_sb3(real)


def test_a_seed_makes_an_episode():
    def episode(seed):
        env = gym.make(ID, starts="random")
        env.action_space.seed(3)
        observation, _ = env.reset(seed=seed)
        steps = [env.step(env.action_space.sample())[:4] for _ in range(20)]
        return [observation, *(step[0] for step in steps)], [step[1:] for step in steps]

    for first, second in zip(episode(5)[0], episode(5)[0], strict=True):
        np.testing.assert_array_equal(first, second)
    assert episode(5)[1] == episode(5)[1]
    assert (episode(5)[0][0] != episode(6)[0][0]).any()


def test_the_usual_wrappers_work(tmp_path):
    env = gym.make(ID, observation="pixels", render_mode="rgb_array")
    env = RecordVideo(FrameStackObservation(RecordEpisodeStatistics(TimeLimit(env, 5)), 4), str(tmp_path))
    observation, _ = env.reset(seed=0)
    assert observation.shape == (4, 72, 72, 3)
    truncated = False
    while not truncated:
        _, _, _, truncated, info = env.step(6)
    assert info["episode"]["l"] == 5
    env.close()
    assert list(tmp_path.glob("*.mp4"))


def test_the_horizon_is_reality_s_unless_told_otherwise():
    def length(env):
        env.reset(seed=0)
        return next((step for step in range(1, 500) if env.step(6)[3]), None)

    assert length(gym.make(ID)) == 324
    assert length(gym.make(ID, max_episode_steps=7)) == 7
    assert length(nova_gym.envs.NovaDreamEnv(max_episode_steps=400)) == 400
    assert length(nova_gym.envs.NovaDreamEnv(max_episode_steps=0)) is None


def test_info_carries_state_latent_action_and_step():
    env = gym.make(ID)
    observation, info = env.reset(seed=0)
    np.testing.assert_array_equal(observation, info["latent"])
    assert info["step"] == 0
    assert info["lost"] is False
    assert not info["latent_action"].any()
    observation, *_, info = env.step(2)
    np.testing.assert_array_equal(observation, info["latent"])
    assert info["step"] == 1
    assert info["latent_action"].shape[1:] == info["latent"].shape[1:]


def test_what_changes_one_cell_can_be_told_in_a_handful_of_numbers():
    """Where (y, x) and what: the latent action of a turn, of the cell that the agent is in."""
    env, again = gym.make(ID), gym.make(ID, action="latent")
    before, _ = env.reset(seed=0)
    turned, *_, info = env.step(0)
    again.reset(seed=0)
    numbers = env.unwrapped.dream.world_model.summarise(torch.from_numpy(info["latent_action"])[None])[0].numpy()
    assert numbers in again.action_space
    np.testing.assert_allclose(again.step(numbers)[0], turned, atol=1e-4)
    assert (turned != before).any(0).sum() == 1


def test_a_code_acts_on_its_own_cell_alone():
    env = gym.make(ID, action="codebook")
    codes = np.zeros(env.action_space.shape, dtype=int)
    env.reset(seed=0)
    without, *_ = env.step(codes)
    codes[4, 6] = 1
    env.reset(seed=0)
    with_it, *_ = env.step(codes)
    assert np.argwhere((with_it != without).any(0)).tolist() == [[4, 6]]


def test_a_dream_starts_from_any_picture_state_or_reality():
    env, real = gym.make(ID, observation="pixels"), make_reality(observation="pixels", starts="random")
    frame, _ = real.reset(seed=0)
    dreamt, info = env.reset(options={"frame": frame})
    as_float, _ = env.reset(options={"frame": frame / np.float32(255)})
    np.testing.assert_allclose(dreamt.astype(int), as_float.astype(int), atol=1)  # two ways to divide by 255
    latent, _ = env.reset(options={"latent": info["latent"]})
    np.testing.assert_array_equal(latent, dreamt)
    first, _ = env.reset(seed=1, options={"reality": True})
    second, _ = env.reset(seed=1, options={"reality": True})
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame": np.zeros((64, 64, 3), np.uint8)}, "64×64.*dreams frames of 72×72"),
        ({"frame": np.zeros((70, 72, 3), np.uint8)}, "do not divide into cells.*64×72 or 72×72"),
        ({"frame": np.zeros((72, 72), np.uint8)}, "with 3 channels"),
        ({"frame": np.full((72, 72, 3), np.nan)}, "finite"),
        ({"frame": np.full((72, 72, 3), 2.0)}, "within"),
        ({"frame": np.zeros((72, 72, 3), np.int64)}, "uint8"),
        ({"latent": np.zeros(3)}, r"finite numbers of shape \(\d+, 9, 9\)"),
        ({"picture": 1}, "frame, frames, latent, reality"),
        ({"frame": [[1, 2], [3]]}, "array of numbers"),
        ({"frames": [[1, 2], [3]]}, "array of numbers"),
        ({"latent": 10**400}, "must be numbers"),
        ({"reality": np.ones(2, bool)}, "True or False"),
    ],
)
def test_a_start_that_is_none_is_refused_and_nothing_is_lost(options, message):
    env = gym.make(ID)
    before, _ = env.reset(seed=0)
    with pytest.raises(BadInputError, match=message):
        env.reset(options=options)
    assert env.unwrapped.simulator.steps.item() == 0
    np.testing.assert_array_equal(env.unwrapped.simulator.state[0].numpy(), before)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"dream": "atari"},
        {"observation": "smell"},
        {"action": "wish"},
        {"render_mode": "ascii"},
        {"resolution": 0},
        {"starts": "elsewhere"},
        {"device": "abacus"},
        {"device": "meta"},
        {"device": b"\xff"},
        {"dream": 3},
        {"dream": "\0"},
        {"dream": "x" * 5000},
        {"observation": np.zeros(2)},
        {"starts": ["official"]},
        {"render_mode": np.zeros(2)},
        {"resolution": np.zeros((2, 2))},
        {"max_episode_steps": "many"},
        {"max_episode_steps": 2.5},
        {"deterministic": np.ones(2, bool)},
    ],
)
def test_a_wrong_argument_says_what_is_accepted(kwargs):
    with pytest.raises(BadInputError):
        nova_gym.envs.NovaDreamEnv(**kwargs)
    with pytest.raises(BadInputError):
        nova_gym.envs.NovaDreamVectorEnv(2, **kwargs)


@pytest.mark.parametrize("kwargs", [{"seed": -1}, {"seed": 1.5}, {"seed": "a"}, {"seed": len}, {"options": 3}])
def test_a_seed_or_options_that_are_none_are_refused(shipped, kwargs):
    for env in (nova_gym.envs.NovaDreamEnv(shipped), nova_gym.envs.NovaDreamVectorEnv(2, shipped)):
        with pytest.raises(BadInputError):
            env.reset(**kwargs)
        env.reset(seed=np.int64(3))  # which Gymnasium itself refuses


def test_wrong_actions_are_refused():
    env = nova_gym.envs.NovaDreamEnv()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    with pytest.raises(gym.error.ResetNeeded):
        nova_gym.envs.NovaDreamEnv(render_mode="rgb_array").render()
    env.reset()
    for action in (7, -1, 1.5, "left", [0, 1], [[0], [0, 1]], 10**30):
        with pytest.raises(BadInputError, match=r"invalid action|must be an array of numbers"):
            env.step(action)
    latent = nova_gym.envs.NovaDreamEnv(action="latent")
    latent.reset()
    for action in (np.zeros(3), np.full(latent.action_space.shape, np.nan), 1):
        with pytest.raises(BadInputError, match="invalid action"):
            latent.step(action)
    codes = nova_gym.envs.NovaDreamEnv(action="codebook")
    codes.reset()
    for action in (0, np.full((9, 9), -1), np.full((9, 9), 10**6), np.zeros((9, 9)), np.zeros(81, int)):
        with pytest.raises(BadInputError, match=r"invalid action.*9 × 9 codes below"):
            codes.step(action)


def test_stepping_after_the_end_warns_once_and_dreams_on(tiny):
    env = nova_gym.envs.NovaDreamEnv(tiny, max_episode_steps=1)
    for seed in range(2):  # each episode anew
        env.reset(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert env.step(2)[3]
        with pytest.warns(UserWarning, match="has ended"):
            env.step(2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert env.step(2)[4]["step"] == 3


@pytest.mark.parametrize("value", [2000.0, -1e30])
def test_a_lost_dream_is_told_apart_from_a_time_limit(tiny, value):
    env = nova_gym.envs.NovaDreamEnv(tiny, max_episode_steps=2)
    env.reset(options={"latent": np.full(env.observation_space.shape, value)})
    *_, truncated, info = env.step(2)
    assert truncated
    assert info["lost"] is True
    assert env.reset(seed=0)[1]["lost"] is False
    for _ in range(2):
        *_, truncated, info = env.step(2)
    assert truncated
    assert info["lost"] is False


@pytest.mark.parametrize("mode", [None, "rgb_array", "human"])
@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
@pytest.mark.parametrize("starts", ["official", "reality"])
def test_a_copy_lives_a_life_of_its_own(mode, twin_of, starts):
    env = gym.make(ID, render_mode=mode, resolution=24, starts=starts)
    env.reset(seed=0)
    env.step(2)
    twin = twin_of(env)
    expected = [twin.step(2)[0] for _ in range(2)][-1]  # the copy goes ahead; the original stays where it is
    again = [env.step(2) for _ in range(2)][-1]
    np.testing.assert_array_equal(again[0], expected)
    assert again[4]["step"] == 3
    np.testing.assert_array_equal(env.reset()[0], twin.reset()[0])
    env.close()
    twin.close()


def test_the_resolution_can_be_changed_at_any_time():
    env = gym.make(ID, render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    assert env.render().shape == (72, 72, 3)
    env.resolution = (40, 100)
    assert env.render().shape == (40, 100, 3)
    with pytest.raises(BadInputError, match="resolution"):
        env.resolution = -5
    assert gym.make(ID, resolution=96, render_mode="rgb_array").unwrapped.resolution == (96, 96)


def test_keys_are_those_of_minigrid():
    import pygame

    env = gym.make(ID).unwrapped
    keys = env.get_keys_to_action()
    assert keys[(pygame.K_LEFT,)] == 0
    assert keys[(pygame.K_UP,)] == 2
    assert sorted(keys.values()) == list(range(7))
    names = env.dream.card.action_names
    assert {key: names[action] for (key,), action in keys.items()} == ACTION_KEYS  # as in the player


@pytest.mark.parametrize(
    ("kwargs", "key", "played"),
    [({"action": "discrete"}, "K_LEFT", 0), ({"observation": "pixels"}, "K_UP", 2)],
)
def test_playing_with_gymnasium_s_own_player_works(kwargs, key, played):
    import pygame
    from gymnasium.utils.play import play

    seen = []

    def after_step(before, after, action, *_):
        seen.append(action)
        event = pygame.event.Event(pygame.KEYDOWN, key=getattr(pygame, key))
        pygame.event.post(event if len(seen) < 4 else pygame.event.Event(pygame.QUIT))

    play(gym.make(ID, render_mode="rgb_array", **kwargs), callback=after_step, noop=6, fps=1000)
    assert seen[0] == 6
    assert played in seen


def test_both_ids_work_with_and_without_the_module_prefix(tiny, tmp_path):
    path = tmp_path / "tiny.safetensors"
    tiny.save(path)
    assert gym.make("nova_gym:NovaDream-MiniGrid-v0").action_space.n == 7
    shape = (tiny.world_model.config.rank, 9, 9)
    assert gym.make("NovaDream-v0", dream=str(path)).observation_space.shape == shape
    assert gym.make("NovaDream-v0", dream=tiny).observation_space.shape == shape
