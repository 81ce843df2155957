"""The dream's generative control model as an agent."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from nova_gym.dream import Dream
from nova_gym.envs.adapter import observation_space
from nova_gym.errors import BadInputError


class ControlPolicy:
    """Acts as the recorded clips did, behind SB3's `predict()`, in environments with latent observations.

    What it does depends on all that it saw in the episode, which its `state` carries. Where the dream knows discrete
    actions, its answer is taken as the nearest of theirs, as `DreamSimulator.autopilot` does.

    Args:
        dream: with a control model; the policy works on its device.
        action: `latent`, or `discrete`, the environment's own.

    Raises:
        BadInputError: the dream has no control model, or no discrete actions.
    """

    def __init__(self, dream: Dream, action: str = "latent") -> None:
        if action not in ("latent", "discrete"):
            raise BadInputError(f"unknown action {action!r}; there are latent and discrete")
        config = dream.world_model.config
        self.discrete = action == "discrete"
        if self.discrete and not dream.world_model.has_discrete_actions:
            raise BadInputError("this dream has no discrete actions: take action='latent'")
        dream.world_model.fresh_memory(0)  # says so where there is no control model
        self.model, self.device = dream.world_model, dream.world_model.device
        self.observation_space = observation_space(dream, "latent")
        self.action_space: spaces.Space = spaces.Box(-1.0, 1.0, (config.latent_action,), np.float32)
        if self.discrete:
            self.action_space = spaces.Discrete(config.actions)

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
            observation: latents (N, K) or (K,) float32.
            state: what the last call returned, the control model's memory; None before the first call.
            episode_start: (N,) bool, whose memory starts anew.
            deterministic: without effect, here for SB3's interface: the policy always is.

        Returns:
            Latent actions (N, U) float32 in [-1, 1] or discrete ones (N,) int64, without N for a single observation;
            the new `state`.

        Raises:
            BadInputError: the observations are no latents of this dream.
        """
        observation = np.asarray(observation, dtype=np.float32)
        if observation.shape[-1:] != self.observation_space.shape or observation.ndim not in (1, 2):
            raise BadInputError(
                f"observations of shape {observation.shape}; this policy takes latents (N, K) or (K,), "
                f"K = {self.observation_space.shape[0]}: observation='latent'"
            )
        latents = torch.from_numpy(np.atleast_2d(observation)).to(self.device)
        if state is None:
            memory = self.model.fresh_memory(len(latents))
        else:
            memory = tuple(torch.from_numpy(part).to(self.device) for part in state)
            if episode_start is not None:
                memory = self.model.forget(memory, torch.from_numpy(np.atleast_1d(episode_start)).to(self.device))
        actions, latent_actions = self.model.choose(memory, latents)
        memory = self.model.remember(memory, latents, latent_actions)
        actions = (actions if self.discrete else latent_actions).cpu().numpy()
        return actions[0] if observation.ndim == 1 else actions, tuple(part.cpu().numpy() for part in memory)
