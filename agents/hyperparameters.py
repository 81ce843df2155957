"""Hyperparameters of each algorithm, in one place, as in RL Baselines3 Zoo.

`HYPERPARAMETERS[algorithm]` holds SB3's own keyword arguments, `PIXELS` the changes for observations in pixels. PPO's
were tuned on the grids of MiniGrid-SimpleCrossing with 256 dreams; those of A2C and DQN were not.
"""

from __future__ import annotations

import copy
from typing import Any

from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from nova_gym.agents.features import FieldFeatures, PatchCNN
from nova_gym.errors import BadInputError

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "a2c": A2C, "dqn": DQN}

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
}

PIXELS: dict[str, dict[str, Any]] = {
    "ppo": {
        "gamma": 0.99,  # with 0.95 and 0.9, PPO on real frames never reached a goal (benchmarks/NOTES.md)
        "gae_lambda": 0.95,
        "learning_rate": 1e-3,
        "n_epochs": 4,
        "ent_coef": 0.02,
        "policy_kwargs": {"features_extractor_class": PatchCNN, "net_arch": []},
    },
    "a2c": {"policy_kwargs": {"features_extractor_class": PatchCNN, "net_arch": []}},
    "dqn": {"policy_kwargs": {"features_extractor_class": PatchCNN, "net_arch": []}, "buffer_size": 50_000},
}


def hyperparameters(algorithm: str, observation: str) -> dict[str, Any]:
    """A copy of the keyword arguments for `ALGORITHMS[algorithm]`, its policy included.

    Args:
        algorithm: `ppo`, `a2c` or `dqn`.
        observation: `latent` or `pixels`.

    Raises:
        BadInputError: the algorithm is unknown.
    """
    if algorithm not in ALGORITHMS:
        raise BadInputError(f"unknown algorithm {algorithm!r}; there are {', '.join(ALGORITHMS)}")
    if observation == "pixels":
        return copy.deepcopy({"policy": "CnnPolicy", **HYPERPARAMETERS[algorithm], **PIXELS[algorithm]})
    return copy.deepcopy({"policy": "MlpPolicy", **HYPERPARAMETERS[algorithm]})  # SB3's A2C changes it
