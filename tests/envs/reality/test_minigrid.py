"""MiniGrid's objects: keys, doors, boxes, lava and obstacles are recorded, evaluated, and known to the expert."""

import copy
import json
import threading
import time

import gymnasium as gym
import minari
import numpy as np
import pytest
from minigrid.core.world_object import Door, Wall
from minigrid.envs import DoorKeyEnv, EmptyEnv

from nova_gym.data import load_clips
from nova_gym.envs import NovaDreamEnv, evaluate, find_reality, reality_spec, record
from nova_gym.envs.reality.minigrid_expert import Search, expert
from nova_gym.errors import BadInputError
from nova_gym.training import Run, preset, train

SOLVED = (
    "LavaCrossingS9N2",
    "DoorKey-6x6",
    "MultiRoom-N2-S4",
    "UnlockPickup",
    "SimpleCrossingS9N1",
    "FourRooms",
    "Empty-8x8",
    "Dynamic-Obstacles-6x6",
    "BlockedUnlockPickup",
    "RedBlueDoors-6x6",
    "PutNear-6x6-N2",
    "MemoryS7",
)
#: What each level shows beside turns, free moves, bumps into walls and no-ops.
SHOWN = {
    "LavaCrossingS9N2": {"into goal", "death"},
    "DoorKey-6x6": {
        *("into goal", "pickup", "drop", "unlock door", "open door", "close door", "through a door"),
        *("bump into a thing", "try a locked door"),
    },
    "UnlockPickup": {
        *("success", "pickup", "drop", "unlock door", "open door", "close door", "through a door", "open box"),
        *("bump into a thing", "try a locked door", "pickup with full hands"),
    },
    "Dynamic-Obstacles-6x6": {"into goal", "death"},
}
USUAL = {"turn", "free move", "no-op", "bump into outer wall", "bump into inner wall"}


def reality_of(level):
    """The reality of a level in tiles of 8 pixels."""
    env_id = f"MiniGrid-{level}-v0"
    return find_reality(reality_spec(env_id, 8 * gym.make(env_id).unwrapped.width))


@pytest.mark.parametrize("level", SOLVED)
def test_the_expert_reaches_what_pays_and_plans_fast(level):
    env, planning = reality_of(level).make(), 0.0
    for seed in range(20):
        env.reset(seed=seed)
        began = time.process_time()
        act = expert(env)
        planning += time.process_time() - began
        terminated = truncated = False
        while not (terminated or truncated):
            _, reward, terminated, truncated, _ = env.step(act())
        assert terminated
        assert reward > 0
    assert planning / 20 < 0.05


def test_the_expert_takes_the_shortest_way_and_reads_but_never_changes_the_level():
    env = reality_of("DoorKey-6x6").make()
    env.reset(seed=0)
    before = env.unwrapped.grid.encode().tobytes(), env.unwrapped.agent_pos, env.unwrapped.np_random.bit_generator.state
    assert Search(env).action() is not None
    after = env.unwrapped.grid.encode().tobytes(), env.unwrapped.agent_pos, env.unwrapped.np_random.bit_generator.state
    assert before == after
    steps, act, terminated = 0, expert(env), False
    while not terminated:
        _, _, terminated, _, _ = env.step(act())
        steps += 1
    assert steps == shortest(0)


def shortest(seed):
    """Steps of the shortest way to a reward in DoorKey-6x6: every sequence of steps of MiniGrid itself, in breadth."""
    env = gym.make("MiniGrid-DoorKey-6x6-v0", disable_env_checker=True).unwrapped
    env.reset(seed=seed)
    env.gen_obs = dict
    edge, seen, steps = [env], set(), 0
    while True:
        steps += 1
        following = []
        for state in edge:
            for action in (0, 1, 2, 3, 5):
                after = copy.deepcopy(state)
                _, reward, _, _, _ = after.step(action)
                if reward > 0:
                    return steps
                key = after.hash() + str(after.carrying is None)
                if key not in seen:
                    seen.add(key)
                    following.append(after)
        edge = following


class Walled(EmptyEnv):
    """The goal is walled in."""

    def _gen_grid(self, width, height):
        super()._gen_grid(width, height)
        for cell in ((width - 3, height - 2), (width - 2, height - 3)):
            self.grid.set(*cell, Wall())


def test_where_there_is_no_way_there_is_no_expert_and_record_says_so_in_one_line():
    gym.register("Walled-v0", entry_point=Walled)
    try:
        spec = reality_spec("Walled-v0", 64)
        reality = find_reality(spec)
        env = reality.make()
        env.reset(seed=0)
        assert reality.policy(env) is None
        with pytest.raises(BadInputError, match=r"no expert knows Walled-v0.*leave out --expert") as refusal:
            record(spec, "test/walled-v0", 50, expert=True)
        assert "\n" not in str(refusal.value)
        assert not any(kind.expert for kind in reality.coverage())
    finally:
        del gym.registry["Walled-v0"]


class Uncopied(DoorKeyEnv):
    """It has rules of its own, and something that there is no copy of."""

    def __init__(self, **kwargs):
        super().__init__(size=5, **kwargs)
        self.lock = threading.Lock()

    def step(self, action):
        with self.lock:
            return super().step(action)


def test_a_level_that_cannot_be_copied_is_recorded_by_minigrid_s_own_rules():
    gym.register("Uncopied-v0", entry_point=Uncopied)
    try:
        shares = load_shares(record(reality_spec("Uncopied-v0", 40), "test/uncopied-v0", 400, seed=0).id)
        assert {"pickup", "turn"} <= dict(shares).keys()
    finally:
        del gym.registry["Uncopied-v0"]


@pytest.mark.parametrize("level", SHOWN)
def test_each_class_that_a_level_shows_is_arranged_on_the_layout_that_is_there(level):
    reality, rng = reality_of(level), np.random.default_rng(0)
    env, arranged = reality.make(), set()
    for kind in reality.transition_classes:
        for seed in range(8):
            env.reset(seed=seed)
            layout = reality.layout_id(env)
            action = reality.place(env, kind, rng)
            if action is None:
                continue
            assert reality.transition_class(env, action) == kind
            assert reality.layout_id(env) == layout
            arranged.add(kind)
            _, reward, terminated, _, _ = env.step(action)
            assert terminated == (kind in ("into goal", "success", "death"))
            assert (reward > 0) == (kind in ("into goal", "success"))
    assert arranged - USUAL == SHOWN[level]


def test_nothing_is_in_the_hands_of_an_agent_that_a_clip_begins_with():
    """No frame would show it."""
    reality, rng = reality_of("UnlockPickup"), np.random.default_rng(0)
    env = reality.make()
    for kind in ("drop", "unlock door", "pickup with full hands"):
        env.reset(seed=1)
        actions = reality.arrange(env, kind, rng)
        assert env.unwrapped.carrying is None
        assert len(actions) > 1
        env.step(actions[0])
        assert env.unwrapped.carrying is not None
        assert any(name.startswith("carried ") for name in reality.things(env))


def test_a_recording_shows_what_happens_with_full_hands():
    """Clips begin with the deeds that lead there: by chance alone that is hardly ever seen."""
    dataset = record(reality_of("UnlockPickup").spec, "test/full-hands-v0", 600)
    shares = json.loads(dataset.storage.metadata["nova_gym"])["transition_shares"]
    assert shares["pickup with full hands"] > 0.005
    assert shares["drop"] > 0.02


def test_a_layout_stays_the_same_throughout_an_episode():
    """Whatever is opened, carried off or moves by itself."""
    for level in ("UnlockPickup", "Dynamic-Obstacles-6x6"):
        reality = reality_of(level)
        env = reality.make()
        env.reset(seed=0)
        layout, frames, act = reality.layout_id(env), set(), reality.policy(env)
        terminated = False
        while not terminated:
            frames.add(reality.frame(env).tobytes())
            _, _, terminated, _, _ = env.step(act())
            assert reality.layout_id(env) == layout
        assert len(frames) > 5
        layouts = set()
        for seed in range(40):
            env.reset(seed=seed)
            layouts.add(reality.layout_id(env))
        assert (len(layouts) > 1) == (level == "UnlockPickup")


@pytest.mark.parametrize("level", ["DoorKey-6x6", "UnlockPickup", "LavaCrossingS9N2", "MultiRoom-N2-S4"])
def test_scattered_starts_can_be_solved_and_mostly_need_the_key(level):
    reality, rng = reality_of(level), np.random.default_rng(0)
    env, unlocked = reality.make(), []
    for seed in range(30):
        env.reset(seed=seed)
        reality.scatter(env, rng)
        act = reality.policy(env)
        assert act is not None
        doors = [cell for cell in env.unwrapped.grid.grid if isinstance(cell, Door) and cell.is_locked]
        terminated = False
        while not terminated:
            _, _, terminated, _, _ = env.step(act())
        unlocked += [not door.is_locked for door in doors]
    assert not unlocked or 0.5 < np.mean(unlocked) < 1


@pytest.fixture(scope="module")
def doors():
    """Id of a recording of keys and doors."""
    record(reality_spec("MiniGrid-DoorKey-6x6-v0", 48), "test/doors-v0", 2500, seed=0)
    return "test/doors-v0"


@pytest.mark.slow
def test_rare_deeds_are_frequent_in_recordings(doors):
    boxes = record(reality_spec("MiniGrid-UnlockPickup-v0", 88), "test/boxes-v0", 1500, seed=0)
    opened = record(reality_spec("MiniGrid-MultiRoom-N2-S4-v0", 200), "test/rooms-v0", 250, seed=0)
    wanted = {
        load_shares(doors): ("pickup", "drop", "unlock door", "open door", "close door", "into goal"),
        load_shares(boxes.id): ("pickup", "drop", "unlock door", "open door", "success"),
        load_shares(opened.id): ("open door", "through a door", "into goal"),
    }
    for shares, kinds in wanted.items():
        assert {kind: share for kind, share in shares if kind in kinds and share < 0.01} == {}
        assert {kind for kind, _ in shares} >= set(kinds)


def load_shares(name):
    shares = json.loads(minari.load_dataset(name).storage.metadata["nova_gym"])["transition_shares"]
    return tuple(shares.items())


@pytest.mark.slow
def test_eval_tests_each_deed_by_itself(doors, tmp_path):
    dream = train(load_clips(doors), "doors", preset("tiny"), Run(tmp_path / "doors.ckpt", device="cpu"))
    report = evaluate(dream, 2, 2)
    assert {"pickup", "drop", "unlock door", "open door", "close door", "into goal"} <= set(report.transitions)
    assert all(figure.n == 2 for figure in report.transitions.values())
    assert report.outcomes["expert"]["endings right"].n > 2


@pytest.mark.slow
def test_obstacles_that_move_are_dreamt_and_evaluated_with_three_actions(tmp_path):
    record(reality_spec("MiniGrid-Dynamic-Obstacles-5x5-v0", 40), "test/obstacles-v0", 300, seed=0)
    dream = train(load_clips("test/obstacles-v0"), "obstacles", preset("tiny"), Run(tmp_path / "o.ckpt", device="cpu"))
    assert dream.card.action_names == ["left", "right", "forward"]
    env = NovaDreamEnv(dream)
    assert sorted(env.get_keys_to_action().values()) == [0, 1, 2]
    report = evaluate(dream, 3, 3)
    assert {"turn", "free move", "into goal", "death"} <= set(report.transitions)


def test_transitions_of_a_class_that_is_not_listed_have_a_row_of_their_own(doors, tiny, monkeypatch):
    reality = type(reality_of("SimpleCrossingS9N1"))
    monkeypatch.setattr(reality, "transition_classes", ("free move",))
    report = evaluate(tiny, 2, 1)
    assert set(report.transitions) == {"free move", "other"}


@pytest.mark.parametrize("level", ["FourRooms", "DoorKey-5x5", "UnlockPickup", "MultiRoom-N6", "KeyCorridorS3R2"])
def test_any_level_has_frames_of_eight_pixels_a_tile_and_messages_name_that_size(level):
    env_id = f"MiniGrid-{level}-v0"
    level = gym.make(env_id).unwrapped
    with pytest.raises(BadInputError, match=f"such as {8 * level.width} "):
        reality_spec(env_id, 8 * level.width + 1)
    reality = find_reality(reality_spec(env_id, 8 * level.width))
    env = reality.make()
    env.reset(seed=0)
    assert reality.frame(env).shape == (8 * level.height, 8 * level.width, 3)
