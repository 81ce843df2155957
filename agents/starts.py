"""Chooses where training episodes start: where the agent learns most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from nova_gym.agents.usual import Usual
from nova_gym.dream import Dream

#: Share of the training episodes that begin at starts of each kind, if all are as interesting.
SHARES = {"own": 0.35, "random": 0.35, "close": 0.3}

#: Starts that the environment draws from between two rollouts.
DRAWN = 2048

#: Part of a start's weight that it always has, so that none is forgotten.
LEAST = 0.1

#: Weight of the latest episode in a start's running success rate.
RECENT = 0.3

#: Success rate that starts are supposed to have before the first episode from them, by kind.
SUPPOSED = {"own": 0.0, "random": 0.0, "close": 0.5}


class PrioritizedStarts(BaseCallback):
    """Draws the starts of training episodes, more often those from which the agent learns most.

    With a success rate p of a start, and the mean m of all, its weight is `LEAST + 4 p (1 - p) + m (1 - p)`. So at
    first episodes begin where the agent succeeds now and then: close to a reward (a curriculum backwards from the
    goal; Florensa et al. 2017, arXiv 1707.05300). When it succeeds from most starts, they begin where it still fails
    (prioritised level replay; Jiang et al. 2021, arXiv 2010.03934).

    If the environment knows no success, an episode succeeds in which a step was better than usual. Where nothing stands
    out so, all starts of a kind are equally likely.

    Args:
        starts: by kind, `own`, `random` and `close`, (n, K + M, rows, cols) float32 each; kinds may be missing or
            empty.
        seed: of draws.
        usual: what steps bring; None if only the environment tells what a success is.

    Attributes:
        bank: (`DRAWN`, K + M, rows, cols) float32, the starts that `DreamVecEnv` draws from, rewritten in place after
            each rollout.
        states: (n, K + M, rows, cols) float32, all starts.
        success: (n,) float64 in [0, 1], their recent success rates.
    """

    def __init__(self, starts: Mapping[str, Tensor], seed: int = 0, usual: Usual | None = None) -> None:
        super().__init__()
        self.usual = usual if usual is not None and usual.stands_out else None
        self.rng = np.random.default_rng(seed)
        kinds = [kind for kind in SHARES if len(starts.get(kind, ()))]
        self.states = torch.cat([starts[kind] for kind in kinds])
        of_kind = lambda value: np.concatenate([np.full(len(starts[kind]), value(kind)) for kind in kinds])  # noqa: E731
        self.success = of_kind(SUPPOSED.get)
        self.shares = of_kind(lambda kind: SHARES[kind] / len(starts[kind]))
        self.of = {start.tobytes(): i for i, start in enumerate(self.states.cpu().contiguous().numpy())}
        self.bank = self.states.new_zeros(DRAWN, *self.states.shape[1:])
        self._draw()

    def _draw(self) -> None:
        p = self.success
        weights = self.shares * (LEAST + 4.0 * p * (1.0 - p) + p.mean() * (1.0 - p))
        drawn = self.rng.choice(len(p), len(self.bank), p=weights / weights.sum())
        self.bank[:] = self.states[torch.from_numpy(drawn).to(self.states.device)]

    def _on_training_start(self) -> None:
        self.running = [self._start(i) for i in range(self.training_env.num_envs)]
        self.better = np.zeros(self.training_env.num_envs, dtype=bool)

    def _on_step(self) -> bool:
        if self.usual is not None:
            dreams = self.training_env.unwrapped
            self.better |= self.usual.better(dreams.rewards, dreams.terminated)
        for i in np.flatnonzero(self.locals["dones"]):
            unknown = None if self.usual is None else bool(self.better[i])
            succeeded, self.better[i] = self.locals["infos"][i].get("is_success", unknown), False
            start = self.running[i]
            if start is not None and succeeded is not None:
                self.success[start] += RECENT * (succeeded - self.success[start])
            self.running[i] = self._start(i)
        return True

    def _on_rollout_end(self) -> None:
        self._draw()

    def _start(self, i: int) -> int | None:
        """Index of the start that dream i began from; None for one that is none of these."""
        return self.of.get(np.asarray(self.training_env.unwrapped.reset_infos[i]["latent"]).tobytes())


def starts_of(levels: Sequence[Dream]) -> dict[str, Tensor]:
    """The starts of one or more levels of one size, as `PrioritizedStarts` takes them.

    Args:
        levels: dreams with starts in their files; `own` are their default starts, `random` all others.
    """
    own = [level.starts[level.default_starts] for level in levels]
    others = [bank for level in levels for kind, bank in level.starts.items() if kind != level.default_starts]
    return {"own": torch.cat(own)} | ({"random": torch.cat(others)} if others else {})
