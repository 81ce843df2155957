"""Real environments as a Stable-Baselines3 `VecEnv`, with the dream's observations."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn
from torch import Tensor

from nova_gym.agents.actions import PlainActions, own_actions
from nova_gym.dream import Dream
from nova_gym.envs import dream_at, make_reality
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.frames import first_states, next_states, observation_space, observe, to_simulator

#: Ranges of seeds in reality: recordings draw below the first number, evaluations use seeds from it on. Evaluations
#: during training, which choose the version to keep, use seeds from the second number on.
FIRST_UNSEEN_SEED, FIRST_CHOOSING_SEED = 2**31, 2**31 + 2**30


class EncodedFrames(VecEnvWrapper):
    """Frames of N real environments as one batch of the dream's latents, (N, K + M, rows, cols) float32.

    Where the dream has a memory, that hears the frames and actions of each episode.

    Args:
        venv: N real environments whose observations are frames.
        dream: whose encoder and memory to use.
        official: whether episodes begin as the environment begins them.
    """

    def __init__(self, venv: VecEnv, dream: Dream, official: bool = True) -> None:
        super().__init__(venv, observation_space=observation_space(dream, "latent"))
        self.dream, self.official = dream, official
        self._actions = np.zeros(0)
        self._states: Tensor | None = None

    def reset(self) -> np.ndarray:
        """Resets all environments: latents (N, K + M, rows, cols) float32."""
        self._states = first_states(self.dream, self.venv.reset(), self.official)
        return observe(self.dream, self._states, "latent")

    def step_async(self, actions: np.ndarray) -> None:
        """Hands the actions (N, …) to the environments."""
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Steps all environments.

        Returns:
            Latents (N, K + M, rows, cols) float32, rewards, ends, infos with encoded `terminal_observation`.
        """
        frames, rewards, ended, infos = self.venv.step_wait()
        over = np.flatnonzero(ended)
        reached = frames.copy()
        for i in over:
            reached[i] = infos[i]["terminal_observation"]
        actions = own_actions(dream_actions(self.dream).space, np.asarray(self._actions))
        states = next_states(self.dream, self._states, reached, to_simulator(self.dream, actions))
        if len(over):
            last = observe(self.dream, states[over], "latent")
            for i, observation in zip(over, last, strict=True):
                infos[i]["terminal_observation"] = observation
            states = states.clone()
            states[over] = first_states(self.dream, frames[over], self.official)
        self._states = states
        return observe(self.dream, states, "latent"), rewards, ended, infos


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
    return EncodedFrames(envs, dream, starts == "official")
