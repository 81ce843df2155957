"""What random walkers in a dream do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.reality.chart import Chart
from nova_gym.stepping import Transition
from nova_gym.training.rare import ALIKE_STATES

#: Dreams walked in at a time.
WALKERS = 256
#: Where a field is one cell a walker repeats its last action with one of these probabilities, because pushes to and fro
#: lead nowhere.
PERSISTENCE = (0.0, 0.5, 0.8, 0.9, 0.95)
#: So many different actions are drawn from where they are continuous.
DIFFERENT = 1024
#: Share of the last steps that led where another walk had been, from which on walks know their way about.
FAMILIAR = 0.5
#: Bytes of what places show that are kept at most; beyond that nothing is known by heart.
BYTES = 2**28
#: Steps after which the way to what was seldom tried is planned anew.
PLANNED = 5


class Known(NamedTuple):
    """What walks met that know their way about.

    Attributes:
        states: (places - 1, K + M, rows, cols) float32, on the CPU: those of the chart's places from 1 on.
        chart: what led where, and what it paid.
    """

    states: Tensor
    chart: Chart


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
        self.met: list[np.ndarray] = []  # what each place of the chart shows
        self.before = self.labels = torch.zeros(0)  # states that were looked at last, and their cells' looks

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
        if self.chart and self.chart.full:
            self.chart, self.charted = None, np.zeros_like(self.charted)
        if self.chart:
            new = np.flatnonzero(self.places < 0)
            for i, shown in zip(new, self._shown(states)[new] if len(new) else (), strict=True):
                self.places[i] = self._met(self.chart.begin(shown, self.walks[i]), shown)
            if self.charted.any() and self.steps % PLANNED == 0:
                self.chart.plan()
            self.steps += 1
            for i in np.flatnonzero(self.charted):
                drawn[i] = self.chart.choose(self.places[i])
        self.last = drawn
        return drawn

    def note(self, result: Transition) -> None:
        """Notes what the actions that were drawn last led to. Those by which the dream is lost must never be taken."""
        if self.chart:
            shown, taken, lost = self._shown(result.state), self.last.tolist(), result.lost.cpu().numpy()
            ended, paid = (result.terminated | result.lost).cpu().numpy(), result.reward.cpu().numpy()
            for i, reward in enumerate(np.where(lost, -np.inf, paid)):
                place = self.chart.note(self.places[i], taken[i], shown[i], ended[i], self.walks[i], reward)
                self.places[i] = self._met(place, shown[i])

    def known(self) -> Known | None:
        """All that the walks met, if they know their way about."""
        if self.chart is None or self.chart.familiar < FAMILIAR or len(self.met) < self.chart.places - 1:
            return None
        shown = torch.from_numpy(np.stack(self.met))
        states = shown * ALIKE_STATES if self._by_numbers else self.looks.cpu()[shown.long()].movedim(-1, 1)
        return Known(states, self.chart)

    def _met(self, place: int, shown: np.ndarray) -> int:
        """Keeps what a place shows that is new; returns the place."""
        if place == len(self.met) + 1 and place * shown.nbytes <= BYTES:
            self.met.append(shown.copy())
        return place

    @property
    def _by_numbers(self) -> bool:
        """Whether states are told apart by their numbers, and not by the looks of their cells."""
        return self.looks is None or self.config.memory > 0

    def _shown(self, states: Tensor) -> np.ndarray:
        """States (`WALKERS`, …) as whole numbers, so that those that are alike are equal: by looks, or rounded."""
        if self._by_numbers:
            return (states / ALIKE_STATES).round().to(torch.int32).cpu().contiguous().numpy()
        cells = states.movedim(1, -1)
        if self.before.shape == cells.shape:
            other = (cells != self.before).any(-1)
        else:
            self.labels = torch.zeros(cells.shape[:3], dtype=torch.int32, device=cells.device)
            other = torch.ones_like(self.labels, dtype=torch.bool)
        nearest = (2.0 * cells[other] @ self.looks.T - self.looks.square().sum(1)).argmax(1)
        self.labels[other], self.before = nearest.to(torch.int32), cells.clone()
        return self.labels.cpu().numpy()
