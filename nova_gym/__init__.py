"""nova-gym: learned simulators as Gymnasium environments.

Importing it registers `NovaDream-MiniGrid-v0` and `NovaDream-MovingDigits-v0`, the dreams that ship with the package,
and `NovaDream-v0`, which takes `dream=PATH`.
"""

import os as _os

# PyTorch's idle threads keep their cores busy, by default for milliseconds, and hold back ours
# (`nova_gym.kernels.threads`). So many turns of waiting are some 0.1 ms, in which its next operation finds them awake.
# Read when PyTorch is loaded.
if "OMP_WAIT_POLICY" not in _os.environ:
    _os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from gymnasium.envs.registration import register as _register

import nova_gym.kernels.threads  # noqa: F401, so that processes forked from here on do not wait for PyTorch's threads
from nova_gym.dream import Card, Dream, shipped_dreams
from nova_gym.errors import BadInputError, DreamFileError
from nova_gym.model.world_model import WorldModel
from nova_gym.simulator import DreamSimulator, Transition
from nova_gym.version import __version__

__all__ = [
    "BadInputError",
    "Card",
    "Dream",
    "DreamFileError",
    "DreamSimulator",
    "Transition",
    "WorldModel",
    "__version__",
    "shipped_dreams",
]

for _id, _kwargs in (
    ("NovaDream-MiniGrid-v0", {"dream": "minigrid"}),
    ("NovaDream-MovingDigits-v0", {"dream": "digits", "action": "latent"}),
    ("NovaDream-v0", {}),
):
    _register(
        _id,
        entry_point="nova_gym.envs:NovaDreamEnv",
        vector_entry_point="nova_gym.envs:NovaDreamVectorEnv",
        kwargs=_kwargs,
    )
