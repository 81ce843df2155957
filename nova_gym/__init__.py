"""nova-gym: learned simulators as Gymnasium environments.

Importing it registers the dreams that ship with the package, `NovaDream-MiniGrid-v0`, `NovaDream-FrozenLake-v0`,
`NovaDream-CartPole-v0` and `NovaDream-MovingDigits-v0`; `NovaDream-v0`, which takes `dream=PATH`; and
`NovaLayouts-MiniGrid-v0`, a real environment of random layouts to record.
"""

import os as _os
from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

# PyTorch's idle threads spin on their cores, by default for milliseconds, and so slow down the threads of
# `nova_gym.kernels.threads`. This many turns last about 0.1 ms: long enough for PyTorch's next operation to find its
# threads awake. The variable is read when PyTorch is loaded.
if "OMP_WAIT_POLICY" not in _os.environ:
    _os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from gymnasium.envs.registration import register as _register

import nova_gym.kernels.threads  # noqa: F401, so that processes forked from here on do not wait for PyTorch's threads
from nova_gym.dream import Card, Dream, shipped_dreams
from nova_gym.errors import BadInputError, DreamFileError
from nova_gym.model.world_model import WorldModel
from nova_gym.simulator import DreamSimulator, Transition
from nova_gym.version import __version__

if TYPE_CHECKING:
    from nova_gym.agents.dreaming import dream_of

__all__ = [
    "BadInputError",
    "Card",
    "Dream",
    "DreamFileError",
    "DreamSimulator",
    "Transition",
    "WorldModel",
    "__version__",
    "dream_of",
    "shipped_dreams",
]

for _id, _kwargs in (
    ("NovaDream-MiniGrid-v0", {"dream": "minigrid"}),
    ("NovaDream-FrozenLake-v0", {"dream": "frozen-lake"}),
    ("NovaDream-CartPole-v0", {"dream": "cart-pole"}),
    ("NovaDream-MovingDigits-v0", {"dream": "digits", "action": "latent"}),
    ("NovaDream-v0", {}),
):
    _register(
        _id,
        entry_point="nova_gym.envs:NovaDreamEnv",
        vector_entry_point="nova_gym.envs:NovaDreamVectorEnv",
        kwargs=_kwargs,
    )
_register("NovaLayouts-MiniGrid-v0", entry_point="nova_gym.envs.reality.layouts:LayoutsEnv")

#: What stands on other floors of the package, by the module that has it; imported when it is asked for.
_LATER = {"dream_of": "nova_gym.agents.dreaming"}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(_LATER[name]), name)
