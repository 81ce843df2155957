"""Trains an agent in the dream; evaluations in reality choose the version to keep."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from nova_gym.agents.actions import plain_space
from nova_gym.agents.by_heart import learn_by_heart, takes_a_plan
from nova_gym.agents.curve import EVALUATING, Curve, RealityCheck
from nova_gym.agents.fading import FadingEntropy
from nova_gym.agents.features import FieldFeatures
from nova_gym.agents.hyperparameters import (
    ALGORITHMS,
    BUFFER_BYTES,
    check_actions,
    default_algorithm,
    default_doubt,
    default_dreams,
    hyperparameters,
)
from nova_gym.agents.layouts import has_few_layouts
from nova_gym.agents.pace import Pace, longest_episode
from nova_gym.agents.reality_vec import make_reality_vec
from nova_gym.agents.roaming import Roaming
from nova_gym.agents.saving import check_agent_file
from nova_gym.agents.scaling import scaled_rewards
from nova_gym.agents.starts import PrioritizedStarts, starts_of
from nova_gym.agents.vec_env import DreamVecEnv, check_doubt
from nova_gym.dream import Dream
from nova_gym.envs import dream_at
from nova_gym.envs.adapter import action_space
from nova_gym.envs.reality.unseen import what_is_unseen
from nova_gym.errors import BadInputError
from nova_gym.files import make_folder

#: Fresh starts of each kind for each level that the agent learns for.
FRESH_STARTS = 300
#: Steps of the real environment that an evaluation during training takes, where all episodes are long.
EVALUATED = 6_400
#: Steps by which it is known how long evaluations take in reality.
TIMED = 32
#: Share of a limit of time that an agent may take to learn by heart.
BY_HEART = 0.25
#: Added to the logits of actions that never changed anything, before learning begins.
USELESS = -5.0

Progress = Callable[..., None]


def make_agent(
    algorithm: str,
    env: VecEnv,
    observation: str = "latent",
    seed: int = 0,
    device: str = "auto",
    log_dir: Path | None = None,
    roaming: Roaming | None = None,
    gamma: float | None = None,
    placed: bool = False,
) -> BaseAlgorithm:
    """An untrained agent with the settings of `HYPERPARAMETERS`.

    Args:
        algorithm: `ppo`, `a2c`, `dqn` or `sac`.
        env: a `DreamVecEnv`, or what `make_reality_vec` makes; it may be wrapped.
        observation: the observations of `env`, `latent` or `pixels`.
        seed: of initial weights and exploration.
        device: as in SB3.
        log_dir: folder of TensorBoard curves; None for no curves.
        roaming: what random walks in the dream showed: an agent on fields then begins with its readings of cells, and
            hardly takes useless actions. None for an agent that begins with random weights.
        gamma: discount, None for that of `HYPERPARAMETERS`.
        placed: whether an agent on fields may know their places (`PlacedFeatures`). It then acts in fields of one size.

    Raises:
        BadInputError: the algorithm is unknown, or cannot take the actions of `env`.
    """
    shape = env.observation_space.shape
    settings = hyperparameters(algorithm, observation, shape, placed)
    check_actions(algorithm, env.action_space)
    if gamma is not None:
        settings["gamma"] = gamma
    reads = settings["policy_kwargs"]["features_extractor_class"]
    if roaming is not None and issubclass(reads, FieldFeatures):
        settings["policy_kwargs"]["features_extractor_kwargs"] = {"readings": roaming.readings}
    if "batch_size" in settings and "n_steps" in settings:  # few dreams may not fill a mini-batch
        settings["batch_size"] = min(settings["batch_size"], settings["n_steps"] * env.num_envs)
    if "buffer_size" in settings:  # it keeps an observation and the one after it
        item = 2 * math.prod(shape) * env.observation_space.dtype.itemsize
        settings["buffer_size"] = max(env.num_envs, min(settings["buffer_size"], BUFFER_BYTES // item))
    logs = str(log_dir) if log_dir else None
    agent = ALGORITHMS[algorithm](env=env, seed=seed, device=device, tensorboard_log=logs, **settings)
    logits = getattr(agent.policy, "action_net", None)
    if roaming is not None and logits is not None and isinstance(env.action_space, spaces.Discrete):
        with torch.no_grad():
            logits.bias[torch.from_numpy(~roaming.useful).to(logits.bias.device)] = USELESS
    return agent


def train_agent(
    dream: Dream | str = "minigrid",
    algorithm: str | None = None,
    steps: int | None = None,
    num_dreams: int | None = None,
    observation: str = "latent",
    seed: int = 0,
    device: str = "auto",
    output: Path | None = None,
    log_dir: Path | None = None,
    evaluations: int = 2,
    episodes: int | None = None,
    patience: int | None = None,
    agent: BaseAlgorithm | None = None,
    realities: Sequence[str] = (),
    progress: Progress = lambda part, done, total, text="": None,
    gamma: float | None = None,
    minutes: float | None = None,
    doubt: str | None = None,
) -> tuple[BaseAlgorithm, Curve]:
    """Trains an agent in the dream alone. Evaluations in reality only choose the version that is kept.

    What is None follows from the dream (`Pace`), from the recorder's summary in its card and from random walks in it.
    Where these met nearly all that there is, a new agent of PPO or A2C is told what is best there (`learn_by_heart`).
    Rewards are scaled for learning where returns are not about 1; what is reported are always the true ones.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file; it needs a real counterpart.
        algorithm: `ppo`, `a2c`, `dqn` or `sac`, with the settings of `HYPERPARAMETERS`; None for `sac` where actions
            are continuous and the agent reads states, else `ppo`.
        steps: in the dream, all dreams together, at least 1; SB3 rounds up to whole rollouts. With `minutes`, None
            stands for as many as these are enough for.
        num_dreams: how many dreams are stepped as one batch.
        observation: `latent` or `pixels`.
        seed: of initial weights, starts and exploration.
        device: `auto`, `cpu`, `cuda` …, of dream and agent.
        output: file that each evaluation writes the best version so far to; None writes no file.
        log_dir: folder of TensorBoard curves; None for no curves.
        evaluations: how often to evaluate in dream and reality, evenly spread, the last time at the end; at least 1.
        episodes: real episodes in each evaluation, at least 1; None for at most 64, fewer where episodes are long or,
            with `minutes`, where reality is slow.
        patience: steps at which training episodes are truncated, at least 1. Without that, an agent that cannot reach
            an end yet spends its time on few starts, and may learn to use the drift of long dreams.
        agent: an agent to train further, instead of a new one.
        realities: ids of real environments with frames of one size, to learn for all of them: episodes start from
            fresh resets of each, and each evaluation takes place in each. Empty for the dream's own.
        progress: called as `progress(part, done, total, text)`.
        gamma: discount of a reward for each step that it comes later, in (0, 1).
        minutes: of wall clock, after which training stops and is evaluated for the last time; None for no limit.
        doubt: what becomes of steps that the dream doubts, as in `DreamVecEnv`; None for `default_doubt`.

    Returns:
        The version that was best in reality, and the curve.

    Raises:
        BadInputError: an argument is unknown or out of range, or the dream has no real counterpart.
    """
    given = [n for n in (steps, num_dreams, evaluations, episodes, patience) if n is not None]
    if min(given) < 1:
        raise BadInputError("steps, dreams, evaluations, episodes and patience must be at least 1")
    if gamma is not None and not 0.0 < gamma < 1.0:
        raise BadInputError(f"a discount is above 0 and below 1, not {gamma}")
    if minutes is not None and not minutes > 0.0:
        raise BadInputError(f"minutes must be more than 0, not {minutes}")
    if output is not None:
        check_agent_file(output)
    if log_dir is not None:
        make_folder(log_dir)
    began = time.monotonic()
    dream = (dream if isinstance(dream, Dream) else Dream.load(dream)).to(device)
    algorithm = algorithm or default_algorithm(dream, observation)
    hyperparameters(algorithm, observation)  # an unknown one is refused before anything is made
    check_actions(algorithm, plain_space(action_space(dream, "discrete")))
    doubt = default_doubt(dream, algorithm) if doubt is None else doubt
    check_doubt(doubt, dream)
    levels = levels_of(dream, realities, seed, progress)
    kinds = starts_of(levels)
    roaming = Roaming.through(levels[0], torch.cat(list(kinds.values())), seed)
    pace = Pace.of(levels[0], roaming, observation)
    steps = steps or pace.steps(algorithm, minutes is not None)
    gamma = gamma or (pace.gamma if agent is None else agent.gamma)
    seen = torch.cat(list(kinds.values()))[:, : dream.world_model.config.rank]
    placed = len(levels) == 1 and (roaming.known is not None or has_few_layouts(seen, roaming.mobile))
    starts = PrioritizedStarts(kinds | {"close": roaming.close}, seed, roaming.usual)
    env = DreamVecEnv(
        replace(levels[0], starts={"training": starts.bank}),
        num_dreams or (default_dreams(algorithm, observation, dream, placed) if agent is None else agent.n_envs),
        observation,
        starts="training",
        device=device,
        max_episode_steps=patience or pace.longest,
        doubt=doubt,
    )
    scaled = scaled_rewards(env, roaming.usual, gamma, dream.world_model.config.reward_values, agent)
    if agent is None:
        agent = make_agent(algorithm, scaled, observation, seed, device, log_dir, roaming, gamma, placed)
        if taught := roaming.known is not None and takes_a_plan(agent, observation):
            limit = BY_HEART * 60.0 * (minutes or math.inf)
            told = lambda done, total: progress("learning by heart", done, total)  # noqa: E731
            learn_by_heart(agent, scaled, roaming.known, gamma, seed, limit, told)
    else:
        taught = False
        continue_in(agent, scaled, seed)
    check = RealityCheck(
        levels,
        observation,
        steps,
        evaluations,
        episodes or episodes_for(levels[0], EVALUATING * 60.0 * (minutes or math.inf) / evaluations / len(levels)),
        seed,
        output,
        began,
        progress,
        minutes,
        pace.steps(algorithm),
        taught,
    )
    try:
        agent.learn(steps, callback=[starts, check, FadingEntropy(check)])
    finally:
        env.close()
        check.close()
    agent.set_parameters(check.best)
    return agent, check.curve


def continue_in(agent: BaseAlgorithm, env: VecEnv, seed: int) -> None:
    """Lets an agent go on in another environment.

    Raises:
        BadInputError: it learned from another number of dreams.
    """
    if agent.n_envs != env.num_envs:
        raise BadInputError(
            f"the agent to train further learned from {agent.n_envs} dreams at a time, not {env.num_envs}"
        )
    agent.set_env(env)
    agent.set_random_seed(seed)
    if getattr(agent, "replay_buffer", None) is not None:  # what it holds was dreamt by another dream
        agent.replay_buffer.reset()


def episodes_for(dream: Dream, seconds: float = math.inf) -> int:
    """Real episodes of an evaluation during training, in one level.

    As many as take `EVALUATED` steps, 8 to 64; fewer where that takes too long.

    Args:
        dream: of the level, with a real counterpart.
        seconds: that they may take; 2 episodes are played all the same.
    """
    longest = longest_episode(dream)
    count = min(max(EVALUATED // longest, 8), 64)
    if seconds == math.inf:
        return count
    with closing(make_reality_vec(dream, 1, device=dream.world_model.device)) as env:
        actions = [[env.action_space.sample()] for _ in range(TIMED)]
        env.reset()
        began = time.monotonic()
        for action in actions:
            env.step(action)
        step = (time.monotonic() - began) / TIMED
    return min(count, max(2, int(seconds / (longest * step))))


def levels_of(
    dream: Dream,
    realities: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = lambda part, done, total, text="": None,
) -> list[Dream]:
    """The dream at each of several levels of one size, with starts of each.

    Where a level shows what the dream has never seen, a warning names that.

    Args:
        dream: with a real counterpart.
        realities: ids of the levels' environments; the dream itself if there are none.
        seed: of fresh starts.
        progress: called as `progress(part, done, total)`.

    Raises:
        BadInputError: a level cannot be dreamt (`dream_at`), or their frames have different sizes.
    """
    levels = [dream_at(dream, env_id) for env_id in realities or (None,)]
    if len({level.frame_size for level in levels}) > 1:
        sizes = ", ".join(f"{level.card.env_id} {level.frame_size[0]}×{level.frame_size[1]}" for level in levels)
        raise BadInputError(f"an agent learns from frames of one size at a time, not from {sizes}")
    made = []
    for level in levels:
        said = lambda done, total, of=level.card.env_id: progress(f"starts of {of}", done, total)  # noqa: E731
        if level is not dream and (unseen := what_is_unseen(level)):
            gym.logger.warn(unseen)
        made.append(level if level.starts else dream_at(level, None, FRESH_STARTS, seed, said))
    return made
