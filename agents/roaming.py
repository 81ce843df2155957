"""Random walks in the dream, and what they teach an agent before it learns: what to look at, where to go, how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.adapter import action_space
from nova_gym.simulator import DreamSimulator

#: Dreams walked in at a time, steps in all, and the most steps of a walk from one start.
WALKERS, STEPS, LONGEST = 256, 200, 60
#: All cells of the dreams are looked at once in so many steps.
EVERY = 8
#: States so many steps before a reward are worth starting from.
BEFORE = (1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 33, 40)
#: Rewards are rare, and so worth starting close to, where at most this share of the steps is rewarded.
RARE = 0.01
#: Added to the diagonal of least squares problems, as a share of its mean.
RIDGE = 1e-4


@dataclass(frozen=True)
class Roaming:
    """What random walks in a dream showed.

    Attributes:
        readings: K weights and a bias for each of three linear readings of a cell's state, for `FieldFeatures`.
            `looked_at` is 1 where actions change a cell and 0 elsewhere. `worth` is 1 in a cell whose change brings a
            reward. `enterable` is the probability that a cell beside changing ones changes in the same walk.
        useful: (actions,) bool, which discrete actions ever changed anything; all True for other actions.
        close: (n, K, rows, cols) float32, states shortly before a reward; none where rewards are not rare.
    """

    readings: dict[str, list[float]]
    useful: np.ndarray
    close: Tensor

    @classmethod
    def through(cls, dream: Dream, starts: Tensor, seed: int = 0) -> Roaming:
        """Walks at random.

        Args:
            dream: to walk in, by the real environment's actions.
            starts: (n, K, rows, cols) float32, states to start from.
            seed: of starts and actions.
        """
        generator = torch.Generator().manual_seed(seed)
        space = batch_space(action_space(dream, "discrete"), WALKERS)
        space.seed(seed)
        simulator = DreamSimulator(dream, WALKERS, LONGEST, starts.shape[2:])
        device = simulator.device

        def start(mask: Tensor) -> None:
            chosen = torch.randint(len(starts), (WALKERS,), generator=generator)
            simulator.reset(mask, starts[chosen.to(starts.device)].to(device))

        start(torch.ones(WALKERS, dtype=torch.bool, device=device))
        notes, past = _Notes(simulator.state), []
        useful = np.zeros(dream.world_model.config.actions, dtype=bool)
        close, paid_in_all, most = [], 0, RARE * WALKERS * STEPS
        for step in range(STEPS):
            before = simulator.state
            past = [*past[1 - max(BEFORE) :], (before, simulator.steps)]
            actions = space.sample()
            result = simulator.step(torch.as_tensor(actions, device=device))
            changed = (result.state != before).any(1) & ~result.lost[:, None, None]
            reward = torch.where(result.lost, 0.0, result.reward)
            ended = result.terminated | result.truncated
            notes.take(before, changed, reward, ended, step)
            if dream.world_model.config.discrete:
                useful[actions[changed.flatten(1).any(1).cpu().numpy()]] = True
            paid = reward > 0
            paid_in_all += int(paid.sum())
            if paid_in_all <= most:
                close += [
                    states[kept]
                    for back, (states, steps) in zip(range(len(past), 0, -1), past, strict=True)
                    if back in BEFORE and (kept := paid & (steps == simulator.steps - back)).any()
                ]
            start(ended)
            notes.begin(ended, simulator.state)
        none = [starts[:0].to(device)]
        found = torch.cat(close if close and paid_in_all <= most else none)
        return cls(notes.readings(), useful | (not useful.any()), found)


class _Notes:
    """Sums over the walks, for three least squares problems on cells' states."""

    def __init__(self, states: Tensor) -> None:
        self.first = states
        nothing = torch.zeros_like(states[:, 0], dtype=torch.bool)
        self.changed, self.beside = nothing.clone(), nothing.clone()
        self.cells: list[Tensor] = []
        self.touched: list[Tensor] = []
        self.sums: list[Tensor] = []
        self.rewards: list[Tensor] = []
        self.neighbours: list[Tensor] = []
        self.entered: list[Tensor] = []

    def take(self, before: Tensor, changed: Tensor, reward: Tensor, ended: Tensor, step: int) -> None:
        """Notes one step of all dreams, from states `before` with cells `changed` (N, rows, cols)."""
        by_cell = before.movedim(1, 3)
        if step % EVERY == 0:
            self.cells.append(by_cell.flatten(0, 2))
            self.touched.append(changed.flatten())
        weights = changed.unsqueeze(-1).to(before.dtype)
        self.sums.append(torch.cat([(by_cell * weights).sum((1, 2)), weights.sum((1, 2))], 1))
        self.rewards.append(reward)
        self.changed |= changed
        self.beside |= _dilated(changed)
        if ended.any():
            by_first, beside = self.first.movedim(1, 3), self.beside & ended[:, None, None]
            self.neighbours.append(by_first[beside])
            self.entered.append(self.changed[beside])
            going = ~ended[:, None, None]
            self.changed, self.beside = self.changed & going, self.beside & going

    def begin(self, ended: Tensor, states: Tensor) -> None:
        """New walks of the dreams `ended` begin from `states`."""
        self.first = torch.where(ended[:, None, None, None], states, self.first)

    def readings(self) -> dict[str, list[float]]:
        """The three readings."""
        cells = _with_one(torch.cat(self.cells))
        touched = torch.cat(self.touched).double()
        sums, rewards = torch.cat(self.sums).double(), torch.cat(self.rewards).double()
        looked_at = _fit(cells.T @ cells, cells.T @ touched)
        # a step's reward is the sum of what its changed cells are worth; a cell that does not change is worth little
        share = 1e-3 * len(sums) / len(cells)
        worth = _fit(sums.T @ sums + share * cells.T @ cells, sums.T @ rewards)
        if self.neighbours:
            beside = _with_one(torch.cat(self.neighbours))
            enterable = _fit(beside.T @ beside, beside.T @ torch.cat(self.entered).double())
        else:
            enterable = torch.zeros_like(worth)
            enterable[-1] = 1.0
        area = self.first[0, 0].numel()
        found = {
            "looked_at": _between(looked_at, cells, touched, area),
            "worth": _between(worth, cells, None, area),
            "enterable": enterable,
        }
        return {name: reading.tolist() for name, reading in found.items()}


def _dilated(cells: Tensor) -> Tensor:
    """(N, rows, cols) bool: cells with one of the four neighbours in `cells`."""
    beside = torch.zeros_like(cells)
    beside[:, 1:] |= cells[:, :-1]
    beside[:, :-1] |= cells[:, 1:]
    beside[:, :, 1:] |= cells[:, :, :-1]
    beside[:, :, :-1] |= cells[:, :, 1:]
    return beside


def _with_one(cells: Tensor) -> Tensor:
    """States (n, K) → (n, K + 1) float64, with a 1 for the bias."""
    return torch.cat([cells, torch.ones_like(cells[:, :1])], 1).double()


def _fit(matrix: Tensor, target: Tensor) -> Tensor:
    """Ridge regression."""
    ridge = RIDGE * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.solve(matrix + ridge, target)


def _between(reading: Tensor, cells: Tensor, where: Tensor | None, area: int) -> Tensor:
    """A reading moved and scaled to 0 in the mean of all cells, and 1 in the mean of those `where` weighs.

    Without weights, 1 is what the best of the `area` cells of a frame has, in the median of all frames.
    """
    values = cells @ reading
    low = values.mean()
    if where is None:
        high = values.unflatten(0, (-1, area)).amax(1).median()
    else:
        high = (values * where).sum() / where.sum().clamp(min=1.0)
    if high - low < 1e-6:
        return torch.zeros_like(reading)
    scaled = reading.clone()
    scaled[-1] -= low
    return scaled / (high - low)
