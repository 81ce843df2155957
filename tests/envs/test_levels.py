"""One dream, many real environments: `reality=` dreams another level by the rules that the dream has learned."""

import warnings
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
import torch

from nova_gym import Dream, DreamSimulator
from nova_gym.envs import NovaDreamEnv, dream_at, evaluate, make_reality
from nova_gym.envs.reality.clips import real_clip
from nova_gym.envs.reality.counterpart import reality_of
from nova_gym.errors import BadInputError

ID = "NovaDream-MiniGrid-v0"
ROOMS, SMALL, LAVA = "MiniGrid-FourRooms-v0", "MiniGrid-Empty-5x5-v0", "MiniGrid-LavaGapS7-v0"


@pytest.mark.parametrize("observation", ["latent", "pixels"])
def test_a_level_has_its_own_size_horizon_and_reality(observation):
    env, real = (
        gym.make(ID, reality=ROOMS, observation=observation),
        make_reality(observation=observation, reality=ROOMS),
    )
    assert env.observation_space == real.observation_space
    assert (
        env.observation_space.shape[-2 if observation == "latent" else 0] == {"latent": 19, "pixels": 152}[observation]
    )
    assert env.action_space == real.action_space
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it shows nothing but walls, a goal and the agent
        observed, _ = env.reset(seed=0)
    assert observed in env.observation_space
    assert env.unwrapped.simulator.horizon == real.unwrapped.max_steps == 100
    assert gym.make(ID).unwrapped.simulator.horizon == 324


def test_many_dreams_of_a_level_are_scalar_ones_in_a_batch():
    envs = gym.make_vec(ID, num_envs=2, reality=SMALL, max_episode_steps=2)
    first, _ = envs.reset(seed=5)
    scalar = [NovaDreamEnv(reality=SMALL).reset(seed=seed)[0] for seed in (5, 6)]
    np.testing.assert_allclose(first, scalar, atol=1e-3)
    for _ in range(3):  # through an end, from which a fresh reset follows
        observations, *_ = envs.step(np.full(2, 6))
    assert observations.shape == (2, *first.shape[1:])


def test_a_level_starts_where_it_does_in_reality(shipped):
    level = dream_at(shipped, ROOMS)
    assert level.starts == {}
    for starts in ("official", "random", "reality"):
        one, same, other = (NovaDreamEnv(shipped, reality=ROOMS, starts=starts).reset(seed=s)[0] for s in (0, 0, 1))
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()
    with pytest.raises(BadInputError, match="reality, official, random"):
        NovaDreamEnv(shipped, reality=ROOMS, starts="clips")
    with pytest.raises(BadInputError, match="give `states`"):
        DreamSimulator(level).reset(generator=torch.Generator())


def test_a_goal_pays_by_the_level_s_own_horizon(shipped, monkeypatch):
    monkeypatch.setattr("nova_gym.stepping._compiler", lambda part: None)  # the compiled step asks no method
    monkeypatch.setattr(shipped.world_model, "outcome", lambda *given: (torch.ones(1), torch.ones(1), torch.zeros(1)))
    for reality, horizon in ((None, 324), (ROOMS, 100)):
        env = NovaDreamEnv(shipped, reality=reality)
        env.reset(seed=0)
        assert env.step(6)[1] == pytest.approx(1 - 0.9 / horizon)


def test_the_dream_itself_stays_as_it_is(shipped):
    before = (shipped.card.env_id, shipped.card.horizon, shipped.cells)
    level = dream_at(shipped, ROOMS)
    assert level.world_model is shipped.world_model
    assert (level.card.env_id, level.card.horizon, level.cells) == (ROOMS, 100, (19, 19))
    assert (shipped.card.env_id, shipped.card.horizon, shipped.cells) == before
    assert dream_at(shipped, None) is dream_at(shipped, shipped.card.env_id) is shipped
    assert dream_at(level, shipped.card.env_id).cells == shipped.cells


def test_a_dream_can_be_given_starts_of_a_level_and_keeps_them_in_its_file(tiny, tmp_path):
    dream_at(tiny, ROOMS, starts=9).save(tmp_path / "rooms.safetensors")
    dream_at(tiny, SMALL, starts=9).save(tmp_path / "small.safetensors")
    rooms, small = (Dream.load(tmp_path / f"{name}.safetensors") for name in ("rooms", "small"))
    assert {name: len(bank) for name, bank in rooms.starts.items()} == {"official": 9, "random": 9}
    assert len(small.starts["official"]) == 1  # it always starts alike
    assert gym.make("NovaDream-v0", dream=rooms).reset(seed=0)[0].shape[1:] == (19, 19)
    assert reality_of(rooms).spec.env_id == ROOMS
    assert DreamSimulator(rooms).reset(generator=torch.Generator()).shape[2:] == (19, 19)


def test_what_was_never_seen_is_named_before_the_first_step(shipped):
    with pytest.warns(UserWarning, match=r"LavaGapS7-v0 shows.*never seen: lava.*cannot draw \d+ of 49 cells.*\("):
        NovaDreamEnv(shipped, reality=LAVA)
    assert "lava" in evaluate(shipped, 2, 1, reality=LAVA).settings["unseen"]
    assert "unseen" not in evaluate(shipped, 2, 1, reality=SMALL).settings


def test_so_are_the_places_in_a_picture_that_it_cannot_draw(shipped):
    reality = reality_of(shipped)
    with closing(reality.make()) as real:
        real.reset(seed=0)
        frame = reality.frame(real)
    env = NovaDreamEnv(shipped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.reset(options={"frame": frame})
    strange = frame.copy()
    strange[16:24, 40:48] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    with pytest.warns(UserWarning, match=r"cannot draw 1 of 81 cells, \(row, column\) \(2, 5\)"):
        env.reset(options={"frame": strange})


def test_clips_are_of_the_level_that_is_asked_for(tiny):
    assert real_clip(tiny, 0, 3, ROOMS).shape == (4, 152, 152, 3)


def test_a_reality_that_cannot_be_dreamt_says_why(tiny, filmed):
    for reality, words in (
        ("Nothing-v0", "cannot make"),
        ("CartPole-v1", "another kind"),
    ):
        with pytest.raises(BadInputError, match=words):
            NovaDreamEnv(tiny, reality=reality)
    with pytest.raises(BadInputError, match="names no environment"):
        NovaDreamEnv(filmed, action="latent", reality=ROOMS)
