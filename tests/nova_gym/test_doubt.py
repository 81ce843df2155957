"""What doubt promises: it knows strange frames, trusts what is true, keeps its start, and costs nothing unasked."""

import copy

import numpy as np
import pytest
import torch

from nova_gym import Dream
from nova_gym.agents import DreamVecEnv
from nova_gym.envs import NovaDreamEnv, NovaDreamVectorEnv, make_reality
from nova_gym.errors import BadInputError
from nova_gym.simulator import DreamSimulator
from nova_gym.training import teach_doubt

ACTIONS = torch.arange(40) % 3


@pytest.fixture(scope="module")
def dream():
    return Dream.load("minigrid")


@pytest.fixture(scope="module")
def frame(dream):
    return make_reality(dream, "pixels").reset(seed=3)[0]


def doubt_of(dream, frame):
    env = NovaDreamEnv(dream, doubt=True)
    return env.reset(options={"frame": frame})[1]["doubt"], env.doubt_map


def test_official_episodes_are_trusted_and_long_ones_too(dream):
    simulator = DreamSimulator(dream, 32, horizon=0, doubt=True)
    simulator.reset(generator=torch.Generator().manual_seed(0))
    for action in ACTIONS:
        simulator.step(action.expand(32))
    assert simulator.doubt.max() < 0.01


@pytest.mark.filterwarnings("ignore:.*never seen")
def test_noise_shifts_and_other_colours_are_doubted_where_they_are(dream, frame):
    noise = np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    for strange in (noise, np.roll(frame, 4, 1), np.roll(frame, 1, 2)):
        assert doubt_of(dream, strange)[0] > 0.9
    patched = frame.copy()
    patched[16:24, 32:40] = noise[16:24, 32:40]
    doubt, where = doubt_of(dream, patched)
    assert doubt > 0.9
    assert np.argwhere(where > 0.5).tolist() == [[2, 4]]
    assert doubt_of(dream, frame)[0] < 0.01


@pytest.mark.filterwarnings("ignore:.*never seen", "ignore:.*has ended")
def test_a_strange_start_is_never_forgotten(dream, frame):
    env = NovaDreamEnv(dream, doubt=True, max_episode_steps=0)
    strange = frame.copy()
    strange[8:16, 8:16] = 200 - strange[8:16, 8:16] // 2
    first = env.reset(options={"frame": strange})[1]["doubt"]
    for action in ACTIONS.tolist():
        assert env.step(action)[4]["doubt"] >= first


def test_a_frame_that_cannot_be_drawn_warns_with_number_and_cells_and_strict_refuses_it(dream, frame):
    strange = frame.copy()
    strange[16:24, 32:40] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    env = NovaDreamEnv(dream)
    with pytest.warns(UserWarning, match=r"cannot draw 1 of 81 cells.*\(2, 4\) \(doubt (0\.9|1\.0)"):
        env.reset(options={"frame": strange})
    with pytest.raises(BadInputError, match="cannot draw 1 of 81 cells"):
        env.reset(options={"frame": strange, "strict": True})
    env.reset(options={"frame": frame, "strict": True})


def test_dreams_agree_one_by_one_and_steps_are_the_same_with_doubt_and_without(dream):
    many = NovaDreamVectorEnv(3, dream, doubt=True)
    plain = NovaDreamVectorEnv(3, dream)
    assert "doubt" not in plain.reset(seed=5)[1]
    many.reset(seed=5)
    for action in ACTIONS.tolist():
        seen, *_, info = many.step(np.full(3, action))
        assert np.array_equal(seen, plain.step(np.full(3, action))[0])
    one = NovaDreamEnv(dream, doubt=True)
    one.reset(seed=6)
    for action in ACTIONS.tolist():
        alone = one.step(action)[4]["doubt"]
    assert alone == pytest.approx(info["doubt"][1], abs=1e-3)


def test_a_dream_without_doubt_says_so_in_one_line(dream):
    bare = Dream.load("digits")
    with pytest.raises(BadInputError, match="cannot doubt"):
        DreamSimulator(bare, doubt=True)
    with pytest.raises(BadInputError, match="doubt=True"):
        _ = DreamSimulator(dream).doubt
    with pytest.raises(BadInputError, match="ignore, truncate, penalise"):
        DreamVecEnv(dream, 1, doubt="hope")


@pytest.mark.filterwarnings("ignore:.*never seen")
def test_truncation_ends_before_the_doubted_step(dream, frame):
    noise = np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    env = DreamVecEnv(dream, 1, doubt="truncate")
    env.set_options({"frame": noise})
    first = env.reset()
    _, rewards, ended, infos = env.step(np.array([0]))
    assert ended[0]
    assert infos[0]["TimeLimit.truncated"]
    assert rewards[0] == 0.0
    assert not env.terminated[0]
    assert np.array_equal(infos[0]["terminal_observation"], first[0])


@pytest.mark.parametrize(("paid", "counts"), [(1.0, 0.75), (-1.0, -1.25)])
def test_a_penalty_takes_what_is_not_trusted(dream, monkeypatch, paid, counts):
    env = DreamVecEnv(dream, 1, doubt="penalise")
    seen, none = env.reset(), np.zeros(1, bool)
    made = (seen, np.array([paid]), none, none, {"doubt": np.array([0.25])})
    monkeypatch.setattr(env.envs, "step", lambda actions: made)
    _, rewards, _, _ = env.step(np.array([0]))
    assert rewards[0] == pytest.approx(counts)
    assert env.rewards[0] == paid


@pytest.mark.filterwarnings("ignore:.*never seen")
def test_what_moves_is_not_doubted_because_of_what_moves_far_away(dream, frame):
    """Two cells change in a step, one of which was doubted before: it stays so, and the other one is trusted."""
    doubt = dream.world_model.doubt
    state = DreamSimulator(dream, 1).reset(generator=torch.Generator().manual_seed(0))
    belief = doubt.begin(state)
    belief.doubt_map[0, 1, 1] = 1.0
    following = state.clone()
    following[0, :, 1, 1], following[0, :, 1, 2] = state[0, :, 1, 2], state[0, :, 1, 1]
    following[0, :, 7, 7] += 1e-3
    after = doubt.step(belief, state, torch.tensor([2]), following, torch.full((1,), -12.0)).doubt_map[0]
    assert after[1, 1] == after[1, 2] == 1.0
    assert after[7, 7] < 0.5


def test_a_dream_whose_states_run_away_gets_a_doubt_too(tiny, clips):
    runs_away = copy.deepcopy(tiny)
    runs_away.world_model.forward_dynamics.content_network.layers[-1].weight.data.mul_(1e30)
    taught = teach_doubt(runs_away, [clips])
    told = [value for name, value in taught.world_model.state_dict().items() if name.startswith("doubt.")]
    assert all(bool(value.isfinite().all()) for value in told if value.is_floating_point())
