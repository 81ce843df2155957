"""Plans in the dream instead of learning a policy: the cross-entropy method over the batch simulator."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.frames import encode_frames, observation_space
from nova_gym.errors import BadInputError
from nova_gym.simulator import DreamSimulator

#: Of the changes that steps make, the share that may be smaller than what counts as an ordinary one.
_SMALL = 0.1
#: Random walks that show what going on is worth.
_WALKS = 128


class CrossEntropyPlanner:
    """Searches action sequences by the cross-entropy method (de Boer et al., 2005), behind SB3's `predict()`.

    Sequences are scored by the discounted rewards that the dream predicts, up to the predicted end. Where there is no
    end, going on counts as much as random walks earn: so an end that pays nothing is avoided where rewards are to be
    had, and sought where every step costs. A small bonus for different states before the end makes the search spread
    out while rewards are missing. Actions without effect in all of the dream's starts are seldom proposed. A plan with
    an end worth reaching is followed up to it, other plans half-way. The agent plans again as soon as the world differs
    from what the dream expected.

    Args:
        dream: with discrete actions.
        horizon: steps that a plan looks ahead, at least 1.
        population: sequences in each iteration, at least 1.
        iterations: rounds of sampling and refitting, at least 1.
        elites: share of the sequences that the next distribution is fitted to, in (0, 1].
        persistence: probability that a sampled action repeats the one before it, in [0, 1).
        discount: factor on a reward for each step that it comes later.
        seed: of the sampling.

    Attributes:
        surprise: two states are different where a cell of one differs from the other's by more than this mean square.
            It is half of what the smaller steps change in the dream's starts.
        going_on: discounted rewards to be expected of going on at random.

    Raises:
        BadInputError: the dream's actions are not discrete, or a number is out of range.
    """

    def __init__(
        self,
        dream: Dream,
        horizon: int = 24,
        population: int = 256,
        iterations: int = 3,
        elites: float = 0.1,
        persistence: float = 0.3,
        discount: float = 0.98,
        seed: int = 0,
    ) -> None:
        if not dream.world_model.config.discrete:
            raise BadInputError("the planner needs a dream with discrete actions")
        if min(horizon, population, iterations) < 1 or not 0 < elites <= 1 or not 0 <= persistence < 1:
            raise BadInputError(
                "horizon, population and iterations must be at least 1, elites in (0, 1], persistence in [0, 1)"
            )
        self.dream = dream
        self.horizon, self.population, self.iterations = horizon, population, iterations
        self.elites, self.persistence, self.discount = max(1, round(elites * population)), persistence, discount
        self.observation_space = observation_space(dream, "latent")
        self.actions = dream.world_model.config.actions
        self._rank = dream.world_model.config.rank  # channels of a state that draw it; what may follow is memory
        useful = self._useful()
        self._odds = 0.95 * useful / useful.sum() + 0.05 / self.actions
        self.set_random_seed(seed)
        self.going_on = self._worth_of_going_on()
        self.set_random_seed(seed)

    def set_random_seed(self, seed: int) -> None:
        """Restarts the random sampling with this seed."""
        self._generator = torch.Generator().manual_seed(seed)

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """The next action of the plan. Plans first if there is no plan left or the world differs from its expectation.

        Args:
            observation: latents (N, K, rows, cols) or (K, rows, cols) float32, or frames (N, H, W, C) or (H, W, C)
                uint8.
            state: what the last call returned: plans (N, T) int64, filled up with -1, and expected states
                (N, K, rows, cols) float32. None before the first call.
            episode_start, deterministic: ignored; SB3 passes them. A new episode differs from the expectation anyway.

        Returns:
            Actions (N,) int64, or a single one for a single observation. Then the new `state`.
        """
        single = observation.ndim == 3
        observation = observation[None] if single else observation
        latent = observation.dtype != np.uint8
        device = self.dream.world_model.device
        states = torch.as_tensor(observation, device=device) if latent else encode_frames(self.dream, observation)
        if state is None:
            plans = np.full((len(states), self.horizon), -1, dtype=np.int64)
            expected = np.full(states.shape, np.nan, dtype=np.float32)
        else:
            plans, expected = state[0].copy(), state[1]
        differing = np.square(states.cpu().numpy() - expected)[:, : self._rank].mean(1).max((1, 2))
        void = (plans[:, 0] < 0) | ~(differing <= self.surprise)
        for i in np.flatnonzero(void):
            plans[i] = self.plan(states[i])
        actions = plans[:, 0].copy()
        plans = np.concatenate([plans[:, 1:], np.full((len(plans), 1), -1)], axis=1)
        simulator = DreamSimulator(self.dream, len(states), 0, states.shape[2:])
        simulator.reset(states=states)
        following = simulator.step(torch.as_tensor(actions, device=device)).state
        return (actions[0] if single else actions), (plans, following.cpu().numpy())

    @torch.no_grad()
    def plan(self, start: Tensor) -> np.ndarray:
        """The best sequence found from a state (K, rows, cols) float32: (horizon,) int64, filled up with -1."""
        odds = self._odds.expand(self.horizon, -1)
        best, best_score, length = None, -np.inf, 1
        for _ in range(self.iterations):
            sequences = self._sample(odds)
            if best is not None:
                sequences[0] = best
            scores, lengths = self._score(start, sequences)
            chosen = scores.topk(self.elites).indices
            counts = torch.nn.functional.one_hot(sequences[chosen], self.actions).float().mean(0)
            odds = 0.9 * counts + 0.1 * self._odds
            top = int(chosen[0])
            if float(scores[top]) > best_score:
                best, best_score, length = sequences[top].clone(), float(scores[top]), int(lengths[top])
        plan = np.full(self.horizon, -1, dtype=np.int64)
        plan[:length] = best[:length].numpy()
        return plan

    @torch.no_grad()
    def _useful(self) -> Tensor:
        """(actions,) float32: 1 for actions with an effect in some start of the dream; all 1 if no action has one.

        Sets `surprise`.
        """
        states = torch.cat(list(self.dream.starts.values()))
        simulator = DreamSimulator(self.dream, len(states), 0, states.shape[2:])
        moved, ended = [], []
        for action in range(self.actions):
            simulator.reset(states=states)
            result = simulator.step(torch.full((len(states),), action, device=simulator.device))
            moved.append((result.state - states)[:, : self._rank].square().mean(1).amax((1, 2)))
            ended.append((result.terminated | (result.reward != 0)).any())
        moves = torch.stack(moved)
        changes = moves[moves > self.dream.card.dead_band]
        ordinary = float(changes.quantile(_SMALL)) if len(changes) else 0.0
        self.surprise = max(0.5 * ordinary, self.dream.card.dead_band)
        useful = ((moves > self.surprise).any(1) | torch.stack(ended)).float().cpu()
        return useful if useful.any() else torch.ones(self.actions)

    @torch.no_grad()
    def _worth_of_going_on(self) -> float:
        """Discounted rewards of random walks from the dream's starts, as if those that last went on like that."""
        states = torch.cat(list(self.dream.starts.values()))
        count = min(_WALKS, len(states))
        chosen = torch.randperm(len(states), generator=self._generator)[:count]
        simulator = DreamSimulator(self.dream, count, 0, states.shape[2:])
        simulator.reset(states=states[chosen.to(states.device)])
        drawn = torch.multinomial(self._odds.expand(count, -1), self.horizon, True, generator=self._generator)
        alive, total = (
            torch.ones(count, dtype=torch.bool, device=simulator.device),
            torch.zeros(count, device=simulator.device),
        )
        for t, actions in enumerate(drawn.T.to(simulator.device)):
            result = simulator.step(actions)
            total += alive * self.discount**t * result.reward
            alive = alive * ~result.terminated
        left = 1 - self.discount**self.horizon * float(alive.float().mean())  # who has not ended earns as much again
        return float(total.mean()) / max(left, 1 / self.horizon)

    def _sample(self, odds: Tensor) -> Tensor:
        """Draws sequences (population, horizon) int64 from probabilities (horizon, actions), with repeated actions."""
        drawn = torch.multinomial(odds, self.population, replacement=True, generator=self._generator).T
        repeat = torch.rand(drawn.shape, generator=self._generator) < self.persistence
        for t in range(1, self.horizon):
            drawn[:, t] = torch.where(repeat[:, t], drawn[:, t - 1], drawn[:, t])
        return drawn.contiguous()

    def _score(self, start: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (population,) float32, and the steps (population,) int64, at least 1, to follow each sequence for.

        Where the dream can doubt, a reward counts by as much as it is trusted, a cost by as much more.
        """
        doubts = self.dream.world_model.has_doubt
        simulator = DreamSimulator(self.dream, len(sequences), 0, start.shape[1:], doubt=doubts)
        simulator.reset(states=start.expand(len(sequences), *start.shape))
        begun_with = simulator.doubt if doubts else 0.0  # what is there already, no plan can avoid
        actions = sequences.to(simulator.device)
        alive = torch.ones(len(sequences), dtype=torch.bool, device=simulator.device)
        total, steps = torch.zeros(len(sequences), device=simulator.device), torch.zeros_like(alive, dtype=torch.int64)
        wanted = torch.zeros_like(alive)
        visited = [simulator.state[:, : self._rank]]
        for t in range(self.horizon):
            result = simulator.step(actions[:, t])
            paid = result.reward
            if doubts:
                paid = paid - paid.abs() * (simulator.doubt - begun_with)
            total += alive * self.discount**t * paid
            wanted |= alive & result.terminated & (result.reward > self.going_on)
            steps += alive
            alive = alive & ~result.terminated
            visited.append(torch.where(alive[:, None, None, None], result.state[:, : self._rank], visited[-1]))
        total += alive * self.discount**self.horizon * self.going_on
        lengths = torch.where(wanted, steps, (steps // 2).clamp(min=1))
        return (total + 1e-3 * self._spread(torch.stack(visited, 1))).cpu(), lengths.cpu()

    def _spread(self, states: Tensor) -> Tensor:
        """For each sequence of states (P, T, K, rows, cols), the share unlike all earlier ones: (P,) float32.

        Cells count where they differ; states differ where the sum over them, as mean square, is beyond `surprise`.
        """
        flat = states.flatten(2)
        distances = torch.cdist(flat, flat).square() / states.shape[2]
        same = (distances < self.surprise).tril(-1)
        return 1.0 - same.any(-1).float().mean(-1)
