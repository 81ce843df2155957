"""Where an agent is worth watching in reality: the starts from which the dream doubts what it leads to."""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3.common.type_aliases import PolicyPredictor

from nova_gym.agents.actions import own_actions
from nova_gym.agents.pace import longest_episode
from nova_gym.dream import Dream
from nova_gym.envs import RealityEnv
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.frames import drawing_errors, first_states, to_simulator
from nova_gym.simulator import DreamSimulator

#: Starts that are dreamt for one that is taken.
CANDIDATES = 4
#: Episodes that are chosen together, and the most steps that are dreamt of each.
TOGETHER, LONGEST = 16, 100


@torch.no_grad()
def doubtful_starts(agent: PolicyPredictor, dream: Dream, env: RealityEnv, seeds: np.ndarray) -> np.ndarray:
    """Orders seeds of real starts by how much the dream doubts the agent's episode from there, the most first.

    The agent plays in the dream alone, so no real step is made.

    Args:
        agent: that reads states.
        dream: with doubt.
        env: the real environment; it is reset.
        seeds: (n,) int64.
    """
    frames = []
    for seed in seeds:
        env.reset(seed=int(seed))
        frames.append(env.frame())
    frames = np.stack(frames)
    states = first_states(dream, frames, official=True)
    simulator = DreamSimulator(dream, len(seeds), cells=dream.cells, doubt=True)
    simulator.reset(states=states, errors=drawing_errors(dream, states, frames))
    alive, doubt = np.ones(len(seeds), bool), simulator.doubt.cpu().numpy()
    space = dream_actions(dream).space
    for _ in range(min(LONGEST, longest_episode(dream))):
        seen = simulator.state.contiguous().cpu().numpy()
        actions = own_actions(space, agent.predict(seen, deterministic=False)[0])
        result = simulator.step(to_simulator(dream, actions))
        doubt = np.where(alive, simulator.doubt.cpu().numpy(), doubt)
        alive &= ~(result.terminated | result.truncated).cpu().numpy()
        if not alive.any():
            break
    return seeds[np.argsort(-doubt, kind="stable")]
