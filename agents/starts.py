"""Where episodes in training start: often from where the agent still fails, and from places on the way."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.adapter import DreamInterface
from nova_gym.simulator import DreamSimulator

#: Share of the episodes that start anywhere; the others start where the real environment does, or on the way from
#: there, on layouts so few that an agent could know them by heart.
RANDOM = 0.6

#: Of those others, the share that starts on the way: where random actions lead from an official start.
ON_THE_WAY = 0.5

#: Walks, all starts together, their steps at most, and states that are kept of each.
WALKS, LONGEST_WALK, KEPT = 160, 324, 4

#: Weight of a start from which the agent always succeeds, beside 1 of one from which it never does.
LEAST = 0.1

#: How much the last episode from a start counts in its rate of success; a random one has some dozen in all.
RECENT = 0.3


class PrioritizedStarts(BaseCallback):
    """Draws the starts of each roll-out anew, those more often from which the agent fails.

    Prioritised level replay (Jiang et al. 2021, arXiv 2010.03934), with failures for its scores, and with starts on the
    way that only a simulator can offer. Without it an agent comes to know most layouts well and a few of them not at
    all: what it does elsewhere keeps it from ever reaching the goal there.

    Where an environment knows no success, all starts are as likely.

    Args:
        dream: whose starts; where it has no `random` ones, all come from its others.
        seed: of walks and draws.

    Attributes:
        bank: (n, K) float32 that `DreamVecEnv` draws from, rewritten in place after each roll-out: its first `drawn`
            are the dream's own starts and places on the way, the others `random` ones.
        success: (m,) float64, recent share of successes from each of the dream's own starts, then its `random` ones.
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
        """Which start dream i has begun from, None for a place on the way."""
        return self.of.get(np.asarray(self.training_env.unwrapped.reset_infos[i]["latent"]).tobytes())


def _walk(dream: Dream, starts: Tensor, seed: int) -> Tensor:
    """Where random actions lead: (n, K) states → (KEPT · n, K), from as many times before the end of each walk."""
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
