"""Reality: one real environment, and what is known of it beyond Gymnasium's own API."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from nova_gym.envs.reality.coverage import RANDOM_COVERAGE, Coverage
from nova_gym.envs.reality.environments import make_env, resized
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.pixels import picture

#: One layout in so many is held out: recordings leave it out, and evaluation uses held-out layouts alone.
HELD_OUT_ONE_IN = 8
#: Resets after which the search for a layout or a pose of some kind is given up.
ATTEMPTS = 200
#: Kinds of scenes: `official`, as the environment resets itself; `held out`, on held-out layouts; `recorded`, such as
#: recordings may hold.
SCENES = ("official", "held out", "recorded")


class Reality:
    """What recording, evaluation and the player need to know of a real environment.

    This class suits every environment that renders to `rgb_array`. A subclass describes one family of environments and
    overrides the methods that it can answer better; the decorator `register_reality` makes the package use it.

    All methods follow the same rules:

    - An instance keeps only its `spec`. What belongs to an episode lives in the `env` that is passed in.
    - That `env` was made by `make` (by `make_env` in `knows` and `view`). It may be wrapped: use `env.unwrapped` to
      reach the environment's own attributes.
    - A method leaves the state of `env` as it is, its random generators included, unless its docstring says otherwise.
    - Methods that take an `rng` draw all chance from it, so that one seed gives one recording. It is a
      `numpy.random.Generator`.
    - An action is a member of `env.action_space`: an int for `Discrete`, an array for `Box`.

    Args:
        spec: which environment, with which arguments, in frames of which size.

    Attributes:
        spec: the same.
    """

    #: Whether `scatter` moves anything. If so, there are starts `random` beside `official`.
    scatters: ClassVar[bool] = False
    #: The names that reports show, in their order. `place` is asked to arrange each of them.
    transition_classes: ClassVar[tuple[str, ...]] = ()
    #: c, if a success pays `1 - c · step / horizon` (step counted from 1) and all other steps pay 0; otherwise 0.
    #: `record` checks the rewards against it and takes 0 where they differ.
    reward_discount: ClassVar[float] = 0.0

    def __init__(self, spec: RealitySpec) -> None:
        self.spec = spec

    # Which environments, and how to look at them

    @classmethod
    def knows(cls, env: gym.Env) -> bool:
        """Whether this class describes `env`.

        Args:
            env: freshly made with the arguments in question, perhaps not reset yet.
        """
        return True

    @classmethod
    def view(cls, env_id: str, env: gym.Env, size: int | tuple[int, int] | None) -> RealitySpec:
        """The view of an environment: the size of its frames, and what it is made with for that.

        Here its own picture is shrunk. Without a size, one is chosen that suits it: 8 pixels for each tile where
        pictures are found to be made of square tiles; whole cells for a step where things are found to move on a grid,
        for which the picture is padded to whole steps; else the same proportions at about 72 × 72 pixels. Steps `env`
        to see that.

        Args:
            env_id: Gymnasium id, `module:` prefix allowed, or `module:callable`.
            env: made with that id, not reset yet.
            size: width of a frame in pixels, or its (height, width), or None to choose a size.

        Returns:
            The spec that `make` and `frame` will follow. Arguments and wrappers that the user gave are added to it.

        Raises:
            BadInputError: the environment cannot be shown at this size.
        """
        from nova_gym.envs.reality.views import suitable_view  # imported here: it brings SciPy along

        return suitable_view(env_id, env, size)

    def similar_view(self, env_id: str, env: gym.Env) -> RealitySpec:
        """The view of another environment that draws things as large as `spec` has them.

        Here it is the default view, in frames of the same size.

        Args:
            env_id: Gymnasium id of the other environment, `module:` prefix allowed.
            env: made with that id and without arguments, not reset yet, and known to this class.

        Raises:
            BadInputError: the other environment cannot be shown so.
        """
        if type(self).view.__func__ is Reality.view.__func__:
            return replace(self.spec, env_id=env_id, env_kwargs={}, wrappers=(), observation=None)
        return replace(self.view(env_id, env, self.spec.frame_size[1]), frame_size=self.spec.frame_size)

    def make(self) -> gym.Env:
        """A new environment after `spec`, with `render_mode="rgb_array"` and the wrappers that `spec` names.

        It has not been reset. The caller closes it.

        Raises:
            BadInputError: the id is unknown, or the environment cannot render to an array.
        """
        return make_env(self.spec)

    def frame(self, env: gym.Env) -> np.ndarray:
        """What `env` looks like now, at `spec.frame_size`.

        A picture of another size is resized by averaging over areas.

        Returns:
            (H, W, 3) uint8, or (H, W, 1) where `spec` says grey.

        Raises:
            BadInputError: the environment draws no picture (`nova_gym.pixels.picture`).
        """
        shown = resized(self.picture(env), *self.spec.frame_size)
        return shown[..., :1] if self.spec.grey else shown

    def picture(self, env: gym.Env) -> np.ndarray:
        """What `env` draws now, at its own size: (H, W, 3) uint8, padded as `spec` says by the pixels of its edges."""
        shown = picture(env.render(), f"render() of {self.spec.env_id}")
        top, bottom, left, right = self.spec.padding
        return np.pad(shown, ((top, bottom), (left, right), (0, 0)), "edge") if any(self.spec.padding) else shown

    def draw(self, env: gym.Env, scale: int) -> np.ndarray:
        """What `env` looks like now, drawn larger than a frame.

        If the environment's own picture is at least that large, it is shrunk to the size asked for. Otherwise the
        pixels of the frame are repeated.

        Args:
            env: after a reset.
            scale: how many times larger than a frame, at least 1.

        Returns:
            (scale · H, scale · W, 3) uint8.
        """
        shown = self.picture(env)
        height, width = (scale * side for side in self.spec.frame_size)
        if shown.shape[0] >= height and shown.shape[1] >= width:
            return resized(shown, height, width)
        return resized(shown, *self.spec.frame_size).repeat(scale, axis=0).repeat(scale, axis=1)

    def largest_scale(self, env: gym.Env) -> int:
        """The largest scale at which `draw` shows more detail than an enlarged frame would. Resets `env`.

        Returns:
            A whole number; below 2 if the environment draws too few pixels for larger frames.
        """
        env.reset(seed=0)
        height, width = self.picture(env).shape[:2]
        return min(height // self.spec.frame_size[0], width // self.spec.frame_size[1])

    def tile(self, env: gym.Env) -> int:
        """Side of a tile in pixels, for an environment whose frames consist of square tiles; otherwise 0.

        Evaluation counts each tile as right or wrong as a whole. `env` may not have been reset yet.
        """
        return self.spec.tile

    # What holds for its episodes

    def horizon(self, env: gym.Env) -> int:
        """Steps after which an episode is truncated, 0 for never. `env` may not have been reset yet."""
        while isinstance(env, gym.Wrapper):  # a limit may be set without a spec
            if isinstance(env, gym.wrappers.TimeLimit):
                return int(env._max_episode_steps)
            env = env.env
        return (env.spec.max_episode_steps if env.spec else None) or 0

    def action_names(self, env: gym.Env) -> list[str]:
        """Names of the discrete actions, one for each, in their order; empty if they have no names."""
        return []

    def levels(self) -> tuple[str, ...]:
        """Ids of environments of the same kind and of several sizes, to choose from in a menu; none if not known.

        Whoever offers them leaves out those that show what a dream has never seen, and may find this one among them.
        """
        return ()

    def success(self, env: gym.Env, reward: float, terminated: bool) -> bool | None:
        """Whether the episode that just ended was a success; None if the environment knows no success.

        Args:
            env: after the last step, before the next reset.
            reward: of the last step.
            terminated: whether the environment ended the episode, instead of truncating it.
        """
        return None

    def layout_id(self, env: gym.Env) -> bytes | None:
        """Identifies the layout: what stays the same throughout an episode, such as walls.

        Whole layouts are held out by it. Equal layouts must give equal bytes in every process, now and later. None
        means that the environment has no layouts.

        Args:
            env: after a reset, and after `scatter` where that was called.
        """
        return None

    def things(self, env: gym.Env) -> frozenset[str]:
        """The kinds of things that `env` shows now, in words that a reader knows them by, such as "wall" or "red key".

        Recordings collect them, so that a dream can say what it has never seen. Empty if nothing is known of them.

        Args:
            env: after a reset.
        """
        return frozenset()

    def transition_class(self, env: gym.Env, action: Any) -> str:
        """The class of the transition that `action` would make from the present state; does not make it.

        Returns:
            One of `transition_classes`, or another name, which recordings and evaluations do not report.
        """
        return "any"

    def ends(self, env: gym.Env, action: Any) -> bool:
        """Whether `action` would end the episode by more than a time limit; does not take it.

        Here a copy of `env` takes it. False where there is no copying it.

        Args:
            env: after a reset.
            action: of its action space.
        """
        try:
            return bool(copy.deepcopy(env.unwrapped).step(action)[2])
        except Exception:  # such as windows and handles of the environment's own, which have no copies
            return False

    # How to record it

    def coverage(self) -> tuple[Coverage, ...]:
        """The kinds of clips that a recording holds, at least one; their shares add up to 1."""
        return RANDOM_COVERAGE

    def expert_coverage(self) -> tuple[Coverage, ...]:
        """The kinds of clips that `record(expert=True)` makes: those in which `policy` acts. Empty without a policy."""
        return ()

    def policy(self, env: gym.Env) -> Callable[[], Any] | None:
        """An expert for the episode that `env` is in; None if none is known.

        Args:
            env: after a reset, and after `scatter` or `place` where that was called.

        Returns:
            A function without arguments that reads the present state of `env` and gives an action for it. It is used
            until the episode ends or `env` is reset.
        """
        return None

    def random_action(self, env: gym.Env, rng: np.random.Generator) -> Any:
        """An action drawn at random, as recordings take it. Seeds `env.action_space` from `rng`."""
        env.action_space.seed(int(rng.integers(2**31)))
        return env.action_space.sample()

    def stroll(self, env: gym.Env, rng: np.random.Generator) -> Any:
        """An action drawn at random from those that move something. May seed `env.action_space` from `rng`."""
        return self.random_action(env, rng)

    def scatter(self, env: gym.Env, rng: np.random.Generator) -> None:
        """Changes `env`: moves what can be elsewhere, such as agent and goal, to places drawn at random.

        It is called right after a reset, before `is_held_out`. Here it does nothing.
        """

    def place(self, env: gym.Env, kind: str, rng: np.random.Generator) -> Any | None:
        """Changes `env`: puts the agent where one of its actions makes a transition of class `kind`.

        It must leave `layout_id` as it is.

        Args:
            env: after a reset, and after `scatter` where that was called.
            kind: one of `transition_classes`.
            rng: of the choice of place and action.

        Returns:
            That action, not taken yet; None if the present layout has no such place. The caller then resets `env`.
        """
        return None

    def arrange(self, env: gym.Env, kind: str, rng: np.random.Generator) -> list[Any] | None:
        """Changes `env`: like `place`, where a transition takes actions that lead up to it.

        An agent that is to put something down has to pick it up first, say, where no frame shows what it carries.
        Recordings begin clips at such places, and evaluation takes all of the actions in reality and in the dream.

        Args:
            env, kind, rng: as in `place`.

        Returns:
            Actions, none taken yet, the last of which makes a transition of class `kind`; None if the present layout
            has no such place. Here it is the one action of `place`.
        """
        action = self.place(env, kind, rng)
        return None if action is None else [action]

    # Holding out, which follows from `layout_id`

    def is_held_out(self, env: gym.Env) -> bool:
        """Whether the present layout is held out, which keeps it from all recordings.

        The answer follows from `layout_id` alone, so every seed leads to the same one. Without layouts it is False.
        """
        layout = self.layout_id(env)
        return layout is not None and zlib.crc32(layout) % HELD_OUT_ONE_IN == 0

    def held_out(self, env: gym.Env) -> str:
        """Which layouts recordings leave out, in words; "none" if they hold all. Resets `env`."""
        return f"one layout in {HELD_OUT_ONE_IN}" if self.can_hold_out(env) else "none"

    def can_hold_out(self, env: gym.Env) -> bool:
        """Whether the environment's own resets lead to held-out layouts and to others as well. Resets `env`.

        If not (there may be one layout alone), recordings and evaluations use all layouts.
        """
        held = set()
        for seed in range(ATTEMPTS):
            env.reset(seed=seed)
            if self.layout_id(env) is None:
                return False
            held.add(self.is_held_out(env))
            if len(held) == 2:
                return True
        return False

    def scenes(self, env: gym.Env, kind: str, rng: np.random.Generator) -> Iterator[None]:
        """Brings `env` from one scene of a kind to the next, endlessly. Resets and steps `env`.

        Args:
            env: looked at by the caller after each turn, and left as it is.
            kind: one of `SCENES`.
            rng: of the scenes.

        Yields:
            None, each time that `env` shows another scene. Scenes may repeat.

        Raises:
            BadInputError: there is no such kind, or the environment has no held-out layouts.
        """
        hold_out = self.check_scenes(env, kind)
        while True:
            env.reset(seed=int(rng.integers(2**31)))
            if kind == "held out":
                self.scatter(env, rng)
            ended = hold_out and self.is_held_out(env) != (kind == "held out")
            while not ended:
                yield
                if kind != "recorded":
                    break
                _, _, terminated, truncated, _ = env.step(self.random_action(env, rng))
                ended = terminated or truncated

    def check_scenes(self, env: gym.Env, kind: str) -> bool:
        """Whether scenes of this kind must be chosen by their layout. Resets `env`.

        Raises:
            BadInputError: there is no such kind, or the environment has no held-out layouts.
        """
        if kind not in SCENES:
            raise BadInputError(f"unknown kind of scenes {kind!r}; there are {', '.join(SCENES)}")
        hold_out = kind != "official" and self.can_hold_out(env)
        if kind == "held out" and not hold_out:
            raise BadInputError(f"{self.spec.env_id} has no layouts that could be held out; take official or recorded")
        return hold_out
