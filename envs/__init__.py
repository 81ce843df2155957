"""Gymnasium: the dream as an environment, its real counterpart, recording from it and evaluation against it.

Names that need MiniGrid, Minari or SciPy are imported at their first use, so `gymnasium.make` does not wait for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nova_gym.envs.dream_env import NovaDreamEnv
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.envs.reality.coverage import Coverage
from nova_gym.envs.reality.registry import find_reality, reality_spec, register_reality, similar_spec
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.envs.vector_env import NovaDreamVectorEnv

if TYPE_CHECKING:
    from nova_gym.envs.reality.evaluation import evaluate
    from nova_gym.envs.reality.futures import Futures, futures
    from nova_gym.envs.reality.open_loop import OpenLoop, open_loop
    from nova_gym.envs.reality.real_env import RealityEnv, make_reality
    from nova_gym.envs.reality.recording import record

__all__ = [
    "Coverage",
    "Futures",
    "NovaDreamEnv",
    "NovaDreamVectorEnv",
    "OpenLoop",
    "Reality",
    "RealityEnv",
    "RealitySpec",
    "dream_at",
    "evaluate",
    "find_reality",
    "futures",
    "make_reality",
    "open_loop",
    "reality_spec",
    "record",
    "register_reality",
    "similar_spec",
]

_LATER = {
    "evaluate": "reality.evaluation",
    "Futures": "reality.futures",
    "futures": "reality.futures",
    "OpenLoop": "reality.open_loop",
    "open_loop": "reality.open_loop",
    "RealityEnv": "reality.real_env",
    "make_reality": "reality.real_env",
    "record": "reality.recording",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
