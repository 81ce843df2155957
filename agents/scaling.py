"""Rewards scaled for learning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from nova_gym.agents.saving import reward_scale
from nova_gym.agents.usual import Usual

#: Weight of random walks, in steps, in the scale of rewards; it follows the agent's own returns soon.
WALKED = 1_000.0
#: The scale follows the last steps, about so many. An agent that has learned not to fall needs another one than before.
RECENT = 5_000.0


class ScaledRewards(VecNormalize):
    """SB3's `VecNormalize` for rewards alone, with a spread of returns that follows the latest ones."""

    def __init__(self, venv: VecEnv, gamma: float) -> None:
        super().__init__(venv, norm_obs=False, gamma=gamma)

    def _update_reward(self, reward: np.ndarray) -> None:
        super()._update_reward(reward)
        self.ret_rms.count = min(self.ret_rms.count, RECENT)


def scaled_rewards(
    env: VecEnv, usual: Usual, gamma: float, values: Sequence[float], agent: BaseAlgorithm | None
) -> VecEnv:
    """The environment, in `ScaledRewards` where rewards are to be scaled for learning.

    An agent that is trained further keeps the scale that it has learned with.

    Args:
        env: whose rewards are true.
        usual: what random walks brought there.
        gamma: discount.
        values: that rewards can take, as far as known.
        agent: to train further; None for a new one.
    """
    if agent is not None:
        known = reward_scale(agent)
    else:
        known = (*usual.spread(gamma), WALKED) if usual.scales(tuple(values)) else None
    if known is None:
        return env
    scaled = ScaledRewards(env, gamma)
    scaled.ret_rms.mean, scaled.ret_rms.var, scaled.ret_rms.count = (np.float64(each) for each in known)
    return scaled
