from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import nova_gym
from nova_gym import Dream, WorldModel
from nova_gym.data.actions import ActionMap
from nova_gym.envs import NovaDreamVectorEnv
from nova_gym.errors import BadInputError
from nova_gym.training import preset

ID = "NovaDream-MiniGrid-v0"


def vector(mode="NextStep", num_envs=4, **kwargs):
    return gym.make_vec(ID, num_envs=num_envs, autoreset_mode=mode, starts="random", **kwargs)


def same_keys_and_kinds(ours, theirs):
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        if isinstance(value, dict):
            same_keys_and_kinds(ours[key], value)
        else:
            assert (ours[key].shape, ours[key].dtype) == (value.shape, value.dtype), key
            if key.startswith("_") or key in ("step", "lost"):
                np.testing.assert_array_equal(ours[key], value)
            elif key in ("latent", "latent_action"):
                np.testing.assert_allclose(ours[key], value, atol=1e-3)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("observation", ["latent", "pixels"])
def test_it_is_n_scalar_environments_dream_by_dream(mode, observation):
    """Gymnasium's own SyncVectorEnv over scalar dreams is the reference, for episodes that end at different times."""
    kwargs = {"observation": observation, "max_episode_steps": 6}
    ours = vector(mode, **kwargs)
    # the scalar environment truncates by itself here, as ours does: no TimeLimit between them
    scalar = [lambda: nova_gym.envs.NovaDreamEnv(starts="random", **kwargs)] * 4
    theirs = gym.vector.SyncVectorEnv(scalar, autoreset_mode=mode)
    # the same state, twice the rounding: pixels may differ by one grey level
    tolerance = {"atol": 1e-3} if observation == "latent" else {"atol": 1}
    first, second = ours.reset(seed=11), theirs.reset(seed=11)
    same_keys_and_kinds(first[1], second[1])
    np.testing.assert_allclose(first[0].astype(float), second[0].astype(float), **tolerance)
    rng = np.random.default_rng(0)
    done = np.zeros(4, dtype=bool)
    for step in range(20):
        if mode is AutoresetMode.DISABLED and (done.any() or step == 3):
            mask = done | (np.arange(4) == step % 4)  # one early, so that episodes end at different times
            first = ours.reset(options={"reset_mask": mask.copy()})
            second = theirs.reset(options={"reset_mask": mask.copy()})
            np.testing.assert_allclose(first[0].astype(float), second[0].astype(float), **tolerance)
        actions = rng.integers(0, 3, 4)
        first, second = ours.step(actions), theirs.step(actions)
        np.testing.assert_allclose(first[0].astype(float), second[0].astype(float), **tolerance)
        for a, b in zip(first[1:4], second[1:4], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_array_equal(first[4]["step"], second[4]["step"])
        same_keys_and_kinds(first[4], second[4])
        done = first[2] | first[3]
        if mode is AutoresetMode.SAME_STEP and done.any():
            for i in np.flatnonzero(done):
                np.testing.assert_allclose(
                    first[4]["final_obs"][i].astype(float), second[4]["final_obs"][i].astype(float), **tolerance
                )
            np.testing.assert_array_equal(first[4]["_final_obs"], second[4]["_final_obs"])


def test_spaces_shapes_and_types_are_what_gymnasium_promises():
    envs = vector(num_envs=3)
    observations, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observations)
    observations, rewards, terminated, truncated, info = envs.step(envs.action_space.sample())
    assert envs.observation_space.contains(observations)
    assert rewards.dtype == np.float64
    assert terminated.dtype == truncated.dtype == np.bool_
    assert info["_latent"].all()
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_a_user_s_changes_to_what_it_returns_do_not_reach_the_dream():
    envs = vector()
    observations, info = envs.reset(seed=0)
    before = envs.simulator.state.clone()
    observations[:] = 7
    info["latent"][:] = 7
    assert (envs.simulator.state == before).all()


def test_statistics_wrapper_and_rendering_work():
    envs = gym.wrappers.vector.RecordEpisodeStatistics(
        vector(max_episode_steps=3, render_mode="rgb_array", resolution=20)
    )
    envs.reset(seed=0)
    for _ in range(3):
        *_, info = envs.step(np.full(4, 6))
    assert (info["episode"]["l"] == 3).all()
    frames = envs.unwrapped.render()
    assert len(frames) == 4
    assert frames[0].shape == (20, 20, 3)


def test_each_dream_takes_its_own_seed():
    first, _ = vector().reset(seed=[5, 6, 7, 8])
    second, _ = vector().reset(seed=5)
    np.testing.assert_array_equal(first, second)
    assert not (first[0] == first[1]).all()


ACTIONS = [
    ({"action": "discrete"}, (-1, 7, 10**6, np.nan, 0.5)),
    ({"action": "codebook"}, (-1, 10**6, np.nan)),
    ({"action": "latent"}, (np.nan, np.inf, 1e9)),
    ({"action": "discrete", "continuous": True}, (np.nan, -np.inf, 1e9)),
]


@pytest.fixture(params=[(kind, value) for kind, values in ACTIONS for value in values], ids=str)
def wrong_action(request, shipped):
    """Arguments that choose a kind of action, and a value that is none of that kind."""
    kind, value = dict(request.param[0]), request.param[1]
    if kind.pop("continuous", False):
        config = replace(preset("tiny").model, actions=2, discrete=False)
        space = ActionMap(gym.spaces.Box(-1.0, 1.0, (2,)))
        card = replace(shipped.card, action_space=space.to_dict(), action_names=[], dead_band=0.0)
        starts = {kind: torch.randn(20, config.rank, *config.cells) for kind in ("random", "official")}
        kind["dream"] = Dream(WorldModel(config).eval(), starts, card)
    return kind, value


def test_the_action_of_a_step_that_only_resets_may_be_anything_and_does_nothing(wrong_action):
    """As with Gymnasium's own: the others' actions are looked at as ever, and the dream starts as if it had none."""
    kind, value = wrong_action

    def with_an_end():
        envs = vector(num_envs=3, max_episode_steps=1, **kind)
        envs.action_space.seed(0)
        envs.reset(seed=0)
        assert envs.step(envs.action_space.sample())[3].all()
        envs.reset(options={"reset_mask": np.array([False, True, False])})
        return envs

    envs, twin = with_an_end(), with_an_end()
    fine = envs.action_space.sample()
    wrong = list(fine)
    wrong[0] = wrong[2] = np.full(np.shape(fine[0]), value)[()]
    first, second = envs.step(wrong), twin.step(fine)
    for a, b in zip(first[:4], second[:4], strict=True):
        np.testing.assert_array_equal(a, b)
    for key in second[4]:
        np.testing.assert_array_equal(first[4][key], second[4][key])
    assert first[4]["step"].tolist() == [0, 1, 0]
    assert not first[4]["latent_action"][[0, 2]].any()
    if value != 1e9:  # which a continuous action is clipped from
        envs, wrong = with_an_end(), list(fine)
        wrong[1] = np.full(np.shape(fine[1]), value)[()]
        with pytest.raises(BadInputError, match="invalid action"):
            envs.step(wrong)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_lost_dream_is_told_apart_from_a_time_limit(tiny, mode):
    envs = NovaDreamVectorEnv(3, dream=tiny, max_episode_steps=1, autoreset_mode=mode)
    envs.reset(seed=0)
    envs.reset(
        options={
            "latent": np.full(envs.single_observation_space.shape, 2000.0),
            "reset_mask": np.array([False, True, False]),
        }
    )
    *_, truncated, info = envs.step(np.full(3, 2))
    assert truncated.all()
    last = info["final_info"] if mode is AutoresetMode.SAME_STEP else info
    assert last["lost"].tolist() == [False, True, False]
    assert last["_lost"].all()
    if mode is AutoresetMode.SAME_STEP:
        assert not info["lost"].any()
    if mode is AutoresetMode.NEXT_STEP:
        assert not envs.step(np.full(3, 2))[4]["lost"].any()


def test_bad_input_is_refused():
    envs = vector("Disabled", max_episode_steps=1)
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(np.zeros(4, dtype=int))
    with pytest.raises(BadInputError, match="first reset"):
        envs.reset(options={"reset_mask": np.array([True, False, False, False])})
    envs.reset(seed=0)
    with pytest.raises(BadInputError, match="4 dreams"):
        envs.step(np.zeros(3, dtype=int))
    with pytest.raises(BadInputError, match="invalid action"):
        envs.step(np.full(4, 9))
    with pytest.raises(BadInputError, match="reset_mask"):
        envs.reset(options={"reset_mask": np.zeros(4, dtype=bool)})
    with pytest.raises(BadInputError, match="seeds"):
        envs.reset(seed=[1, 2])
    envs.step(np.zeros(4, dtype=int))
    with pytest.raises(gym.error.ResetNeeded, match="have ended"):
        envs.step(np.zeros(4, dtype=int))
    with pytest.raises(BadInputError, match="NextStep, SameStep, Disabled"):
        vector("Sometimes")
