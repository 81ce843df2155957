"""Reality: one real environment, and all that is known of it beyond Gymnasium's own API."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from PIL import Image

from nova_gym.envs.reality.coverage import RANDOM_COVERAGE, Coverage
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError

#: One layout in `HELD_OUT_ONE_IN` is never recorded; evaluation uses these alone.
HELD_OUT_ONE_IN = 8
#: Resets after which an environment is believed to have no layout, or no pose, of the kind looked for.
ATTEMPTS = 200
#: What scenes may be: as the environment resets itself; on layouts that no recording holds; what recordings may hold.
SCENES = ("official", "held out", "recorded")


class Reality:
    """A real environment, as the rest of the package knows it.

    This class is right for any environment that draws itself. A subclass knows one family of environments better, and
    overrides what it knows: `register_reality` makes the package use it. An `env` below is always one that `make` gave,
    wrapped or not.

    Args:
        spec: which environment, with which arguments, in frames of which size.

    Attributes:
        spec: the same.
    """

    #: Whether `scatter` moves anything, so that there are starts `random` beside `official`.
    scatters: ClassVar[bool] = False
    #: All that `transition_class` can say, in the order of reports. `place` must be able to arrange each of them.
    transition_classes: ClassVar[tuple[str, ...]] = ()
    #: c, where a success pays `1 - c · step / horizon` and nothing else pays; 0 where rewards are as they are.
    reward_discount: ClassVar[float] = 0.0

    def __init__(self, spec: RealitySpec) -> None:
        self.spec = spec

    # Which environments, and how to look at them

    @classmethod
    def knows(cls, env: gym.Env) -> bool:
        """Whether this class is made for such an environment."""
        return True

    @classmethod
    def view(cls, env_id: str, env: gym.Env, size: int) -> RealitySpec:
        """How an environment is looked at unless its user says otherwise: its own picture, shrunk to a square.

        Args:
            env_id: Gymnasium id.
            env: made with that id and no arguments.
            size: width of a frame in pixels.

        Raises:
            BadInputError: this size cannot be.
        """
        return RealitySpec(env_id, frame_size=(size, size))

    def make(self) -> gym.Env:
        """The real environment, unwrapped by anything of ours, with `render_mode="rgb_array"`.

        Raises:
            BadInputError: the id is unknown, or the environment cannot render to an array.
        """
        return make_env(self.spec.env_id, self.spec.env_kwargs)

    def frame(self, env: gym.Env) -> np.ndarray:
        """What `env` looks like now: (H, W, 3) uint8, resized by area where it draws itself at another size."""
        return _resized(np.asarray(env.render(), dtype=np.uint8), *self.spec.frame_size)

    def draw(self, env: gym.Env, scale: int) -> np.ndarray:
        """What `env` looks like now, (scale · H, scale · W, 3) uint8.

        Where the environment's own picture is as large as that, it is shrunk to it; elsewhere the frame is enlarged.
        """
        picture = np.asarray(env.render(), dtype=np.uint8)
        height, width = (scale * side for side in self.spec.frame_size)
        if picture.shape[0] >= height and picture.shape[1] >= width:
            return _resized(picture, height, width)
        return _resized(picture, *self.spec.frame_size).repeat(scale, axis=0).repeat(scale, axis=1)

    def largest_scale(self, env: gym.Env) -> int:
        """How large `draw` shows more than the frame does; resets `env`."""
        env.reset(seed=0)
        height, width = np.shape(env.render())[:2]
        return min(height // self.spec.frame_size[0], width // self.spec.frame_size[1])

    def tile(self, env: gym.Env) -> int:
        """Pixels a side of a tile, where frames are made of tiles that are right or wrong as a whole; else 0."""
        return 0

    # What holds for its episodes

    def horizon(self, env: gym.Env) -> int:
        """Steps after which an episode is truncated, 0 for never."""
        return (env.spec.max_episode_steps if env.spec else None) or 0

    def action_names(self, env: gym.Env) -> list[str]:
        """Names of discrete actions; empty where they have none."""
        return []

    def success(self, env: gym.Env, reward: float, terminated: bool) -> bool | None:
        """Whether an episode that just ended was a success; None where that means nothing here."""
        return None

    def layout_id(self, env: gym.Env) -> bytes | None:
        """What stays in an episode, such as walls, so that whole layouts can be held out; None where nothing does."""
        return None

    def transition_class(self, env: gym.Env, action: Any) -> str:
        """The class of the transition that `action` is about to make."""
        return "any"

    # How to record it

    def coverage(self) -> tuple[Coverage, ...]:
        """The kinds of clips that a recording holds."""
        return RANDOM_COVERAGE

    def expert_coverage(self) -> tuple[Coverage, ...]:
        """The same where all that counts is what `policy` does; empty where there is no such policy."""
        return ()

    def policy(self, env: gym.Env) -> Callable[[], Any] | None:
        """An expert for the episode that `env` is in: each call gives the action for the present; None if unknown."""
        return None

    def random_action(self, env: gym.Env, rng: np.random.Generator) -> Any:
        """An action drawn at random."""
        env.action_space.seed(int(rng.integers(2**31)))
        return env.action_space.sample()

    def stroll(self, env: gym.Env, rng: np.random.Generator) -> Any:
        """An action drawn at random from those that move something."""
        return self.random_action(env, rng)

    def scatter(self, env: gym.Env, rng: np.random.Generator) -> None:
        """Moves to anywhere what may be anywhere, such as agent and goal."""

    def place(self, env: gym.Env, kind: str, rng: np.random.Generator) -> Any | None:
        """Moves the agent to where one of its actions makes a transition of class `kind`.

        Returns:
            That action; None if the present layout has no such place.
        """
        return None

    # Holding out, which follows from `layout_id`

    def is_held_out(self, env: gym.Env) -> bool:
        """Whether the present layout is kept from all recordings.

        It depends on nothing but the layout, so no seed can bring a held-out layout into a recording.
        """
        layout = self.layout_id(env)
        return layout is not None and zlib.crc32(layout) % HELD_OUT_ONE_IN == 0

    def can_hold_out(self, env: gym.Env) -> bool:
        """Whether among the environment's own resets some layouts are held out and some are not; resets it.

        Where not (one layout alone, say), nothing is held out at all, neither from recordings nor for evaluation.
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
        """Brings `env` from one scene of a kind to the next, without end.

        Args:
            env: the environment.
            kind: one of `SCENES`.
            rng: of the scenes.

        Raises:
            BadInputError: there is no such kind, or nothing can be held out.
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
        """Whether scenes of this kind must be chosen by their layout; resets `env`.

        Raises:
            BadInputError: there is no such kind, or nothing can be held out.
        """
        if kind not in SCENES:
            raise BadInputError(f"unknown kind of scenes {kind!r}; there are {', '.join(SCENES)}")
        hold_out = kind != "official" and self.can_hold_out(env)
        if kind == "held out" and not hold_out:
            raise BadInputError(f"{self.spec.env_id} has no layouts that could be held out; take official or recorded")
        return hold_out


def make_env(env_id: str, env_kwargs: dict[str, Any]) -> gym.Env:
    """An environment that draws itself.

    Raises:
        BadInputError: the id is unknown, or the environment cannot render to an array.
    """
    try:
        env = gym.make(env_id, render_mode="rgb_array", disable_env_checker=True, **env_kwargs)
    except (gym.error.Error, ModuleNotFoundError, TypeError, AssertionError) as error:
        raise BadInputError(f"cannot make the environment {env_id!r}: {error}") from error
    modes = env.metadata.get("render_modes", [])
    if "rgb_array" not in modes:
        env.close()
        raise BadInputError(f"{env_id!r} has no render_mode 'rgb_array', which recording needs; it has {modes}")
    return env


def _resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
