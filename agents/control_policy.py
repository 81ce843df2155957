"""The dream's generative control model as an agent."""

from __future__ import annotations

import numpy as np
import torch

from nova_gym.dream import Dream
from nova_gym.envs.adapter import action_space
from nova_gym.envs.frames import observation_space
from nova_gym.errors import BadInputError
from nova_gym.model.control import Memory


class ControlPolicy:
    """The control model with SB3's `predict()`: acts as the recorded clips did, on latent observations.

    It takes the action whose latent action is nearest to the control model's, as `DreamSimulator.autopilot` does. Its
    actions depend on the whole episode so far, which the `state` of `predict` carries.

    Args:
        dream: with a control model and discrete actions; the policy runs on its device.

    Raises:
        BadInputError: the dream has no control model, or no discrete actions.
    """

    def __init__(self, dream: Dream) -> None:
        if not dream.world_model.has_discrete_actions:
            raise BadInputError("this dream has no discrete actions; `autopilot` lets it go on by itself")
        self.model, self.device, self.cells = dream.world_model, dream.world_model.device, dream.cells
        self.model.fresh_memory(0, self.cells)  # raises if there is no control model
        self.observation_space, self.action_space = observation_space(dream, "latent"), action_space(dream, "discrete")

    @torch.no_grad()
    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """The next actions.

        Args:
            observation: latents (N, K, rows, cols) or (K, rows, cols) float32.
            state: the memory that the last call returned; None before the first call.
            episode_start: (N,) bool, True where an episode begins, so its memory is cleared.
            deterministic: ignored, since the policy is always deterministic; SB3 passes it.

        Returns:
            Actions (N,) int64, a single one for a single observation. Then the new `state`.

        Raises:
            BadInputError: the observations do not have the shape of this dream's latents.
        """
        observation, shape = np.asarray(observation, dtype=np.float32), self.observation_space.shape
        if observation.shape[-3:] != shape or observation.ndim not in (3, 4):
            raise BadInputError(
                f"observations of shape {observation.shape}; this policy takes latents of shape {shape}, one or "
                f"several: observation='latent'"
            )
        single = observation.ndim == 3
        latents = torch.from_numpy(observation.reshape(-1, *shape)).to(self.device)
        if state is None:
            memory = self.model.fresh_memory(len(latents), self.cells)
        else:
            memory = Memory(*(torch.from_numpy(part).to(self.device) for part in state))
            if episode_start is not None:
                memory = self.model.forget(memory, torch.from_numpy(np.atleast_1d(episode_start)).to(self.device))
        actions, latent_actions = self.model.choose(memory, latents)
        memory = self.model.remember(memory, latents, latent_actions)
        actions = actions.cpu().numpy()
        return actions[0] if single else actions, tuple(part.cpu().numpy() for part in memory)
