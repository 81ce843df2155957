"""What random walkers in a dream do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.reality.chart import Chart
from nova_gym.training.rare import ALIKE_STATES

#: Dreams walked in at a time.
WALKERS = 256
#: Where a field is one cell a walker repeats its last action with one of these probabilities, because pushes to and fro
#: lead nowhere.
PERSISTENCE = (0.0, 0.5, 0.8, 0.9, 0.95)
#: So many different actions are drawn from where they are continuous.
DIFFERENT = 1024
#: Steps after which the way to what was seldom tried is planned anew.
PLANNED = 5


class Walkers:
    """Actions of `WALKERS` walkers, as the simulator takes them: at random, or those that were tried least.

    Args:
        dream: in which they walk.
        generator: of all draws.
        whole: whether its field is one cell. Then actions are repeated, and states do not come back.
    """

    def __init__(self, dream: Dream, generator: torch.Generator, whole: bool) -> None:
        self.config, self.generator, self.looks = dream.world_model.config, generator, dream.world_model.looks
        known, self.rng = dream_actions(dream), np.random.default_rng(generator.initial_seed())
        members = [] if self.config.discrete else [known.sample(self.rng) for _ in range(DIFFERENT)]
        self.members = torch.from_numpy(known.to_model(np.stack(members))) if members else None
        chances = torch.tensor(PERSISTENCE if whole else PERSISTENCE[:1])
        self.repeats = chances.repeat(-(-WALKERS // len(chances)))[:WALKERS]
        self.last: Tensor | None = None
        self.chart = Chart(self.config.actions, self.rng) if self.config.discrete and not whole else None
        self.places, self.walks = np.full(WALKERS, -1), np.zeros(WALKERS, np.int64)
        self.steps = self.count = 0
        self.charted = np.zeros(WALKERS, bool)

    def begin(self, walkers: np.ndarray) -> None:
        """New walks of `walkers` (N,) bool begin; every other one by `Chart`, as far as states come back."""
        familiar = self.chart.familiar if self.chart else 0.0
        for i in np.flatnonzero(walkers):
            self.places[i], self.walks[i], self.count = -1, self.count, self.count + 1
            self.charted[i] = i % 2 == 1 and self.rng.random() < familiar

    def draw(self, states: Tensor) -> Tensor:
        """(`WALKERS`,) int64, or (`WALKERS`, N) float32, on the CPU, in states (`WALKERS`, K + M, rows, cols)."""
        if self.members is None:
            drawn = torch.randint(self.config.actions, (WALKERS,), generator=self.generator)
        else:
            drawn = self.members[torch.randint(DIFFERENT, (WALKERS,), generator=self.generator)]
        if self.last is not None and self.repeats.any():
            again = torch.rand(WALKERS, generator=self.generator) < self.repeats
            drawn = torch.where(again if drawn.ndim == 1 else again[:, None], self.last, drawn)
        if self.chart:
            new = np.flatnonzero(self.places < 0)
            for i, shown in zip(new, self._shown(states[torch.from_numpy(new)]), strict=True):
                self.places[i] = self.chart.begin(shown, self.walks[i])
            if self.charted.any() and self.steps % PLANNED == 0:
                self.chart.plan()
            self.steps += 1
            for i in np.flatnonzero(self.charted):
                drawn[i] = self.chart.choose(self.places[i])
        self.last = drawn
        return drawn

    def note(self, states: Tensor, ended: np.ndarray) -> None:
        """Notes states (`WALKERS`, K + M, rows, cols) after the actions that were drawn last, and which ended."""
        if self.chart:
            shown, taken = self._shown(states), self.last.tolist()
            for i in range(WALKERS):
                self.places[i] = self.chart.note(self.places[i], taken[i], shown[i], ended[i], self.walks[i])

    def _shown(self, states: Tensor) -> np.ndarray:
        """States (N, …) as whole numbers, so that those that are alike are equal: by the looks of cells, or rounded."""
        if self.looks is None or states.shape[1] > self.looks.shape[1]:
            return (states / ALIKE_STATES).round().to(torch.int32).cpu().contiguous().numpy()
        cells = states.movedim(1, -1)
        return torch.cdist(cells.flatten(0, 2), self.looks).argmin(1).view(cells.shape[:3]).cpu().numpy()
