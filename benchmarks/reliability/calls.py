"""Bad frames, actions, seeds and options, drawn by Hypothesis, for environments of every kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nova_gym.agents import DreamVecEnv
from nova_gym.benchmarks.reliability.inputs import Inputs
from nova_gym.benchmarks.reliability.watching import Found
from nova_gym.dream import Dream
from nova_gym.envs import NovaDreamEnv, NovaDreamVectorEnv

#: Inputs an index: Hypothesis draws them together.
TOGETHER = 25

_PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 12),
    st.sampled_from((2**31, 2**63, 2**64, -(2**63), 10**30)),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.sampled_from((object(), len, int, 1j, np.int64(3), np.float32("nan"), np.bool_(True), np.datetime64("now"))),
)
_SHAPES = st.one_of(
    arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    st.sampled_from(((1,), (2,), (9, 9), (72, 72), (72, 72, 3), (8, 8, 3), (3, 72, 72), (2, 72, 72, 3), (8, 9, 9))),
)
_KINDS = st.sampled_from(("u1", "i8", "i2", "f4", "f8", "f2", "c8", "?", "O", "U2", "M8[s]", ">f4"))


@st.composite
def _array(draw: Callable[[Any], Any]) -> np.ndarray:
    """An array of any kind and shape, of one number: what an array holds beside matters less than what it is."""
    kind, shape = draw(_KINDS), draw(_SHAPES)
    number = draw(st.sampled_from((0, 1, -1, 2, 0.5, 255, 1e9, np.nan, np.inf)))
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.full(shape, number).astype(kind)
        except (ValueError, OverflowError, TypeError):
            return np.zeros(shape, kind)


_ARRAYS = _array()
_NESTED = st.recursive(
    st.one_of(_PLAIN, _ARRAYS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.sets(st.integers(), max_size=2),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=2),
    ),
    max_leaves=4,
)
#: Which environment and argument: 2,520 is a multiple of all numbers of them.
_NUMBERS = st.integers(0, 2519)
_ODD = st.one_of(_PLAIN, _ARRAYS, _NESTED)


def call_parts(files: Inputs) -> dict[str, Callable[[int, Found], None]]:
    """Kinds of arguments, by name; each index tries `TOGETHER` of them."""
    dream = Dream.load(files.dream)
    made = {"dream": dream, "device": "cpu", "max_episode_steps": 50}
    envs = {action: NovaDreamEnv(action=action, **made) for action in ("discrete", "latent", "codebook")}
    film = NovaDreamEnv(Dream.load(files.film), action="latent", device="cpu", render_mode="rgb_array")
    vector = NovaDreamVectorEnv(2, **made)
    sb3 = DreamVecEnv(dream, 2, device="cpu")
    for env in (*envs.values(), film, vector):
        env.reset(seed=0)
    sb3.reset()
    scalar = (*envs.values(), film)
    keys = ("frame", "frames", "latent", "reality", "starts", 3)
    arguments = (
        *("dream", "observation", "action", "render_mode", "resolution", "starts", "device", "max_episode_steps"),
        *("reality", "deterministic"),
    )

    def option(one: int, other: int, value: Any) -> None:
        _of((*scalar, vector), one).reset(options={_of(keys, other): value})

    def any_options(one: int, other: int, value: Any) -> None:
        _of((*scalar, vector), one).reset(options={"reset_mask": value} if other % 2 else value)

    def acted(one: int, other: int, value: Any) -> None:
        _of((*scalar, vector, sb3), one).step(value)

    def seeded(one: int, other: int, value: Any) -> None:
        _of((*scalar, vector), one).reset(seed=value)

    def constructed(one: int, other: int, value: Any) -> None:
        make = _of((NovaDreamEnv, _two), other)
        make(**{**made, _of(arguments, one): value}).reset(seed=0)

    return {
        "frames and states": _calls(option),
        "options": _calls(any_options),
        "actions": _calls(acted),
        "seeds": _calls(seeded),
        "arguments of environments": _calls(constructed),
    }


def _two(**arguments: Any) -> NovaDreamVectorEnv:
    return NovaDreamVectorEnv(2, **arguments)


def _of(choices: tuple, number: int) -> Any:
    return choices[number % len(choices)]


def _calls(call: Callable[[int, int, Any], None]) -> Callable[[int, Found], None]:
    def cases(index: int, found: Found) -> None:
        @seed(index)
        @settings(
            max_examples=TOGETHER,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(_NUMBERS, _NUMBERS, _ODD)
        def try_one(one: int, other: int, value: Any) -> None:
            with found.watch(f"{call.__name__} {one} {other} {_words(value)}"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call(one, other, value)

        try_one()

    return cases


def _words(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape} of {value.ravel()[:1]!r}"
    return f"{type(value).__name__} {value!r}"
