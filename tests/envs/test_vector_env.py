import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import nova_gym
from nova_gym.errors import BadInputError

ID = "NovaDream-MiniGrid-v0"


def vector(mode="NextStep", num_envs=4, **kwargs):
    return gym.make_vec(ID, num_envs=num_envs, autoreset_mode=mode, starts="random", **kwargs)


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
        assert set(second[4]) <= set(first[4])
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
