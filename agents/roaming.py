"""Random walks in the dream, and what they teach an agent before it learns: what to look at, where to go, how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nova_gym.agents.usual import Usual
from nova_gym.agents.walkers import WALKERS, Known, Walkers
from nova_gym.dream import Dream
from nova_gym.simulator import DreamSimulator

#: Steps of all walkers, and the most steps of a walk from one start.
STEPS, LONGEST = 200, 60
#: The last two where a field is one cell: what has a velocity takes longer to get anywhere, and steps cost less.
WHOLE_STEPS, WHOLE_LONGEST = 600, 300
#: All cells of the dreams are looked at once in so many steps.
EVERY = 8
#: States so many steps before something better than usual are worth starting from.
BEFORE = (1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 33, 40)
#: So many of them are kept at most, and so many bytes.
CLOSE, CLOSE_BYTES = 6_000, 2**26
#: So many cells are kept as steps left them.
MOBILE = 4096
#: Added to the diagonal of least squares problems, as a share of its mean.
RIDGE = 1e-4


@dataclass(frozen=True)
class Roaming:
    """What random walks in a dream showed.

    Attributes:
        readings: a weight for each number of a cell's state and a bias, for each of three linear readings of it, for
            `FieldFeatures`. `looked_at` is 1 where actions change a cell and 0 elsewhere. `worth` is 1 in a cell whose
            change brings a reward. `enterable` is the probability that a cell beside changing ones changes in the same
            walk. What a cell remembers is not read.
        useful: (actions,) bool, which discrete actions ever changed anything; all True for other actions.
        close: (n, K + M, rows, cols) float32, states shortly before something better than usual; none where nothing
            stands out.
        mobile: (m, K) float32, cells as steps left them.
        usual: what a step brings.
        known: all that the walks met, where states come back so often that they know their way about; else None.
    """

    readings: dict[str, list[float]]
    useful: np.ndarray
    close: Tensor
    mobile: Tensor
    usual: Usual
    known: Known | None = None

    @property
    def sparse(self) -> bool:
        """Whether few steps pay anything."""
        return self.usual.sparse

    @classmethod
    def through(cls, dream: Dream, starts: Tensor, seed: int = 0) -> Roaming:
        """Walks at random; where states come back, half of the walkers go where the least was tried (`Chart`).

        Args:
            dream: to walk in, by the real environment's actions.
            starts: (n, K + M, rows, cols) float32, states to start from.
            seed: of starts and actions.
        """
        generator = torch.Generator().manual_seed(seed)
        whole, config = dream.cells == (1, 1), dream.world_model.config
        longest = WHOLE_LONGEST if whole else LONGEST
        longest = min(longest, dream.card.horizon or longest)
        simulator = DreamSimulator(dream, WALKERS, longest, starts.shape[2:])
        device = simulator.device

        def start(mask: Tensor) -> None:
            walkers.begin(mask.cpu().numpy())
            chosen = torch.randint(len(starts), (WALKERS,), generator=generator)
            simulator.reset(mask, starts[chosen.to(starts.device)].to(device), generator=generator)

        walkers = Walkers(dream, generator, whole)
        start(torch.ones(WALKERS, dtype=torch.bool, device=device))
        seen = lambda states: states[:, : config.rank]  # noqa: E731
        notes, past = _Notes(seen(simulator.state)), []
        useful, outcomes, close = np.zeros(config.actions, dtype=bool), _Outcomes(longest), _Close(simulator.state)
        for step in range(WHOLE_STEPS if whole else STEPS):
            before = simulator.state
            past = [*past[1 - max(BEFORE) :], (before, simulator.steps)]
            taken = walkers.draw(before)
            result = simulator.step(taken.to(device))
            changed = (seen(result.state) != seen(before)).any(1) & ~result.lost[:, None, None]
            reward = torch.where(result.lost, 0.0, result.reward)
            walkers.note(result)
            ended = result.terminated | result.truncated
            notes.take(seen(before), seen(result.state), changed, reward, ended, step)
            if config.discrete:
                useful[taken[changed.flatten(1).any(1).cpu()].numpy()] = True
            outcomes.take(reward, result.terminated & ~result.lost, ended)
            close.take(past, simulator.steps, outcomes.so_far(), outcomes.last)
            start(ended)
            notes.begin(ended, seen(simulator.state))
        usual = outcomes.usual()
        found = notes.readings(starts.shape[1] - config.rank)
        return cls(found, useful | (not useful.any()), close.of(usual), notes.mobile(), usual, walkers.known())


class _Outcomes:
    """Rewards and endings of all steps so far."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.rewards: list[np.ndarray] = []
        self.terminated: list[np.ndarray] = []
        self.ended: list[np.ndarray] = []
        self.known: Usual | None = None

    def take(self, *step: Tensor) -> None:
        """Notes rewards (N,), whether the dream ended the episode (N,), and whether the walk ended (N,)."""
        for values, new in zip((self.rewards, self.terminated, self.ended), step, strict=True):
            values.append(new.cpu().numpy())

    @property
    def last(self) -> tuple[np.ndarray, np.ndarray]:
        """Rewards and endings of the last step."""
        return self.rewards[-1], self.terminated[-1]

    def so_far(self) -> Usual:
        """About what a step has brought so far."""
        if self.known is None or len(self.rewards) > 1.25 * len(self.known.rewards):
            self.known = self.usual()
        return self.known

    def usual(self) -> Usual:
        """What a step has brought."""
        return Usual.of(*(np.stack(each) for each in (self.rewards, self.terminated, self.ended)), self.longest)


class _Close:
    """States shortly before something better than usual."""

    def __init__(self, states: Tensor) -> None:
        self.none = states[:0]
        self.most = min(CLOSE, CLOSE_BYTES // (4 * states[0].numel()))
        self.count = 0
        self.found: list[tuple[float, bool, Tensor]] = []

    def take(
        self, past: list[tuple[Tensor, Tensor]], steps: Tensor, usual: Usual, last: tuple[np.ndarray, np.ndarray]
    ) -> None:
        """Keeps the states before the last step, where that was better than usual as far as is known by now."""
        for i in np.flatnonzero(usual.better(*last)):
            if self.count >= self.most:
                return
            walked = int(steps[i])
            before = [past[-back][0][i] for back in BEFORE if back <= min(walked, len(past))]
            self.found.append((float(last[0][i]), bool(last[1][i]), torch.stack(before)))
            self.count += len(before)

    def of(self, usual: Usual) -> Tensor:
        """(n, K + M, rows, cols), those that are better than usual in the end."""
        kept = [states for reward, ended, states in self.found if usual.better(np.float64(reward), np.bool_(ended))]
        return torch.cat([self.none, *kept])


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
        self.left: list[Tensor] = []

    def take(self, before: Tensor, after: Tensor, changed: Tensor, reward: Tensor, ended: Tensor, step: int) -> None:
        """Notes one step of all dreams, with cells `changed` (N, rows, cols)."""
        by_cell = before.movedim(1, 3)
        if step % EVERY == 0:
            self.cells.append(by_cell.flatten(0, 2))
            self.touched.append(changed.flatten())
            self.left.append(after.movedim(1, 3)[changed])
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

    def mobile(self) -> Tensor:
        """(m, K), at most `MOBILE` cells as steps left them."""
        left = torch.cat(self.left)
        return left[:: len(left) // MOBILE + 1]

    def readings(self, unread: int) -> dict[str, list[float]]:
        """The three readings; `unread` more numbers of a cell have the weight 0."""
        cells = _with_one(torch.cat(self.cells))
        touched = torch.cat(self.touched).double()
        sums, rewards = torch.cat(self.sums).double(), torch.cat(self.rewards).double()
        looked_at = _fit(cells.T @ cells, cells.T @ touched)
        # a step's reward is the sum of what its changed cells are worth; a cell that does not change is worth little
        share = 1e-3 * len(sums) / len(cells)
        worth = _fit(sums.T @ sums + share * cells.T @ cells, sums.T @ rewards)
        neighbours = torch.cat([cells[:0, :-1].to(self.first.dtype), *self.neighbours])
        if len(neighbours):
            beside = _with_one(neighbours)
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
        return {name: [*reading[:-1].tolist(), *[0.0] * unread, float(reading[-1])] for name, reading in found.items()}


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
    ridge = (RIDGE * matrix.diagonal().mean()).clamp(min=1e-9) * torch.eye(
        len(matrix), dtype=matrix.dtype, device=matrix.device
    )
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
