"""Which `Reality` knows which environment; third parties register their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module, metadata
from typing import Any

import gymnasium as gym

from nova_gym.envs.actions import environment_actions
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.environments import make_env, name_of
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError

#: Entry points of this group name subclasses of `Reality`, such as `my_package.my_module:MyReality`.
ENTRY_POINTS = "nova_gym.realities"
#: Classes of this package, imported at the first look-up, because they import further libraries.
_BUILT_IN = ("nova_gym.envs.reality.minigrid_reality",)
#: Registered classes. Of those that know an environment, the last is used.
_REGISTERED: list[type[Reality]] = []


def register_reality(reality: type[Reality]) -> type[Reality]:
    """Class decorator: registers a subclass of `Reality` for the environments that it `knows`.

    Of several classes that know an environment, the last registered is used. An installed package can name its class
    in an entry point of the group `nova_gym.realities` instead; then nova-gym imports it by itself.

    Returns:
        The class.

    Raises:
        BadInputError: the argument is not a subclass of `Reality`.
    """
    if not (isinstance(reality, type) and issubclass(reality, Reality)):
        raise BadInputError(f"a reality is a subclass of nova_gym.envs.Reality, not {reality!r}")
    if reality not in _REGISTERED:
        _REGISTERED.append(reality)
    return reality


def find_reality(spec: RealitySpec) -> Reality:
    """The `Reality` of an environment, of the last registered class that knows it.

    Raises:
        BadInputError: the environment does not exist or cannot render.
    """
    _load()
    env = make_env(spec)
    try:
        return _class_for(env, spec)(spec)
    finally:
        env.close()


def reality_spec(
    env_id: str | Callable[..., gym.Env],
    size: int | tuple[int, int] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[str | Callable[[gym.Env], gym.Env]] = (),
    observation: str | None = None,
) -> RealitySpec:
    """The view of an environment: what it is made with, and the size of its frames.

    MiniGrid is drawn natively (whole tiles), without the highlighted field of view, as in the paper. Any other
    environment is drawn at its own size and shrunk, with its proportions kept. A registered `Reality` may decide
    otherwise (`Reality.view`).

    Args:
        env_id: Gymnasium id, `module:` prefix allowed; or a class or function that makes the environment, itself or as
            `module:callable`. It is called with `render_mode="rgb_array"` if it takes that. What cannot be imported by
            its name, such as a lambda, can be made again in this process alone.
        size: width of a frame in pixels, or its (height, width); None chooses what suits the environment.
        env_kwargs: keyword arguments that it is made with.
        wrappers: put around it, the first one innermost; each is called with the environment. Written
            `module:callable {…}`, it gets keyword arguments as JSON.
        observation: what frames show, as in `RealitySpec`; None for what `render()` draws.

    Raises:
        BadInputError: the environment does not exist, cannot render, has actions of a kind that no dream takes, or
            cannot be shown at this size.
    """
    _load()
    given = RealitySpec(
        name_of(env_id), dict(env_kwargs or {}), wrappers=tuple(map(name_of, wrappers)), observation=observation
    )
    env = make_env(given)
    try:
        environment_actions(env, given.env_id)
        view = _class_for(env, given).view(given.env_id, env, size)
    finally:
        env.close()
    kwargs = {**view.env_kwargs, **given.env_kwargs}
    return replace(view, env_kwargs=kwargs, wrappers=given.wrappers, observation=observation)


def similar_spec(spec: RealitySpec, env_id: str) -> RealitySpec:
    """The view of another environment of the same kind that draws things as large as a given view does.

    A dream that knows rules instead of layouts can then take the other environment as its reality. On MiniGrid tiles
    have the same size, so a larger grid has larger frames. Any other environment has frames of the same size. A
    registered `Reality` may decide otherwise (`Reality.similar_view`).

    Args:
        spec: the view to draw like.
        env_id: Gymnasium id of the other environment, `module:` prefix allowed, or `module:callable`. It is made
            without arguments, and with the wrappers of `spec`.

    Raises:
        BadInputError: one of the environments does not exist or cannot render, they are of different kinds, or the
            other one cannot be shown so.
    """
    reality = find_reality(spec)
    other = RealitySpec(env_id, wrappers=spec.wrappers, observation=spec.observation)
    env = make_env(other)
    try:
        kind = _class_for(env, other)
        if kind is not type(reality):
            raise BadInputError(
                f"{env_id} is of another kind than {spec.env_id}: {kind.__name__} describes the one, "
                f"{type(reality).__name__} the other"
            )
        return replace(reality.similar_view(env_id, env), wrappers=spec.wrappers, observation=spec.observation)
    finally:
        env.close()


def _class_for(env: gym.Env, spec: RealitySpec) -> type[Reality]:
    if spec.observation is not None:  # whoever knows the environment knows what it draws, not what it observes
        return Reality
    for known in reversed(_REGISTERED):
        try:
            if known.knows(env):
                return known
        except Exception as error:  # somebody else's code: what else there is must still work
            warnings.warn(f"{known.__name__}.knows() fails and is passed over: {error!r}", stacklevel=3)
    return Reality


@cache
def _load() -> None:
    """Loads the package's own classes, then those of entry points; classes that a user registered stay the last."""
    registered, _REGISTERED[:] = _REGISTERED[:], []
    for module in _BUILT_IN:
        import_module(module)
    for point in metadata.entry_points(group=ENTRY_POINTS):
        try:
            register_reality(point.load())
        except Exception as error:  # the code of another package: all other classes must still work
            warnings.warn(f"the entry point {point.value!r} ({ENTRY_POINTS}) cannot be used: {error}", stacklevel=2)
    for reality in registered:
        if reality in _REGISTERED:
            _REGISTERED.remove(reality)
        _REGISTERED.append(reality)
