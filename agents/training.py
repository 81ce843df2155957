"""Trains an agent in the dream; evaluations in reality choose the version to keep."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from nova_gym.agents.curve import Curve, RealityCheck
from nova_gym.agents.hyperparameters import ALGORITHMS, hyperparameters
from nova_gym.agents.roaming import Roaming
from nova_gym.agents.starts import PrioritizedStarts, starts_of
from nova_gym.agents.vec_env import DreamVecEnv
from nova_gym.dream import Dream
from nova_gym.envs import dream_at
from nova_gym.envs.reality.unseen import what_is_unseen
from nova_gym.errors import BadInputError

#: Fresh starts of each kind for each level that the agent learns for.
FRESH_STARTS = 300
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
) -> BaseAlgorithm:
    """An untrained agent with the settings of `HYPERPARAMETERS`.

    Args:
        algorithm: `ppo`, `a2c` or `dqn`.
        env: a `DreamVecEnv`, or what `make_reality_vec` makes; it may be wrapped.
        observation: the observations of `env`, `latent` or `pixels`.
        seed: of initial weights and exploration.
        device: as in SB3.
        log_dir: folder of TensorBoard curves; None for no curves.
        roaming: what random walks in the dream showed: an agent on latents then begins with its readings of cells, and
            hardly takes useless actions. None for an agent that begins with random weights.

    Raises:
        BadInputError: the algorithm is unknown, or cannot take the actions of `env`.
    """
    settings = hyperparameters(algorithm, observation)
    if algorithm == "dqn" and not isinstance(env.action_space, spaces.Discrete):
        raise BadInputError(f"dqn needs discrete actions, not {env.action_space}; ppo and a2c take these")
    if observation == "latent" and roaming is not None:
        settings["policy_kwargs"]["features_extractor_kwargs"] = {"readings": roaming.readings}
    if algorithm == "ppo":  # few dreams may not fill a mini-batch
        settings["batch_size"] = min(settings["batch_size"], settings["n_steps"] * env.num_envs)
    logs = str(log_dir) if log_dir else None
    agent = ALGORITHMS[algorithm](env=env, seed=seed, device=device, tensorboard_log=logs, **settings)
    logits = getattr(agent.policy, "action_net", None)
    if roaming is not None and logits is not None and isinstance(env.action_space, spaces.Discrete):
        with torch.no_grad():
            logits.bias[torch.from_numpy(~roaming.useful).to(logits.bias.device)] = USELESS
    return agent


def train_agent(
    dream: Dream | str = "minigrid",
    algorithm: str = "ppo",
    steps: int = 300_000,
    num_dreams: int = 256,
    observation: str = "latent",
    seed: int = 0,
    device: str = "auto",
    output: Path | None = None,
    log_dir: Path | None = None,
    evaluations: int = 2,
    episodes: int = 64,
    patience: float = 0.15,
    agent: BaseAlgorithm | None = None,
    realities: Sequence[str] = (),
    progress: Progress = lambda part, done, total, text="": None,
) -> tuple[BaseAlgorithm, Curve]:
    """Trains an agent in the dream alone. Evaluations in reality only choose the version that is kept.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file; it needs a real counterpart.
        algorithm: `ppo`, `a2c` or `dqn`, with the settings of `HYPERPARAMETERS`.
        steps: in the dream, all dreams together, at least 1; SB3 rounds up to whole rollouts.
        num_dreams: how many dreams are stepped as one batch.
        observation: `latent` or `pixels`.
        seed: of initial weights, starts and exploration.
        device: `auto`, `cpu`, `cuda` …, of dream and agent.
        output: zip file that each evaluation writes the best version so far to; None writes no file.
        log_dir: folder of TensorBoard curves; None for no curves.
        evaluations: how often to evaluate in dream and reality, evenly spread, the last time at the end; at least 1.
        episodes: real episodes in each evaluation, at least 1.
        patience: share of the horizon, in (0, 1], at which training episodes are truncated. Without that, an agent that
            cannot reach an end yet spends its time on few starts, and may learn to use the drift of long dreams. Take 1
            if successes take long.
        agent: an agent to train further, instead of a new one.
        realities: ids of real environments with frames of one size, to learn for all of them: episodes start from
            fresh resets of each, and each evaluation takes place in each. Empty for the dream's own.
        progress: called as `progress(part, done, total, text)`.

    Returns:
        The version that was best in reality, and the curve.

    Raises:
        BadInputError: an argument is unknown or out of range, or the dream has no real counterpart.
    """
    if min(steps, evaluations, episodes) < 1:
        raise BadInputError(f"steps, evaluations and episodes must be at least 1: {steps}, {evaluations}, {episodes}")
    if not 0.0 < patience <= 1.0:
        raise BadInputError(f"patience is a share of the horizon, above 0 and at most 1, not {patience}")
    began = time.monotonic()
    hyperparameters(algorithm, observation)  # an unknown one is refused before anything is made
    dream = (dream if isinstance(dream, Dream) else Dream.load(dream)).to(device)
    levels = levels_of(dream, realities, seed, progress)
    longest = math.ceil(patience * levels[0].card.horizon)
    kinds = starts_of(levels)
    roaming = Roaming.through(levels[0], torch.cat(list(kinds.values())), seed)
    starts = PrioritizedStarts(kinds | {"close": roaming.close}, seed)
    env = DreamVecEnv(
        replace(levels[0], starts={"training": starts.bank}),
        num_dreams,
        observation,
        starts="training",
        device=device,
        max_episode_steps=longest,
    )
    if agent is None:
        agent = make_agent(algorithm, env, observation, seed, device, log_dir, roaming)
    else:
        if agent.n_envs != num_dreams:
            raise BadInputError(
                f"the agent to train further learned from {agent.n_envs} dreams at a time, not {num_dreams}"
            )
        agent.set_env(env)
        agent.set_random_seed(seed)
    check = RealityCheck(levels, observation, steps, evaluations, episodes, seed, output, began, progress)
    try:
        agent.learn(steps, callback=[starts, check])
    finally:
        env.close()
        check.close()
    agent.set_parameters(check.best)
    return agent, check.curve


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
