"""Which `Reality` knows which environment; third parties register their own."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module, metadata
from typing import Any

from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.environments import make_env
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
    env = make_env(spec.env_id, spec.env_kwargs)
    try:
        return _class_for(env)(spec)
    finally:
        env.close()


def reality_spec(env_id: str, size: int = 72) -> RealitySpec:
    """The default view of an environment: its arguments and the size of its frames.

    MiniGrid is drawn natively at `size` (whole tiles), without the highlighted field of view, as in the paper. Any
    other environment is drawn at its own size and shrunk to `size`×`size`. A registered `Reality` may decide otherwise
    (`Reality.view`).

    Args:
        env_id: Gymnasium id, `module:` prefix allowed.
        size: width of a frame in pixels, at least 8.

    Raises:
        BadInputError: the environment does not exist, cannot render, or cannot be shown at this size.
    """
    if size < 8:
        raise BadInputError(f"frames need at least 8 pixels a side, not {size}")
    _load()
    env = make_env(env_id, {})
    try:
        return _class_for(env).view(env_id, env, size)
    finally:
        env.close()


def similar_spec(spec: RealitySpec, env_id: str) -> RealitySpec:
    """The view of another environment of the same kind that draws things as large as a given view does.

    A dream that knows rules instead of layouts can then take the other environment as its reality. On MiniGrid tiles
    have the same size, so a larger grid has larger frames. Any other environment has frames of the same size. A
    registered `Reality` may decide otherwise (`Reality.similar_view`).

    Args:
        spec: the view to draw like.
        env_id: Gymnasium id of the other environment, `module:` prefix allowed. It is made without arguments.

    Raises:
        BadInputError: one of the environments does not exist or cannot render, they are of different kinds, or the
            other one cannot be shown so.
    """
    reality = find_reality(spec)
    env = make_env(env_id, {})
    try:
        kind = _class_for(env)
        if kind is not type(reality):
            raise BadInputError(
                f"{env_id} is of another kind than {spec.env_id}: {kind.__name__} describes the one, "
                f"{type(reality).__name__} the other"
            )
        return reality.similar_view(env_id, env)
    finally:
        env.close()


def _class_for(env: Any) -> type[Reality]:
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
