"""Reality: what the package knows of an environment stands behind one class, and anyone can add their own."""

import subprocess
import sys
import zlib
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
from minigrid.envs import EmptyEnv

from nova_gym import BadInputError
from nova_gym.data import load_clips
from nova_gym.envs import (
    Coverage,
    Reality,
    RealitySpec,
    evaluate,
    find_reality,
    reality_spec,
    record,
    register_reality,
    similar_spec,
)
from nova_gym.envs.reality import registry
from nova_gym.envs.reality.minigrid_reality import MiniGridReality
from nova_gym.training import Run, preset, train

ROOT = Path(__file__).parents[3]


class Corridor(gym.Env):
    """A dot walks left (0) or right (1) in a corridor with a door in one of several places; the right end pays."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode=None, wide=24):
        self.render_mode, self.wide = render_mode, wide
        self.action_space = gym.spaces.Discrete(2)
        self.observation_space = gym.spaces.Discrete(wide)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.door, self.at = int(self.np_random.integers(4, self.wide - 2)), 0
        return self.at, {}

    def step(self, action):
        self.at = int(np.clip(self.at + (1 if action else -1), 0, self.wide - 1))
        done = self.at == self.wide - 1
        return self.at, float(done), done, False, {}

    def render(self):
        picture = np.zeros((self.wide, self.wide, 3), np.uint8)
        picture[:, self.door, 1] = 120
        picture[self.wide // 2, self.at] = 255
        return picture


class CorridorReality(Reality):
    """Knows doors, which are layouts, and the way, which is always right."""

    scatters = True
    transition_classes = ("left", "right")

    @classmethod
    def knows(cls, env):
        return isinstance(env.unwrapped, Corridor)

    @classmethod
    def view(cls, env_id, env, size):
        return RealitySpec(env_id, {"wide": size}, (size, size))

    def coverage(self):
        return (Coverage("to the end", 0.5, 30, expert=1.0), Coverage("left first", 0.5, 5, facing="left"))

    def expert_coverage(self):
        return (Coverage("to the end", 1.0, 30, expert=1.0),)

    def policy(self, env):
        return lambda: 1

    def scatter(self, env, rng):
        env.unwrapped.at = int(rng.integers(env.unwrapped.wide - 1))

    def place(self, env, kind, rng):
        self.scatter(env, rng)
        return self.transition_classes.index(kind)

    def transition_class(self, env, action):
        return self.transition_classes[action]

    def layout_id(self, env):
        return bytes([env.unwrapped.door])

    def success(self, env, reward, terminated):
        return terminated

    def horizon(self, env):
        return 50


@pytest.fixture
def corridor():
    """The id of an environment that has a `Reality` of its own."""
    gym.register("Corridor-v0", entry_point=Corridor)
    register_reality(CorridorReality)
    yield "Corridor-v0"
    registry._REGISTERED.remove(CorridorReality)
    del gym.registry["Corridor-v0"]


def test_every_environment_that_draws_itself_has_a_reality_and_minigrid_one_of_its_own():
    assert type(find_reality(reality_spec("CartPole-v1"))) is Reality
    assert type(find_reality(reality_spec("MiniGrid-Empty-8x8-v0"))) is MiniGridReality


def test_the_generic_reality_answers_every_question():
    reality = find_reality(reality_spec("CartPole-v1", (48, 48)))
    env, rng = reality.make(), np.random.default_rng(0)
    env.reset(seed=0)
    assert reality.frame(env).shape == (48, 48, 3)
    assert reality.draw(env, 3).shape == (144, 144, 3)
    assert reality.horizon(env) == 500
    assert reality.policy(env) is reality.success(env, 1.0, True) is reality.layout_id(env) is None
    assert not reality.is_held_out(env)
    assert not reality.can_hold_out(env)
    assert reality.held_out(env) == "none"
    assert reality.things(env) == frozenset()
    assert reality.transition_class(env, reality.random_action(env, rng)) == "any"


def test_a_registered_reality_is_used_in_recordings(corridor):
    spec = reality_spec(corridor, 24)
    assert (spec.env_kwargs, type(find_reality(spec))) == ({"wide": 24}, CorridorReality)
    dataset = record(spec, "test/corridor-v0", 200, seed=0)
    episodes = list(dataset.iterate_episodes())
    assert {len(episode.actions) <= 30 for episode in episodes} == {True}
    assert sum(episode.terminations[-1] for episode in episodes) > 5  # the expert was asked
    reality, env = CorridorReality(spec), gym.make(corridor, wide=24)
    for meta in minari.load_dataset("test/corridor-v0").storage.get_episode_metadata(range(len(episodes))):
        env.reset(seed=int(meta["seed"]))
        assert not reality.is_held_out(env)
    experts = record(spec, "test/corridor-expert-v0", 60, seed=0, expert=True)
    assert all((episode.actions == 1).all() for episode in experts.iterate_episodes())


@pytest.mark.slow
def test_evaluation_asks_the_reality_for_classes_layouts_and_an_expert(corridor, tmp_path):
    record(reality_spec(corridor, 24), "test/corridor-to-train-v0", 300, seed=0)
    clips = load_clips("test/corridor-to-train-v0")
    dream = train(clips, "test/corridor-to-train-v0", preset("tiny"), Run(tmp_path / "corridor.ckpt", device="cpu"))
    report = evaluate(dream, episodes=6, steps=4)
    assert set(report.transitions) == {"left", "right"}
    assert report.settings["held_out_layouts"] >= 1
    assert report.outcomes["expert"]["termination recall"].n > 0


def test_an_environment_without_an_expert_says_so():
    with pytest.raises(BadInputError, match=r"CartPole-v1, has an empty expert_coverage"):
        record(reality_spec("CartPole-v1"), "test/expert-v0", 10, expert=True)


def test_a_reality_that_fails_is_passed_over_and_named(corridor):
    class Broken(Reality):
        @classmethod
        def knows(cls, env):
            return env.unwrapped.what_others_do_not_have > 3

    register_reality(Broken)
    try:
        with pytest.warns(UserWarning, match="Broken.knows"):
            assert type(find_reality(reality_spec(corridor, 24))) is CorridorReality
    finally:
        registry._REGISTERED.remove(Broken)


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"length": 0}, {"expert": 0.7, "favoured": (1, 0.5)}])
def test_a_kind_of_clip_that_cannot_be_is_refused_when_it_is_written_down(wrong):
    with pytest.raises(BadInputError, match="a clip needs"):
        Coverage(**{"name": "clips", "share": 1.0, "length": 5, **wrong})


def test_an_evaluation_whose_starts_are_never_held_out_ends(corridor, tmp_path, monkeypatch):
    record(reality_spec(corridor, 24), "test/corridor-never-v0", 100, seed=0)
    dream = train(
        load_clips("test/corridor-never-v0"), "never", preset("tiny"), Run(tmp_path / "never.ckpt", device="cpu")
    )
    shown = find_reality(reality_spec(corridor, 24))
    door = next(d for d in range(4, 22) if zlib.crc32(bytes([d])) % 8)
    monkeypatch.setattr(CorridorReality, "scatter", lambda self, env, rng: setattr(env.unwrapped, "door", door))
    assert shown.can_hold_out(shown.make())
    with pytest.raises(BadInputError, match="200 random starts gave none"):
        evaluate(dream, 2, 2)


@pytest.mark.parametrize("name", ["cart", "my/x", "my x-v0", "minigrid/v0"])
def test_a_name_that_minari_cannot_have_is_one_line(name):
    with pytest.raises(BadInputError, match="cannot create the dataset"):
        record(reality_spec("CartPole-v1", 64), name, 10)


def test_only_a_reality_can_be_registered():
    with pytest.raises(BadInputError, match=r"subclass of nova_gym\.envs\.Reality"):
        register_reality(Corridor)


def test_an_installed_package_adds_its_reality_by_an_entry_point(tmp_path):
    """A package as pip leaves it behind: a module, and metadata that name it."""
    (tmp_path / "foreign.py").write_text(
        "import gymnasium as gym\nfrom nova_gym.envs import Reality\n"
        "class Pole(Reality):\n    @classmethod\n    def knows(cls, env):\n"
        "        return 'CartPole' in type(env.unwrapped).__name__\n"
    )
    info = tmp_path / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nova_gym.realities]\npole = foreign:Pole\nbroken = nowhere:Nothing\n")
    code = (
        "import warnings; warnings.simplefilter('always')\n"
        "from nova_gym.envs import find_reality, reality_spec\n"
        "print(type(find_reality(reality_spec('CartPole-v1'))).__name__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, cwd=tmp_path
    )
    assert run.stdout.split() == ["Pole"], run.stderr
    assert "nowhere:Nothing" in run.stderr  # what is broken is named, and stops nobody


def test_a_size_that_does_not_fit_names_one_that_does():
    with pytest.raises(BadInputError, match="such as 57 or 76 \\(152 for 8 pixels a tile\\), not 72"):
        reality_spec("MiniGrid-FourRooms-v0", 72)
    with pytest.raises(BadInputError, match="72 or 80, not 75"):
        reality_spec("CartPole-v1", 75)
    with pytest.raises(BadInputError, match="64x96 or 72x96, not 70x96"):
        reality_spec("CartPole-v1", (70, 96))
    assert reality_spec("MiniGrid-FourRooms-v0", 76).frame_size == (76, 76)


@pytest.mark.parametrize("level", ["LavaCrossingS9N1", "FourRooms", "KeyCorridorS3R2", "Dynamic-Obstacles-6x6"])
@pytest.mark.parametrize("highlight", [False, True])
def test_frames_of_minigrid_are_what_minigrid_draws(level, highlight):
    view = similar_spec(reality_spec("MiniGrid-Empty-5x5-v0", 40), f"MiniGrid-{level}-v0")
    spec = RealitySpec(view.env_id, {"highlight": highlight, "tile_size": 8}, view.frame_size)
    reality, rng = find_reality(spec), np.random.default_rng(0)
    env = reality.make()
    for seed in range(5):
        env.reset(seed=seed)
        for _ in range(10):
            assert reality.frame(env).dtype == np.uint8
            np.testing.assert_array_equal(reality.frame(env), env.render())
            np.testing.assert_array_equal(reality.draw(env, 2), env.unwrapped.get_frame(highlight, 16, False))
            env.step(reality.random_action(env, rng))


def test_a_minigrid_that_draws_itself_in_its_own_way_is_shown_so():
    class Inverted(EmptyEnv):
        def get_frame(self, *args, **kwargs):
            return 255 - super().get_frame(*args, **kwargs)

    gym.register("Inverted-v0", entry_point=Inverted)
    try:
        reality = find_reality(reality_spec("Inverted-v0", 64))
        env = reality.make()
        env.reset(seed=0)
        np.testing.assert_array_equal(reality.frame(env), env.render())
        assert reality.frame(env)[28, 28].min() > 200  # the floor, which is black elsewhere
    finally:
        del gym.registry["Inverted-v0"]


def test_things_of_minigrid_bear_their_colour_and_state_where_these_differ():
    reality = find_reality(reality_spec("MiniGrid-Unlock-v0", 8 * 11))
    env = reality.make()
    env.reset(seed=0)
    door = next(cell for cell in env.unwrapped.grid.grid if cell is not None and cell.type == "door")
    key = next(cell for cell in env.unwrapped.grid.grid if cell is not None and cell.type == "key")
    assert reality.things(env) == {"agent", "wall", f"locked {door.color} door", f"{key.color} key"}
    door.is_locked = False
    assert f"closed {door.color} door" in reality.things(env)
    door.is_open = True
    assert f"open {door.color} door" in reality.things(env)
    lava = find_reality(reality_spec("MiniGrid-LavaGapS5-v0", 40))
    env = lava.make()
    env.reset(seed=0)
    assert lava.things(env) == {"agent", "goal", "lava", "wall"}


def test_a_similar_view_of_another_grid_has_tiles_of_the_same_size():
    layouts = reality_spec("NovaLayouts-MiniGrid-v0")
    rooms = similar_spec(layouts, "MiniGrid-FourRooms-v0")
    assert rooms == RealitySpec("MiniGrid-FourRooms-v0", {"highlight": False, "tile_size": 8}, (152, 152), tile=8)
    assert similar_spec(rooms, layouts.env_id) == layouts
    env = find_reality(rooms).make()
    env.reset(seed=0)
    assert find_reality(rooms).frame(env).shape == (152, 152, 3)
    assert similar_spec(layouts, "MiniGrid-RedBlueDoors-8x8-v0").frame_size == (64, 128)
    lit = RealitySpec("MiniGrid-Empty-5x5-v0", {"tile_size": 9}, (45, 45))
    assert similar_spec(lit, "MiniGrid-Empty-8x8-v0").env_kwargs == {"tile_size": 9, "highlight": True}


def test_a_similar_view_of_other_environments_has_frames_of_the_same_size(corridor):
    assert similar_spec(reality_spec("CartPole-v1", (48, 48)), "Pendulum-v1") == RealitySpec(
        "Pendulum-v1", {}, (48, 48)
    )
    assert similar_spec(RealitySpec("CartPole-v1", {}, (40, 60)), "Pendulum-v1").frame_size == (40, 60)
    assert similar_spec(reality_spec(corridor, 24), corridor).env_kwargs == {"wide": 24}


def test_a_view_that_cannot_be_similar_says_why():
    layouts = reality_spec("NovaLayouts-MiniGrid-v0")
    with pytest.raises(BadInputError, match="cannot make the environment 'Nothing-v0'"):
        similar_spec(layouts, "Nothing-v0")
    with pytest.raises(BadInputError, match="CartPole-v1 is of another kind than NovaLayouts-MiniGrid-v0"):
        similar_spec(layouts, "CartPole-v1")
    with pytest.raises(BadInputError, match="of another kind"):
        similar_spec(reality_spec("CartPole-v1"), "MiniGrid-FourRooms-v0")
    with pytest.raises(BadInputError, match="9×9 tiles do not fit 70×70 pixels"):
        similar_spec(RealitySpec("MiniGrid-SimpleCrossingS9N1-v0", {"tile_size": 8}, (70, 70)), "MiniGrid-FourRooms-v0")


def test_nobody_but_minigrids_own_file_asks_whether_something_is_a_minigrid():
    """Every branch that only MiniGrid takes stands behind `Reality`."""
    for folder in ("nova_gym", "envs", "agents"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.name not in ("grids.py", "minigrid_reality.py", "minigrid_expert.py", "minigrid_places.py"):
                code = file.read_text()
                assert "is_minigrid" not in code, file
                assert "import grids" not in code, file
                assert "MiniGridReality" not in code, file
