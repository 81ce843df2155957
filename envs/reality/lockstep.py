"""Real environments and dreams that step together: same start, same actions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from nova_gym.dream import Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.frames import drawing_errors, first_states
from nova_gym.envs.reality.base import ATTEMPTS
from nova_gym.envs.reality.counterpart import reality_of, restart
from nova_gym.errors import BadInputError
from nova_gym.measures import Estimate, mean, share
from nova_gym.simulator import DreamSimulator

#: A predicted reward is right if it is this close, where rewards take few values.
REWARD_TOLERANCE = 0.01
#: Continuous actions that are tried for one that does not end an episode.
DRAWS = 16


class Bench:
    """Real environments at starts that the dream's recording does not hold, and dreams that begin where they do.

    Args:
        dream: with a real counterpart.
        starts: `official`, `random`, or None for what suits: official starts where the dream was recorded from another
            environment, random ones otherwise. Where the `Reality` cannot move agent and goal, all are official.
        seed: of starts and actions.

    Attributes:
        reality: the real counterpart.
        known: the map of its actions.
        starts: which.
        tile: side of a tile in pixels, 0 without tiles.
        holds_out: whether starts are chosen by their layout. Where the recording is of another environment, they need
            not be: it held out all layouts of this one.
        layouts: the held-out layouts that were used.
    """

    def __init__(self, dream: Dream, starts: str | None, seed: int) -> None:
        if starts not in ("random", "official", None):
            raise BadInputError(f"unknown starts {starts!r}; there are random, official")
        self.dream, self.reality, self.known = dream, reality_of(dream), dream_actions(dream)
        recorded = dream.card.data.get("reality", {}).get("env_id", dream.card.env_id)
        self.recorded_elsewhere = recorded != dream.card.env_id
        starts = starts or ("official" if self.recorded_elsewhere else "random")
        self.starts = starts if self.reality.scatters else "official"
        self.rng = np.random.default_rng([seed, 0x5EED])
        with closing(self.reality.make()) as probe:
            self.tile = self.reality.tile(probe)
            self.holds_out = not self.recorded_elsewhere and self.reality.can_hold_out(probe)
        self.layouts: set[bytes] = set()

    def environment(self) -> gym.Env:
        """A real environment, freshly reset."""
        env = self.reality.make()
        self.restart(env)
        return env

    def restart(self, env: gym.Env) -> None:
        """Resets to another start; on a held-out layout if starts are chosen by their layout."""
        for _ in range(ATTEMPTS):
            restart(self.reality, env, self.starts, self.rng)
            if not self.holds_out:
                return
            if self.reality.is_held_out(env):
                self.layouts.add(self.reality.layout_id(env))
                return
        raise BadInputError(
            f"{self.reality.spec.env_id} has layouts that are held out, but {ATTEMPTS} {self.starts} starts gave none"
        )

    def frames(self, envs: list[gym.Env]) -> np.ndarray:
        """What environments look like now: (n, H, W, C) uint8."""
        return np.stack([self.reality.frame(env) for env in envs])

    def simulator(self, frames: np.ndarray) -> DreamSimulator:
        """Dreams that start from these frames, and follow their doubt if they can."""
        simulator = DreamSimulator(self.dream, len(frames), horizon=0, doubt=self.dream.world_model.has_doubt)
        states = first_states(self.dream, frames, self.starts == "official")
        errors = drawing_errors(self.dream, states, frames) if simulator.follows_doubt else None
        simulator.reset(states=states, errors=errors)
        return simulator

    def actions(self, actions: list) -> torch.Tensor:
        """Environment actions as the simulator takes them."""
        return torch.from_numpy(self.known.to_model(np.asarray(actions))).to(self.dream.world_model.device)

    @property
    def sparse(self) -> bool:
        """Whether rewards take few values, so that each predicted reward is either right or wrong."""
        return bool(self.dream.world_model.config.reward_values)

    def random_action(self) -> Any:
        """Drawn uniformly from the environment's action space."""
        return self.known.sample(self.rng)

    def harmless_action(self, env: gym.Env) -> Any:
        """Drawn uniformly from the actions that do not end the episode; any action if none is found.

        Of continuous actions `DRAWS` are tried.
        """
        if self.known.discrete:
            actions = list(self.known.to_env(self.rng.permutation(self.known.count)))
        else:
            actions = [self.random_action() for _ in range(DRAWS)]
        return next((action for action in actions if not self.reality.ends(env, action)), actions[0])

    def draw(self, simulator: DreamSimulator, rows: np.ndarray) -> np.ndarray:
        """The frames of the dreams in these rows: (n, H, W, C) float32 in [0, 1]."""
        states = simulator.state[torch.from_numpy(rows).to(simulator.device)]
        frames = [self.dream.world_model.render(chunk) for chunk in states.split(64)]
        return torch.cat(frames).permute(0, 2, 3, 1).cpu().numpy()


class Outcomes:
    """Rewards and endings of steps in lockstep, collected."""

    def __init__(self) -> None:
        self.ended: list[tuple[bool, bool]] = []
        self.paid: list[tuple[float, float]] = []
        self.returns: list[float] = []

    def summary(self, sparse: bool) -> dict[str, Estimate | None]:
        """Figures, None where there is nothing to count.

        Args:
            sparse: whether rewards take few values.
        """
        ended = np.asarray(self.ended, dtype=bool).reshape(-1, 2)
        paid = np.asarray(self.paid, dtype=np.float64).reshape(-1, 2)
        error = np.abs(paid[:, 0] - paid[:, 1])
        summary = {
            "endings right": share(ended[:, 0] == ended[:, 1]),
            "termination recall": share(ended[ended[:, 0], 1]),
            "termination precision": share(ended[ended[:, 1], 0]),
        }
        if sparse:
            right = error < REWARD_TOLERANCE
            summary["rewards right"] = share(right)
            summary["reward recall"] = share(right[paid[:, 0] != 0])
            summary["reward precision"] = share(right[paid[:, 1] != 0])
        summary["reward absolute error"] = mean(error)
        summary["return absolute error"] = mean(np.asarray(self.returns))
        return summary


def lockstep(
    bench: Bench,
    envs: list[gym.Env],
    choose: Callable[[int], Any],
    steps: int,
    each_step: Callable[[int, DreamSimulator, np.ndarray], None],
    limited: bool = True,
) -> Outcomes:
    """Steps environments and dreams together.

    A dream's return stops where the dream ends the episode, the comparison where reality does.

    Args:
        bench: whose dreams.
        envs: after a reset.
        choose: called with the number of an environment; gives its next action.
        steps: at most.
        each_step: called after each step as `each_step(t, simulator, alive)`, `alive` being (n,) bool, the environments
            whose episode had not ended before it.
        limited: whether the time limit of an environment ends its episode, or is passed over.

    Returns:
        What reality and dreams paid and ended.
    """
    simulator, outcomes = bench.simulator(bench.frames(envs)), Outcomes()
    alive, dreaming = np.ones(len(envs), dtype=bool), np.ones(len(envs), dtype=bool)
    returns, actions = np.zeros((len(envs), 2)), [bench.random_action() for _ in envs]
    for t in range(1, steps + 1):
        before = np.flatnonzero(alive)
        for i in before:
            actions[i] = choose(i)
        result = simulator.step(bench.actions(actions))
        rewards, ends = result.reward.cpu().numpy(), result.terminated.cpu().numpy()
        shown = alive.copy()
        for i in before:
            _, reward, terminated, truncated, _ = envs[i].step(actions[i])
            # a dream that has ended neither pays nor ends again
            outcomes.ended.append((bool(terminated), bool(ends[i] and dreaming[i])))
            outcomes.paid.append((float(reward), float(rewards[i]) * dreaming[i]))
            returns[i] += outcomes.paid[-1]
            dreaming[i] &= not ends[i]
            alive[i] = not (terminated or (truncated and limited))
        each_step(t, simulator, shown)
        if not alive.any():
            break
    outcomes.returns += list(np.abs(returns[:, 0] - returns[:, 1]))
    return outcomes
