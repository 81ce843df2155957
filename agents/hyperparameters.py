"""Hyperparameters of each algorithm, in one place, as in RL Baselines3 Zoo.

`HYPERPARAMETERS[algorithm]` holds SB3's own keyword arguments for fields of cells, `WHOLE` the changes for fields of
one cell, `PLACED` those for fields of few layouts, `PIXELS` those for observations in pixels. PPO's were tuned on the
grids of MiniGrid-SimpleCrossing with 256 dreams, `PLACED` on FrozenLake and CliffWalking, `WHOLE` of PPO and SAC on
CartPole and Pendulum. Those of A2C and DQN were not. The discount of `train_agent` follows from the dream (`Pace`).
"""

from __future__ import annotations

import copy
from typing import Any

from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from nova_gym.agents.features import FieldFeatures, PatchCNN, PlacedFeatures, WholeFeatures
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "a2c": A2C, "dqn": DQN, "sac": SAC}

HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "ppo": {
        "n_steps": 32,
        "batch_size": 1024,
        "n_epochs": 3,
        "learning_rate": 2e-3,
        "gamma": 0.97,
        "gae_lambda": 0.9,
        "ent_coef": 0.01,
        "policy_kwargs": {"features_extractor_class": FieldFeatures, "net_arch": []},
    },
    "a2c": {
        "n_steps": 16,
        "learning_rate": 7e-4,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "ent_coef": 0.01,
        "policy_kwargs": {"features_extractor_class": FieldFeatures, "net_arch": []},
    },
    "dqn": {
        "buffer_size": 200_000,
        "learning_starts": 20_000,
        "batch_size": 512,
        "train_freq": 4,
        "gradient_steps": 8,
        "target_update_interval": 2_000,
        "learning_rate": 5e-4,
        "gamma": 0.98,
        "exploration_fraction": 0.4,
        "exploration_final_eps": 0.05,
        "policy_kwargs": {"features_extractor_class": FieldFeatures, "net_arch": []},
    },
    "sac": {
        "buffer_size": 200_000,
        "learning_starts": 1_000,
        "batch_size": 256,
        "train_freq": 8,
        "gradient_steps": 64,
        "learning_rate": 1e-3,
        "gamma": 0.99,
        "ent_coef": "auto_0.01",  # returns are scaled to about 1; SB3 begins with 1 for each step
        "use_sde": True,  # noise that lasts for `train_freq` steps gets somewhere
        "policy_kwargs": {"features_extractor_class": FieldFeatures, "net_arch": [64]},
    },
}

_MLP = {"features_extractor_class": WholeFeatures, "net_arch": [64, 64]}
WHOLE: dict[str, dict[str, Any]] = {
    "ppo": {
        "n_steps": 64,
        "batch_size": 256,
        "n_epochs": 10,
        "learning_rate": 1e-3,
        "gae_lambda": 0.95,
        "ent_coef": 0.0,
        "policy_kwargs": _MLP,
    },
    "a2c": {"policy_kwargs": _MLP, "ent_coef": 0.0},
    "dqn": {"policy_kwargs": _MLP},
    "sac": {"policy_kwargs": _MLP},
}

#: With the settings for fields of any size, PPO never went down a cliff's edge to the goal: it had learned too fast
#: that down is bad.
PLACED: dict[str, dict[str, Any]] = {
    "ppo": {
        "n_steps": 64,
        "batch_size": 256,
        "n_epochs": 6,
        "learning_rate": 1e-3,
        "gae_lambda": 0.95,
        "ent_coef": 0.03,
    },
}

_CNN = {"features_extractor_class": PatchCNN, "net_arch": []}
PIXELS: dict[str, dict[str, Any]] = {
    "ppo": {
        "gamma": 0.99,  # with 0.95 and 0.9, PPO on real frames never reached a goal (benchmarks/NOTES.md)
        "gae_lambda": 0.95,
        "learning_rate": 1e-3,
        "n_epochs": 4,
        "ent_coef": 0.02,
        "policy_kwargs": _CNN,
    },
    "a2c": {"policy_kwargs": _CNN},
    "dqn": {"policy_kwargs": _CNN, "buffer_size": 50_000},
    "sac": {"policy_kwargs": _CNN | {"net_arch": [64]}, "buffer_size": 50_000},
}

#: Dreams stepped as one batch: for fields of cells and for pixels, for fields of few layouts, for a field of one cell,
#: and for SAC.
DREAMS, PLACED_DREAMS, WHOLE_DREAMS, SAC_DREAMS = 256, 64, 32, 16
#: Bytes of observations that a replay buffer holds at most.
BUFFER_BYTES = 2**30


def hyperparameters(
    algorithm: str, observation: str, shape: tuple[int, ...] | None = None, placed: bool = False
) -> dict[str, Any]:
    """A copy of the keyword arguments for `ALGORITHMS[algorithm]`, its policy included.

    Args:
        algorithm: `ppo`, `a2c`, `dqn` or `sac`.
        observation: `latent` or `pixels`.
        shape: of an observation; None for any field of cells.
        placed: whether the policy may know the places of a field (`PlacedFeatures`).

    Raises:
        BadInputError: the algorithm is unknown.
    """
    if algorithm not in ALGORITHMS:
        raise BadInputError(f"unknown algorithm {algorithm!r}; there are {', '.join(ALGORITHMS)}")
    settings = {"policy": "MlpPolicy", **HYPERPARAMETERS[algorithm]}
    if observation == "pixels":
        settings |= {"policy": "CnnPolicy", **PIXELS[algorithm]}
    elif shape is not None and shape[1:] == (1, 1):
        settings |= WHOLE[algorithm]
    elif placed:
        settings |= PLACED.get(algorithm, {})
        settings["policy_kwargs"] = settings["policy_kwargs"] | {"features_extractor_class": PlacedFeatures}
    return copy.deepcopy(settings)  # SB3's A2C changes it


def check_actions(algorithm: str, space: spaces.Space) -> None:
    """Checks that an algorithm takes actions of this kind.

    Raises:
        BadInputError: it does not; the message names those that do.
    """
    if algorithm == "dqn" and not isinstance(space, spaces.Discrete):
        others = "sac, ppo and a2c" if isinstance(space, spaces.Box) else "ppo and a2c"
        raise BadInputError(f"dqn needs discrete actions, not {space}; {others} take these")
    if algorithm == "sac" and not isinstance(space, spaces.Box):
        others = "ppo, a2c and dqn" if isinstance(space, spaces.Discrete) else "ppo and a2c"
        raise BadInputError(f"sac needs continuous actions, not {space}; {others} take these")


def default_algorithm(dream: Dream, observation: str = "latent") -> str:
    """The algorithm that suits a dream's actions: `sac` where they are continuous, else `ppo`.

    On Pendulum SAC came further than PPO in the same time. On pixels its many gradient steps take too long.
    """
    return "sac" if not dream.world_model.config.discrete and observation == "latent" else "ppo"


def default_dreams(algorithm: str, observation: str, dream: Dream, placed: bool = False) -> int:
    """How many dreams to step as one batch; `placed` as in `hyperparameters`."""
    if algorithm == "sac":
        return SAC_DREAMS
    if placed and observation == "latent" and dream.cells != (1, 1):
        return PLACED_DREAMS
    return WHOLE_DREAMS if observation == "latent" and dream.cells == (1, 1) else DREAMS


def default_doubt(dream: Dream, algorithm: str) -> str:
    """What becomes of doubted steps while an agent learns, if nobody says so (`DreamVecEnv`).

    A dream that remembers what no frame shows strays over many steps, and an agent of PPO finds where to. A dream that
    leaves something to chance has steps that are unlikely but right. What was measured is in `benchmarks/NOTES.md`.
    """
    model = dream.world_model
    strays = model.has_doubt and model.has_memory and not model.has_chance
    return "penalise" if strays and algorithm != "sac" else "ignore"
