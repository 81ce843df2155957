"""What an agent is told before it learns, where walks in the dream know their way about."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from nova_gym.agents.walkers import Known

#: Actions are alike whose returns differ by less than this share of what discounting takes, in a step, from the spread
#: of what places are worth: by far less than what a detour of one step costs.
ALIKE = 0.01
#: A place is worth no less than so many times the distance of the quartiles below the lower one (Tukey's outer fence):
#: one that walks made up may be worth a hundred times less than any that there is.
FENCE = 3.0
#: States in a step of learning, and steps at most. Sooner it ends where a best action is the likeliest in such a share
#: of the states, and the values are off by no more than such a share of their variance.
BATCH, STEPS, LEARNED, UNEXPLAINED = 256, 2000, 0.999, 0.01
#: Rate of Adam in the beginning; it falls to 0 in a straight line.
RATE = 1e-2
#: Weight of the values beside that of the actions.
VALUES = 0.05


def takes_a_plan(agent: BaseAlgorithm, observation: str) -> bool:
    """Whether an agent can be told actions and values: that of an actor-critic method on latent observations."""
    return (
        observation == "latent" and isinstance(agent.policy, ActorCriticPolicy) and hasattr(agent.policy, "action_net")
    )


def learn_by_heart(
    agent: BaseAlgorithm,
    env: VecEnv,
    known: Known,
    discount: float,
    seed: int = 0,
    seconds: float = math.inf,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> float:
    """Teaches an agent the best actions at all states that walks met, and what they bring, by supervised learning.

    They follow from what led where (`Chart.returns`). It can only be as right as the dream is. Where all actions bring
    the same there is nothing to teach.

    Args:
        agent: that `takes_a_plan`; its policy is changed.
        env: that it will learn in; rewards may be scaled there.
        known: what walks met.
        discount: of a reward for each step that it comes later.
        seed: of the order.
        seconds: after which it ends.
        progress: called with how often all states were shown, and how often they are shown at most.

    Returns:
        The share of the states in which a best action is its likeliest.
    """
    returns = known.chart.returns(discount)[1:]  # not of the place where episodes have ended
    tried = np.isfinite(returns).any(1)
    returns, states = returns[tried], known.states[torch.from_numpy(tried)].to(agent.device)
    if not tried.any() or not np.ptp(returns[np.isfinite(returns)]) > 0.0:
        return 1.0
    best = returns.max(1)
    worth = _above_the_fence(best)
    scale = 1.0 / np.sqrt(env.ret_rms.var + env.epsilon) if isinstance(env, VecNormalize) else 1.0
    good = torch.from_numpy(returns >= best[:, None] - ALIKE * (1.0 - discount) * np.ptp(worth)).to(agent.device)
    values = torch.from_numpy(scale * worth).float().to(agent.device)
    policy, generator = agent.policy, torch.Generator().manual_seed(seed)
    policy.set_training_mode(True)
    size, right = values.var(correction=0).clamp(min=1e-6), 0.0
    optimizer = torch.optim.Adam(policy.parameters(), RATE)
    passes, began = -(-STEPS * BATCH // len(states)), time.monotonic()
    for done in range(passes):
        progress(done, passes)
        share = max(done / passes, (time.monotonic() - began) / seconds)
        if share >= 1.0:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1.0 - share)
        right = unexplained = 0.0
        for rows in torch.randperm(len(states), generator=generator).to(agent.device).split(BATCH):
            actor, critic = policy.mlp_extractor(policy.extract_features(states[rows]))
            logits, told = policy.action_net(actor), policy.value_net(critic)[:, 0]
            chosen = good[rows].float() / good[rows].sum(1, keepdim=True)
            off = F.mse_loss(told, values[rows]) / size
            loss = F.cross_entropy(logits, chosen) + VALUES * off
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += float(good[rows].gather(1, logits.argmax(1, keepdim=True)).sum()) / len(states)
            unexplained += float(off.detach()) * len(rows) / len(states)
        if right >= LEARNED and unexplained <= UNEXPLAINED:
            break
    return right


def _above_the_fence(worth: np.ndarray) -> np.ndarray:
    """What places (n,) are worth, none far below the others; as they are where most are worth the same."""
    low, high = np.quantile(worth, (0.25, 0.75))
    return worth.clip(min=low - FENCE * (high - low)) if high > low else worth
