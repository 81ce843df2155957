"""Environments that draw themselves, made by Gymnasium or by a callable, and their pictures at another size."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from nova_gym.envs.reality.guard import Guard
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.pixels import picture

#: Callables that no other process finds by their names, such as functions within functions.
_HERE: dict[str, Callable] = {}


def make_env(spec: RealitySpec) -> gym.Env:
    """Makes an environment that renders to `rgb_array`, with its wrappers.

    Args:
        spec: which; its size of frames is not used.

    Raises:
        BadInputError: the environment or a wrapper is unknown or fails, or it cannot render to an array.
    """
    shown = {} if spec.observation is not None else {"render_mode": "rgb_array"}
    try:
        factory = _factory(spec.env_id)
        if factory is None:
            env = gym.make(spec.env_id, disable_env_checker=True, **shown, **spec.env_kwargs)
        else:
            env = factory(**(shown if _takes_render_mode(factory) else {}), **spec.env_kwargs)
    except Exception as error:  # the environment's own code raises what it likes
        raise BadInputError(f"cannot make the environment {spec.env_id!r}: {error}") from error
    if not isinstance(env, gym.Env):
        raise BadInputError(f"{spec.env_id!r} makes a {type(env).__name__}, not a gymnasium.Env")
    for wrapper in spec.wrappers:
        env = _wrapped(env, wrapper)
    if spec.observation is not None:
        return Guard(ObservedPicture(env, spec.observation), spec.env_id)
    modes = (env.metadata or {}).get("render_modes") or []
    if "rgb_array" not in modes and env.render_mode != "rgb_array":
        env.close()
        raise BadInputError(f"{spec.env_id!r} has no render_mode 'rgb_array', which recording needs; it has {modes}")
    if env.render_mode != "rgb_array":
        env.close()
        raise BadInputError(
            f"{spec.env_id!r} makes an environment of render_mode {env.render_mode!r}; it must make one of "
            "'rgb_array', or take render_mode as an argument"
        )
    return Guard(env, spec.env_id)


def find_callable(name: str) -> Callable:
    """What stands behind `module:callable`.

    Raises:
        BadInputError: there is no such module, or nothing in it of that name that can be called.
    """
    if name in _HERE:
        return _HERE[name]
    module, _, path = name.partition(":")
    if not module or not path:
        raise BadInputError(f"{name!r} names no callable: write module:callable, such as my_module:my_function")
    try:
        found = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # the module's own code raises what it likes
        raise BadInputError(f"cannot find {name!r}: {error}") from error
    if not callable(found):
        raise BadInputError(f"{name!r} cannot be called: it is a {type(found).__name__}")
    return found


def name_of(thing: str | Callable) -> str:
    """A callable as `module:callable`, which `find_callable` understands; a string stays as it is.

    What cannot be imported by its name, such as a lambda, is found in this process alone.
    """
    if isinstance(thing, str):
        return thing
    module, path = getattr(thing, "__module__", "here"), getattr(thing, "__qualname__", type(thing).__name__)
    name, count = f"{module}:{path}", 1
    try:
        importable = find_callable(name) is thing
    except BadInputError:
        importable = False
    while not importable and _HERE.get(name, thing) is not thing:
        count += 1
        name = f"{module}:{path}#{count}"
    if not importable:
        _HERE[name] = thing
    return name


def resized(shown: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture at another size, by averaging over areas.

    Args:
        shown: (H, W, 3) uint8.
        height, width: of the result in pixels.

    Returns:
        (height, width, 3) uint8; the picture itself if it has that size.
    """
    if shown.shape[:2] == (height, width):
        return shown
    return np.asarray(Image.fromarray(shown).resize((width, height), Image.Resampling.BOX))


class ObservedPicture(gym.Wrapper):
    """An environment that draws what it gave as its last observation.

    Args:
        env: with pictures as observations, or within them.
        key: of the picture, as in `RealitySpec.observation`.

    Raises:
        BadInputError: there is no picture under that key.
    """

    def __init__(self, env: gym.Env, key: str) -> None:
        from nova_gym.data.observations import find_picture  # imported here: it brings Minari along

        super().__init__(env)
        self._shown = find_picture(env.observation_space, key, f"the observation of {env}")
        self._last: Any = None

    @property
    def render_mode(self) -> str:
        """Always `rgb_array`."""
        return "rgb_array"

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the environment."""
        self._last, info = self.env.reset(**kwargs)
        return self._last, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Steps the environment."""
        result = self.env.step(action)
        self._last = result[0]
        return result

    def render(self) -> np.ndarray:
        """(H, W, 3) uint8, the last observation."""
        return picture(self._shown.frames_of(self._last, one=True)[0], "the observation")


def _factory(env_id: str) -> Callable | None:
    """What `module:callable` names; None for an id of Gymnasium."""
    if env_id in _HERE:
        return _HERE[env_id]
    path = env_id.partition(":")[2]
    if not path or not all(part.isidentifier() for part in path.split(".")):
        return None
    try:
        return find_callable(env_id)
    except BadInputError:
        if env_id in gym.registry or path in gym.registry:
            return None
        raise


def _takes_render_mode(factory: Callable) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:
        return False
    return any(p.name == "render_mode" or p.kind is p.VAR_KEYWORD for p in parameters)


def _wrapped(env: gym.Env, wrapper: str) -> gym.Env:
    name, _, given = wrapper.partition(" ") if wrapper not in _HERE else (wrapper, "", "")
    make = find_callable(name)
    try:
        kwargs = json.loads(given or "{}")
    except ValueError as error:
        raise BadInputError(f"the arguments of the wrapper {name!r} are no JSON: {given!r}: {error}") from error
    if not isinstance(kwargs, dict):
        raise BadInputError(f'the arguments of the wrapper {name!r} are a JSON object, such as {{"x": 1}}, not {given}')
    try:
        wrapped = make(env, **kwargs)
    except Exception as error:  # its own code raises what it likes
        raise BadInputError(f"the wrapper {name!r} cannot be put around {env}: {error}") from error
    if not isinstance(wrapped, gym.Env):
        raise BadInputError(f"the wrapper {name!r} makes a {type(wrapped).__name__}, not a gymnasium.Env")
    return wrapped
