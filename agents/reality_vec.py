"""Real environments as a Stable-Baselines3 `VecEnv`, with the dream's observations."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn
from torch import Tensor

from nova_gym.agents.actions import PlainActions
from nova_gym.dream import Dream
from nova_gym.envs import dream_at, make_reality
from nova_gym.envs.frames import encode_frames, observation_space, observe

#: Ranges of seeds in reality: recordings draw below the first number, evaluations use seeds from it on. Evaluations
#: during training, which choose the version to keep, use seeds from the second number on.
FIRST_UNSEEN_SEED, FIRST_CHOOSING_SEED = 2**31, 2**31 + 2**30


class EncodedFrames(VecEnvWrapper):
    """Frames of N real environments, encoded as one batch into the dream's latents (N, K, rows, cols) float32."""

    def __init__(self, venv: VecEnv, dream: Dream) -> None:
        super().__init__(venv, observation_space=observation_space(dream, "latent"))
        self.dream = dream

    def reset(self) -> np.ndarray:
        """Resets all environments: latents (N, K, rows, cols) float32."""
        return self._encode(self.venv.reset())

    def step_wait(self) -> VecEnvStepReturn:
        """Steps all environments.

        Returns:
            Latents (N, K, rows, cols) float32, rewards, ends, infos with encoded `terminal_observation`.
        """
        frames, rewards, ended, infos = self.venv.step_wait()
        for i in np.flatnonzero(ended):
            infos[i]["terminal_observation"] = self._encode(infos[i]["terminal_observation"][None])[0]
        return self._encode(frames), rewards, ended, infos

    def _encode(self, frames: np.ndarray) -> np.ndarray:
        return observe(self.dream, encode_frames(self.dream, frames), "latent")


def make_reality_vec(
    dream: Dream | str = "minigrid",
    num_envs: int = 32,
    observation: str = "latent",
    starts: str = "official",
    device: str | torch.device = "auto",
    reality: str | None = None,
    max_episode_steps: int | None = None,
) -> VecEnv:
    """N real environments, with the dream's observations, for a policy that was trained in the dream.

    They run in this process; their frames are encoded as one batch. Discrete actions count from 0, as in `DreamVecEnv`.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file.
        num_envs: how many, N.
        observation, starts, device, reality: as in `make_reality`.
        max_episode_steps: a limit for environments that have none; None for no limit.

    Raises:
        BadInputError: an argument is unknown, or the dream has no real counterpart.
    """
    dream = dream_at((dream if isinstance(dream, Dream) else Dream.load(dream)).to(device), reality)

    def make() -> gym.Env:
        env = PlainActions(make_reality(dream, "pixels", starts, dream.world_model.device))
        return TimeLimit(env, max_episode_steps) if max_episode_steps and not dream.card.horizon else env

    envs = DummyVecEnv([make] * num_envs)
    if observation == "pixels":
        return envs
    return EncodedFrames(envs, dream)


def official_states(dream: Dream, frames: np.ndarray) -> Tensor:
    """States of frames (N, H, W, C) with which real episodes begin."""
    states = encode_frames(dream, frames)
    begin = getattr(dream.world_model, "begin", None)  # a model with memory begins with one that is empty
    return states if begin is None else begin(states, official=True)
