"""Finds where a dream misleads an agent: replays its dream actions in reality, in lockstep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.type_aliases import PolicyPredictor

from nova_gym.agents.actions import own_actions
from nova_gym.agents.pace import longest_episode
from nova_gym.agents.reality_vec import FIRST_UNSEEN_SEED
from nova_gym.agents.saving import agent_observation
from nova_gym.dream import Dream
from nova_gym.envs import RealityEnv, make_reality
from nova_gym.envs.adapter import DreamInterface
from nova_gym.envs.frames import drawing_errors, first_states
from nova_gym.errors import BadInputError
from nova_gym.measures import Estimate, agreement, alike, mean, share
from nova_gym.simulator import DreamSimulator

#: Rewards agree if they differ by at most this share of the largest that reality paid; of 1 where that is more.
SAME_REWARD = 0.01

Progress = Callable[..., None]


@dataclass(frozen=True)
class Parting:
    """The first step of an episode at which dream and reality differ.

    Attributes:
        step: counted from 1; 0 if the encoded start already differs.
        transition: class of the transition, as `Reality.transition_class` gives it, or `start`.
        what: what differs: `end`, `reward` or `frame`, the first of these that applies.
    """

    step: int
    transition: str
    what: str


@dataclass
class Diagnosis:
    """What the replay found.

    Attributes:
        settings: the arguments of `diagnose`.
        returns: (n, 2) float64, the return in the dream, and the return of the same actions in reality.
        partings: for each episode its parting; None if dream and reality agreed to the end.
        transitions: how many transitions of each class the agent made up to the parting.
        doubts: (m, 2) float64, of each step in the dream how much it was doubted, and 1 if dream and reality had parted
            by then, else 0; empty where the dream cannot doubt.
    """

    settings: dict[str, Any]
    returns: np.ndarray
    partings: list[Parting | None]
    transitions: Counter[str] = field(default_factory=Counter)
    doubts: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def gap(self) -> Estimate:
        """Return in the dream minus return of the same actions in reality, paired by episode."""
        return mean(self.returns[:, 0] - self.returns[:, 1])

    @property
    def parted(self) -> Estimate:
        """Share of episodes in which dream and reality part."""
        return share(np.asarray([parting is not None for parting in self.partings]))

    def by_transition(self) -> dict[str, dict[str, float]]:
        """For each class: transitions `made`, episodes that `parted` at one, and their share of the `gap`.

        The shares add up to the gap. Two more rows are `start`, for starts that the encoder got wrong, and `together`,
        for small differences of rewards in episodes that never part.
        """
        names = [name for name, _ in self.transitions.most_common()]
        rows = {
            name: {"made": self.transitions[name], "parted": 0, "gap": 0.0} for name in (*names, "start", "together")
        }
        for parting, (dreamt, real) in zip(self.partings, self.returns, strict=True):
            row = rows[parting.transition if parting else "together"]
            row["parted"] += parting is not None
            row["gap"] += float(dreamt - real) / len(self.partings)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """All numbers, JSON-ready."""
        apart = [parting for parting in self.partings if parting is not None]
        return {
            "settings": self.settings,
            "gap": self.gap.to_dict(),
            "parted": self.parted.to_dict(),
            "median step of parting": float(np.median([p.step for p in apart])) if apart else None,
            "first difference": dict(Counter(parting.what for parting in apart)),
            "transitions": self.by_transition(),
            "doubt": agreement(self.doubts[:, 0], self.doubts[:, 1] > 0),
        }


def diagnose(
    agent: PolicyPredictor,
    dream: Dream,
    episodes: int = 200,
    deterministic: bool = False,
    seed: int = 0,
    progress: Progress = lambda part, done, total, text="": None,
) -> Diagnosis:
    """Lets the agent act in dreams of real starts and replays its actions in reality, step by step.

    Args:
        agent: an SB3 agent, or an object with SB3's `predict()` and an `observation_space`.
        dream: the dream it was trained in, or the same dream at another level (`dream_at`).
        episodes: how many, at least 1. They begin at official starts, with seeds that no training used.
        deterministic: whether the agent takes its likeliest action instead of drawing one.
        seed: of starts and of drawn actions.
        progress: called as `progress(part, done, total)`.

    Raises:
        BadInputError: `episodes` is below 1, the agent reads other observations, or the dream has no real counterpart.
    """
    if episodes < 1:
        raise BadInputError(f"at least 1 episode is needed, not {episodes}")
    observation = agent_observation(agent, dream)
    if hasattr(agent, "set_random_seed"):
        agent.set_random_seed(seed)
    envs = [make_reality(dream, "pixels", device=dream.world_model.device) for _ in range(episodes)]
    frames = np.stack([env.reset(seed=FIRST_UNSEEN_SEED + 1000 * seed + i)[0] for i, env in enumerate(envs)])
    door = DreamInterface(dream, observation, "discrete", None, dream.world_model.device)
    simulator = DreamSimulator(dream, episodes, cells=dream.cells, doubt=dream.world_model.has_doubt)
    states = first_states(dream, frames, official=True)
    simulator.reset(states=states, errors=drawing_errors(dream, states, frames))
    doubts = []
    dreaming, acting = np.ones(episodes, dtype=bool), np.ones(episodes, dtype=bool)
    memory, first, paid = None, np.ones(episodes, dtype=bool), 1.0
    found = Diagnosis(
        {"episodes": episodes, "deterministic": deterministic, "seed": seed}, np.zeros((episodes, 2)), [None] * episodes
    )
    for i in np.flatnonzero(~_same(simulator, envs, frames, list(range(episodes)))):
        found.partings[i] = Parting(0, "start", "frame")  # the encoder's error, not that of a transition
    for step in range(1, longest_episode(dream) + 1):
        seen = door.observe(simulator.state)
        actions, memory = agent.predict(seen, memory, first, deterministic=deterministic)
        first = np.zeros(episodes, dtype=bool)
        actions = own_actions(door.action_space, actions)
        result = door.step(simulator, actions)
        rewards = result.reward.cpu().numpy()
        ends = (result.terminated | result.truncated).cpu().numpy()
        compared = []
        for i in np.flatnonzero(dreaming):
            together = found.partings[i] is None
            kind = envs[i].reality.transition_class(envs[i], actions[i])
            reward, ended = 0.0, True
            if acting[i]:
                frames[i], reward, terminated, truncated, _ = envs[i].step(actions[i])
                ended = terminated or truncated
                acting[i] = not ended
            found.returns[i] += float(rewards[i]), reward
            paid = max(paid, abs(reward))
            if together:
                found.transitions[kind] += 1
                if ended != ends[i]:
                    found.partings[i] = Parting(step, kind, "end")
                elif abs(rewards[i] - reward) > SAME_REWARD * paid:
                    found.partings[i] = Parting(step, kind, "reward")
                else:
                    compared.append((i, kind))
        for (i, kind), same in zip(compared, _same(simulator, envs, frames, [i for i, _ in compared]), strict=True):
            if not same:
                found.partings[i] = Parting(step, kind, "frame")
        if simulator.follows_doubt:
            parted = np.array([parting is not None for parting in found.partings], np.float64)
            doubts.append(np.stack([simulator.doubt.cpu().numpy(), parted], axis=1)[dreaming])
        dreaming &= ~ends
        progress("replaying", int(episodes - dreaming.sum()), episodes)
        if not dreaming.any():
            break
    for env in envs:
        env.close()
    found.doubts = np.concatenate([found.doubts, *doubts])
    return found


def _same(simulator: DreamSimulator, envs: list[RealityEnv], frames: np.ndarray, rows: list[int]) -> np.ndarray:
    """(len(rows),) bool, whether dream and reality look alike in these rows."""
    if not rows:
        return np.zeros(0, dtype=bool)
    states = simulator.state[torch.as_tensor(rows, device=simulator.device)]
    drawn = torch.cat([simulator.dream.world_model.render(part) for part in states.split(64)])
    drawn = drawn.permute(0, 2, 3, 1).cpu().numpy()
    truth = frames[rows].astype(np.float32) / 255.0
    return alike(truth, drawn, envs[0].reality.tile(envs[0]))
