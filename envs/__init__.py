"""Gymnasium: the dream as an environment, its real counterpart, recording from it and evaluation against it."""

from nova_gym.envs.dream_env import NovaDreamEnv
from nova_gym.envs.evaluation import evaluate
from nova_gym.envs.real_env import RealityEnv, make_reality
from nova_gym.envs.reality import RealitySpec, reality_spec
from nova_gym.envs.recording import record
from nova_gym.envs.vector_env import NovaDreamVectorEnv

__all__ = [
    "NovaDreamEnv",
    "NovaDreamVectorEnv",
    "RealityEnv",
    "RealitySpec",
    "evaluate",
    "make_reality",
    "reality_spec",
    "record",
]
