"""What users' environments get wrong is said in one line, or does no harm."""

import tracemalloc

import minari
import numpy as np
import pytest
from beads import Bead
from gymnasium import spaces

from nova_gym.data import load_clips
from nova_gym.data.actions import ActionMap
from nova_gym.envs import RealitySpec, record
from nova_gym.envs.reality.environments import make_env, name_of
from nova_gym.errors import BadInputError


class SameCanvas(Bead):
    """Draws into one array, again and again."""

    canvas = np.zeros((24, 60, 3), np.uint8)

    def render(self):
        self.canvas[:] = super().render()
        return self.canvas


class WithoutOptions(Bead):
    """Has no `options`, which nobody gives it."""

    def reset(self, seed=None):
        return super().reset(seed=seed)


class Steered(Bead):
    """Changes the action that it is given."""

    def __init__(self, **kwargs):
        super().__init__(space=spaces.Box(-1.0, 1.0, (1,), np.float32), **kwargs)

    def step(self, action):
        action *= 0.5
        action += 0.25
        return super().step(action - 0.25)


class Paying(Bead):
    """Pays what it is told to."""

    def __init__(self, reward, **kwargs):
        super().__init__(**kwargs)
        self.reward = float(reward) if isinstance(reward, str) else reward

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, np.array(self.reward) if isinstance(self.reward, list) else self.reward, *rest


class Failing(Bead):
    """Raises in a method, or gives something else there."""

    def __init__(self, where, how, **kwargs):
        super().__init__(**kwargs)
        self.where, self.how = where, how

    def _maybe(self, where, otherwise):
        if self.where != where:
            return otherwise
        if self.how == "raises":
            raise ConnectionError("the robot\nhung up")
        return None if self.how == "nothing" else otherwise[:-1]

    def reset(self, **kwargs):
        return self._maybe("reset", super().reset(**kwargs))

    def step(self, action):
        return self._maybe("step", super().step(action))

    def render(self):
        return self._maybe("render", super().render())

    def close(self):
        return self._maybe("close", super().close())


class Endless(Bead):
    """Never ends."""

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, False, info


NAME = "guard/clips-v0"


class Board(Bead):
    """Takes any of very many actions, and never looks the same."""

    def __init__(self, **kwargs):
        super().__init__(space=spaces.Discrete(40_000), **kwargs)
        self.count = 0

    def render(self):
        self.count += 1
        frame = np.array(super().render())
        frame[20, :32] = np.array([255 * (self.count >> bit & 1) for bit in range(32)], np.uint8)[:, None]
        return frame


class MySpace(spaces.Box):
    """A space of the user's own."""


@pytest.fixture(autouse=True)
def free_name():
    """Each test may take the same name."""
    yield
    if NAME in minari.list_local_datasets():
        minari.delete_dataset(NAME)


def recorded(env, transitions=60, **kwargs):
    record(RealitySpec(name_of(env), kwargs, (24, 60)), NAME, transitions)
    return load_clips(NAME)


def test_an_environment_may_draw_into_the_same_array_again():
    assert len({frame.numpy().tobytes() for frame in recorded(SameCanvas).frames}) > 2


def test_recorded_are_the_actions_that_were_given_whatever_becomes_of_them():
    actions = recorded(Steered, 300).actions
    assert actions.min() < -0.9
    assert actions.max() > 0.9


@pytest.mark.parametrize("reward", ["nan", "inf", "1e300", [1.0], [1.0, 2.0], None])
def test_a_reward_that_is_no_number_is_refused(reward):
    with pytest.raises(BadInputError, match=r"gave the reward .*accepted is one number"):
        recorded(Paying, reward=reward)
    assert NAME not in minari.list_local_datasets()


@pytest.mark.parametrize("reward", [1, True, 1e30, -1e-30])
def test_any_finite_number_is_a_reward(reward):
    assert recorded(Paying, reward=reward).rewards.unique().tolist() == [pytest.approx(float(reward))]


@pytest.mark.parametrize(
    ("where", "how", "said"),
    [
        (
            "reset",
            "raises",
            r"reset\(.*\) of .* fails: ConnectionError: the robot hung up \(.*\.py:\d+\)",
        ),
        ("step", "raises", r"step\(action\) of .* fails: ConnectionError: the robot hung up \(.*\.py:\d+\)"),
        ("render", "raises", r"render\(\) of .* fails: ConnectionError"),
        ("reset", "nothing", r"reset\(\) of .* gave NoneType, not \(observation, info\)"),
        ("step", "less", r"step\(\) of .* gave 4 values, not \(observation, reward, terminated, truncated, info\)"),
    ],
)
def test_an_error_of_the_environment_is_one_line_that_says_where(where, how, said):
    with pytest.raises(BadInputError, match=said) as found:
        recorded(Failing, where=where, how=how)
    assert "\n" not in str(found.value)
    assert NAME not in minari.list_local_datasets()


def test_nothing_is_lost_by_an_environment_that_cannot_be_closed():
    with pytest.warns(UserWarning, match=r"close\(\) of .* fails: ConnectionError"):
        assert len(recorded(Failing, where="close", how="raises").source) >= 60


def test_what_nobody_asks_for_need_not_be_there():
    assert len(recorded(WithoutOptions).source) >= 60


def test_an_environment_without_actions_is_refused():
    class Idle(Bead):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.action_space = None

    with pytest.raises(BadInputError, match="has no action_space"):
        make_env(RealitySpec(name_of(Idle), {}, (24, 60)))


def test_an_episode_without_end_is_cut_and_is_no_measure_of_episodes():
    clips = recorded(Endless, 6000)
    assert (clips.lengths > 600).sum() >= 2  # whole ones, of which none is half of what is recorded
    assert clips.lengths.max() <= 1500
    assert clips.metadata["summary"]["lengths"]["longest"] == 0


def test_an_episode_without_end_does_not_fill_more_than_was_asked_for():
    assert len(recorded(Endless, 60).source) < 90


def test_memory_does_not_grow_with_places_times_actions():
    tracemalloc.start()
    recorded(Board, 400)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3e8  # a row of all actions for each frame takes twice that


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiBinary([3]),
        spaces.MultiBinary(3),
        spaces.MultiBinary((2, 2)),
        spaces.Discrete(3, dtype=np.int32),
        spaces.Discrete(3, start=-1),
        MySpace(-1.0, 1.0, (2,), np.float32),
    ],
)
def test_a_space_of_actions_is_kept_as_it_is(space):
    again = ActionMap.of_dict(ActionMap(space).to_dict()).space
    assert again == space
    assert again.dtype == space.dtype
