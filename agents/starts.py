"""Chooses where training episodes start: more often at starts from which the agent still fails."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.adapter import DreamInterface
from nova_gym.simulator import DreamSimulator

#: Share of the training episodes that begin at `random` starts. The others begin at official starts or on the way from
#: there. There are so few official layouts that an agent could learn them by heart.
RANDOM = 0.6

#: Of those others, the share that begins on the way: at states that random actions reach from an official start.
ON_THE_WAY = 0.5

#: Random walks from all official starts together, the most steps of a walk, and the states kept of each.
WALKS, LONGEST_WALK, KEPT = 160, 324, 4

#: Added to the failure rate of a start to give its weight, so starts with success alone are still drawn.
LEAST = 0.1

#: Weight of the latest episode in a start's running success rate; a `random` start gets about a dozen episodes in all.
RECENT = 0.3


class PrioritizedStarts(BaseCallback):
    """Draws the starts of training episodes; a start from which the agent fails is drawn more often.

    This is prioritised level replay (Jiang et al. 2021, arXiv 2010.03934) with the failure rate as its score. The
    starts include states on the way from an official start, which only a simulator can offer. With uniform starts, an
    agent learns most layouts well, but on a few its habits keep it from ever reaching the goal.

    If the environment knows no success, all starts of a kind are equally likely.

    Args:
        dream: the dream whose starts to draw from; its `random` starts are used if it has them.
        seed: of walks and draws.

    Attributes:
        bank: (n, K) float32, the starts that `DreamVecEnv` draws from, rewritten in place after each rollout. Its
            first `drawn` rows are the dream's default starts and states on the way, the others `random` starts.
        success: (m,) float64 in [0, 1], recent success rate from each default start, then from each `random` start.
    """

    def __init__(self, dream: Dream, seed: int = 0) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        own = dream.starts[dream.default_starts]
        self.random = dream.starts.get("random", own[:0]) if dream.default_starts == "official" else own[:0]
        self.success = np.zeros(len(own) + len(self.random))
        self.of = {start.tobytes(): i for i, start in enumerate(torch.cat([own, self.random]).cpu().numpy())}
        walked_from = np.arange(WALKS) % len(own)
        walked = _walk(dream, own[torch.from_numpy(walked_from).to(own.device)], seed)
        self.states = torch.cat([own, walked])
        self.origins = np.concatenate([np.arange(len(own)), np.tile(walked_from, KEPT)])
        walks = np.bincount(self.origins, minlength=len(own)) - 1
        self.shares = np.concatenate(
            [np.where(walks > 0, 1.0 - ON_THE_WAY, 1.0), ON_THE_WAY / walks[self.origins[len(own) :]]]
        )
        self.drawn = round(len(self.random) * (1.0 - RANDOM) / RANDOM) or len(self.states)
        self.bank = own.new_zeros(self.drawn + len(self.random), own.shape[1])
        self._draw()

    def _draw(self) -> None:
        weights = LEAST + 1.0 - self.success
        for pool, part, weight in (
            (self.states, self.bank[: self.drawn], weights[self.origins] * self.shares),
            (self.random, self.bank[self.drawn :], weights[len(self.success) - len(self.random) :]),
        ):
            if len(part):
                chosen = self.rng.choice(len(pool), len(part), p=weight / weight.sum())
                part[:] = pool[torch.from_numpy(chosen).to(pool.device)]

    def _on_training_start(self) -> None:
        self.running = [self._start(i) for i in range(self.training_env.num_envs)]

    def _on_step(self) -> bool:
        for i in np.flatnonzero(self.locals["dones"]):
            succeeded = self.locals["infos"][i].get("is_success")
            start = self.running[i]
            if start is not None and succeeded is not None:
                self.success[start] += RECENT * (succeeded - self.success[start])
            self.running[i] = self._start(i)
        return True

    def _on_rollout_end(self) -> None:
        self._draw()

    def _start(self, i: int) -> int | None:
        """Index of the start that dream i began from; None for a state on the way."""
        return self.of.get(np.asarray(self.training_env.unwrapped.reset_infos[i]["latent"]).tobytes())


def _walk(dream: Dream, starts: Tensor, seed: int) -> Tensor:
    """Walks at random from states (n, K): `KEPT` states of each, from random times, as (KEPT · n, K) float32."""
    door = DreamInterface(dream, "latent", "discrete", dream.default_starts, dream.world_model.device)
    space = batch_space(door.action_space, len(starts))
    space.seed(seed)
    simulator = DreamSimulator(dream, len(starts), horizon=0)
    simulator.reset(states=starts)
    walking, lengths = torch.ones(len(starts), device=starts.device), torch.zeros(len(starts), device=starts.device)
    states = [starts]
    for _ in range(min(LONGEST_WALK, dream.card.horizon or LONGEST_WALK)):
        result = simulator.step(torch.as_tensor(space.sample(), device=starts.device))
        walking = walking * ~(result.terminated | result.truncated)
        lengths = lengths + walking
        states.append(result.state)
    times = torch.rand(KEPT, len(starts), generator=torch.Generator().manual_seed(seed)).to(starts.device) * lengths
    return torch.stack(states)[times.long(), torch.arange(len(starts), device=starts.device)].flatten(0, 1)
