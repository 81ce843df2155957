"""Where episodes in training start: often from where the agent still fails, and from places on the way."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.interface import DreamInterface
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

#: How much the last episode from a start counts in its rate of success.
RECENT = 0.2


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
        bank: (n, K) float32 that `DreamVecEnv` draws from, rewritten in place after each roll-out.
        success: (m,) float64, recent share of successes from each of the dream's own starts.
    """

    def __init__(self, dream: Dream, seed: int = 0) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        starts = dream.starts[dream.default_starts]
        random = dream.starts.get("random") if dream.default_starts == "official" else None
        self.success = np.zeros(len(starts))
        self.of = {start.tobytes(): i for i, start in enumerate(starts.cpu().numpy())}
        origins = np.arange(WALKS) % len(starts)
        walked = _walk(dream, starts[torch.from_numpy(origins).to(starts.device)], seed)
        origins = np.tile(origins, KEPT)
        self.states = torch.cat([starts, walked])
        self.origins = np.concatenate([np.arange(len(starts)), origins])
        walks = np.bincount(origins, minlength=len(starts))
        at_start = np.where(walks > 0, 1.0 - ON_THE_WAY, 1.0)
        self.shares = np.concatenate([at_start, ON_THE_WAY / walks[origins]])
        if random is None:
            self.drawn, self.bank = len(self.states), self.states.clone()
        else:
            self.drawn = round(len(random) * (1.0 - RANDOM) / RANDOM)
            self.bank = torch.cat([starts.new_zeros(self.drawn, starts.shape[1]), random])
        self._draw()

    def _draw(self) -> None:
        weights = (LEAST + 1.0 - self.success)[self.origins] * self.shares
        chosen = self.rng.choice(len(weights), self.drawn, p=weights / weights.sum())
        self.bank[: self.drawn] = self.states[torch.from_numpy(chosen).to(self.states.device)]

    def _on_training_start(self) -> None:
        self.running = [self._start(i) for i in range(self.training_env.num_envs)]

    def _on_step(self) -> bool:
        for i in np.flatnonzero(self.locals["dones"]):
            succeeded = self.locals["infos"][i].get("is_success")
            if self.running[i] is not None and succeeded is not None:
                self.success[self.running[i]] += RECENT * (succeeded - self.success[self.running[i]])
            self.running[i] = self._start(i)
        return True

    def _on_rollout_end(self) -> None:
        self._draw()

    def _start(self, i: int) -> int | None:
        """Which of the dream's own starts dream i has begun from, None for any other."""
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
