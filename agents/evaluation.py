"""Measures how good an agent is in the dream and in reality, and the gap between the two."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from nova_gym.agents.actions import PlainActions
from nova_gym.agents.pace import longest_episode
from nova_gym.agents.reality_vec import FIRST_UNSEEN_SEED, make_reality_vec
from nova_gym.agents.saving import agent_observation
from nova_gym.agents.vec_env import DreamVecEnv
from nova_gym.dream import Dream
from nova_gym.envs import NovaDreamEnv, make_reality
from nova_gym.errors import BadInputError
from nova_gym.measures import Estimate, difference, mean, share
from nova_gym.pictures import beside

#: How an agent chooses: it draws from its policy, or takes its likeliest action.
MODES = ("stochastic", "deterministic")

Progress = Callable[..., None]


@dataclass(frozen=True)
class Episodes:
    """Results of n played episodes.

    Attributes:
        returns: (n,) float64, sums of rewards.
        lengths: (n,) int64, in steps.
        successes: (n,) bool; None if the environment knows no success.
        held_out: (n,) bool, whether the layout is held out; None if the environment does not tell.
    """

    returns: np.ndarray
    lengths: np.ndarray
    successes: np.ndarray | None = None
    held_out: np.ndarray | None = None


@dataclass
class AgentReport:
    """What an evaluation found.

    Attributes:
        settings: environment, number of episodes and seed.
        modes: by mode (`stochastic`, `deterministic`), then by place (`dream`, `reality`), then by measure (`return`,
            `length`, and where it is known `success` and `success on held-out layouts`).
        gap: by mode, mean return in the dream minus mean return in reality, with Welch's 95 % interval.
    """

    settings: dict[str, Any]
    modes: dict[str, dict[str, dict[str, Estimate | None]]] = field(default_factory=dict)
    gap: dict[str, Estimate] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All numbers, JSON-ready."""
        plain = lambda row: {key: value.to_dict() for key, value in row.items() if value is not None}  # noqa: E731
        return {
            "settings": self.settings,
            "modes": {
                mode: {place: plain(row) for place, row in places.items()} for mode, places in self.modes.items()
            },
            "gap": plain(self.gap),
        }


def play(
    agent: PolicyPredictor,
    env: VecEnv,
    episodes: int,
    deterministic: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Episodes:
    """Plays whole episodes.

    Args:
        agent: an object with SB3's `predict()`.
        env: a `DreamVecEnv`, or an environment in SB3's `VecMonitor`. It is reset first.
        episodes: how many, spread evenly over the environments.
        deterministic: whether the agent takes its likeliest action instead of drawing one.
        progress: called with the number of episodes played and their total.
    """
    noted: dict[str, list[bool | None]] = {"is_success": [], "held_out": []}
    ended = itertools.count(1)

    def note(seen: dict[str, Any], _: dict[str, Any]) -> None:
        if seen["done"]:
            progress(next(ended), episodes)
        for key, values in noted.items():
            if seen["done"]:
                values.append(seen["info"].get(key))

    returns, lengths = evaluate_policy(
        agent, env, episodes, deterministic=deterministic, return_episode_rewards=True, callback=note
    )
    # an episode that was stopped without a word was no success, and None is False
    known = [None if all(value is None for value in v) else np.asarray(v, dtype=bool) for v in noted.values()]
    return Episodes(np.asarray(returns, dtype=np.float64), np.asarray(lengths), *known)


def evaluate_agent(
    agent: PolicyPredictor,
    dream: Dream,
    episodes: int = 200,
    seed: int = 0,
    modes: tuple[str, ...] = MODES,
    progress: Progress = lambda part, done, total, text="": None,
) -> AgentReport:
    """Plays in the dream and in the unchanged real environment, from official starts.

    The seeds were used by no recording, training or choice of a version. The dream starts from encoded fresh resets of
    the real environment. If there are few layouts (SimpleCrossingS9N1 has 42), many seeds repeat them, so success on
    held-out layouts is reported apart.

    Args:
        agent: an SB3 agent, or an object with SB3's `predict()` and an `observation_space`.
        dream: the dream it was trained in, or the same dream at another level (`dream_at`).
        episodes: how many in each place and mode, at least 1.
        seed: of starts and of drawn actions.
        modes: some of `MODES`.
        progress: called as `progress(part, done, total)`.

    Raises:
        BadInputError: `episodes` is below 1, the agent reads other observations, or the dream has no real counterpart.
    """
    if episodes < 1:
        raise BadInputError(f"at least 1 episode is needed, not {episodes}")
    observation, device = agent_observation(agent, dream), dream.world_model.device
    count = min(32, episodes)
    limit = longest_episode(dream)
    real = make_reality_vec(dream, count, observation, device=device, max_episode_steps=limit)
    places = {
        "dream": DreamVecEnv(dream, count, observation, starts="reality", device=device, max_episode_steps=limit),
        "reality": VecMonitor(real),
    }
    report = AgentReport({"env_id": dream.card.env_id, "episodes": episodes, "seed": seed})
    for mode in modes:
        played = {}
        for place, env in places.items():
            env.seed(FIRST_UNSEEN_SEED + 1000 * seed)
            if hasattr(agent, "set_random_seed"):
                agent.set_random_seed(seed)
            said = partial(progress, f"playing, {place}, {mode}")
            played[place] = play(agent, env, episodes, mode == "deterministic", said)
        report.modes[mode] = {place: _measures(episodes) for place, episodes in played.items()}
        report.gap[mode] = difference(played["dream"].returns, played["reality"].returns)
    for env in places.values():
        env.close()
    return report


def film(agent: PolicyPredictor, dream: Dream, seed: int = 0, walks: int = 4, scale: int = 4) -> list[np.ndarray]:
    """Films the agent in reality (left) and in the dream (right), from the same starts.

    On each side the agent acts on what it sees there, and draws its actions, so the two sides may differ.

    Args:
        agent: an SB3 agent, or an object with SB3's `predict()` and an `observation_space`.
        dream: the dream it was trained in.
        seed: of starts and of drawn actions.
        walks: number of episodes.
        scale: how many times larger than the dream's frames to draw.

    Returns:
        Frames (H, 2 W + 4, C) uint8, with H and W `scale` times the dream's own. The side that ends first stands still.

    Raises:
        BadInputError: the agent reads other observations, or the dream has no real counterpart.
    """
    observation = agent_observation(agent, dream)
    height, width = dream.frame_size
    size, limit = (scale * height, scale * width), longest_episode(dream)
    device = dream.world_model.device
    real = make_reality(dream, observation, device=device)
    dreamt = NovaDreamEnv(dream, observation, render_mode="rgb_array", resolution=size, device=device)
    sides = PlainActions(real), PlainActions(dreamt)
    frames: list[np.ndarray] = []
    if hasattr(agent, "set_random_seed"):
        agent.set_random_seed(seed)
    for walk in range(walks):
        number = FIRST_UNSEEN_SEED + 1000 * seed + walk
        seen = [real.reset(seed=number)[0]]
        start = {"latent": seen[0]} if observation == "latent" else {"frame": real.frame()}
        seen.append(dreamt.reset(seed=number, options=start)[0])
        ended, memory, first = [False, False], [None, None], np.ones(1, dtype=bool)
        for step in itertools.count():
            frames.append(beside(real.draw(scale), dreamt.render()))
            if all(ended) or step == limit:
                break
            for side, env in enumerate(sides):
                if not ended[side]:
                    action, memory[side] = agent.predict(seen[side][None], memory[side], first, deterministic=False)
                    seen[side], _, terminated, truncated, _ = env.step(action[0])
                    ended[side] = terminated or truncated
            first = np.zeros(1, dtype=bool)
        frames += [frames[-1]] * 5
    for env in sides:
        env.close()
    return frames


def normalised_score(score: float, random: float, reference: float) -> float:
    """A return on the scale where 0 is acting at random and 1 a reference, such as an agent trained in reality.

    Raises:
        BadInputError: the reference is no better and no worse than acting at random.
    """
    if reference == random:
        raise BadInputError(f"the reference returns {reference}, as acting at random does: there is no scale")
    return (score - random) / (reference - random)


def _measures(played: Episodes) -> dict[str, Estimate | None]:
    measures = {"return": mean(played.returns), "length": mean(played.lengths)}
    if played.successes is not None:
        measures["success"] = share(played.successes)
        if played.held_out is not None and played.held_out.any():
            measures["success on held-out layouts"] = share(played.successes[played.held_out])
    return measures
