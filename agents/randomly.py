"""Playing a real environment at random, for comparison."""

from __future__ import annotations

import math
import time
from contextlib import closing
from typing import Any

import numpy as np

from nova_gym.agents.pace import longest_episode
from nova_gym.agents.reality_vec import FIRST_UNSEEN_SEED
from nova_gym.dream import Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.reality.counterpart import reality_of
from nova_gym.measures import mean, share

#: Episodes that are played however long they take.
LEAST = 4


def play_at_random(dream: Dream, episodes: int, seed: int = 0, seconds: float = math.inf) -> dict[str, Any]:
    """Plays whole episodes of a dream's real environment by random actions; draws no frames, so it is fast.

    Args:
        dream: with a real counterpart.
        episodes: how many.
        seed: of starts and actions.
        seconds: after which no episode begins, once some were played.

    Returns:
        JSON-ready `return` and `length`, and `success` where the environment tells that.
    """
    reality, known, limit = reality_of(dream), dream_actions(dream), longest_episode(dream)
    rng, until = np.random.default_rng([seed, 0xAD]), time.monotonic() + seconds
    returns, lengths, successes = [], [], []
    with closing(reality.make()) as env:
        while len(returns) < episodes and (len(returns) < LEAST or time.monotonic() < until):
            env.reset(seed=FIRST_UNSEEN_SEED + 1000 * seed + len(returns))
            total, ended = 0.0, False
            for step in range(1, limit + 1):  # noqa: B007
                _, reward, terminated, truncated, _ = env.step(known.sample(rng))
                total += float(reward)
                if ended := terminated or truncated:
                    break
            returns.append(total)
            lengths.append(step)
            successes.append(reality.success(env, float(reward), bool(ended and terminated)))
    played = {"return": mean(np.array(returns)), "length": mean(np.array(lengths))}
    if any(success is not None for success in successes):
        played["success"] = share(np.array(successes, dtype=bool))
    return {name: value.to_dict() for name, value in played.items() if value is not None}
