"""Policies by name, for `nova-gym record --policy`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from nova_gym.errors import BadInputError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from nova_gym.dream import Dream

Policy = Callable[[Any, gym.Env], Any]


def policy_of(name: str, dream: Dream | None, seed: int) -> tuple[Policy, str]:
    """A policy as `record` takes it, and the kind of a dream's observations that it reads ("" for none).

    Args:
        name: path of an agent that was trained in `dream`. Or of an SB3 zip that you trust, for it is a pickle, of an
            agent of this environment's own observations. Or `module:callable`, called with the environment's own
            observation and the environment; it gives an action.
        dream: that an agent was trained in; None for none.
        seed: of an agent's draws.

    Raises:
        BadInputError: it is none of these, or the agent is of a dream and that is missing.
    """
    if Path(name).suffix not in (".safetensors", ".zip"):
        from nova_gym.envs.reality.environments import find_callable

        if dream is not None:
            raise BadInputError("--dream goes with an agent that was trained in it, .safetensors or .zip")
        return find_callable(name), ""
    from stable_baselines3.common.utils import set_random_seed

    set_random_seed(seed)
    if dream is not None:
        from nova_gym.agents.saving import agent_observation, load_agent

        agent = load_agent(name, dream, device="cpu")
        return _Agent(agent, check=False), agent_observation(agent, dream)
    if not name.endswith(".zip"):
        raise BadInputError(f"{name} was trained in a dream: --dream FILE says in which")
    return _Agent(_load(Path(name))), ""


class _Agent:
    """An SB3 agent that reads what its environment gives it."""

    def __init__(self, agent: BaseAlgorithm, check: bool = True) -> None:
        self._agent, self._checked = agent, not check

    def __call__(self, observation: Any, env: gym.Env) -> Any:
        from nova_gym.agents.actions import own_actions

        if not self._checked:
            self._check(env)
        action = self._agent.predict(observation, deterministic=False)[0]
        return own_actions(env.action_space, np.asarray(action)[None])[0]  # an agent's actions count from 0

    def _check(self, env: gym.Env) -> None:
        for kind in ("observation_space", "action_space"):
            own, theirs = getattr(self._agent, kind), getattr(env, kind)
            if own.shape != theirs.shape or type(own) is not type(theirs):
                raise BadInputError(f"the agent's {kind.replace('_', ' ')} is {own}; the environment's is {theirs}")
        self._checked = True


def _load(path: Path) -> BaseAlgorithm:
    import stable_baselines3

    from nova_gym.agents.saving import read_zip_header

    algorithm, origin = read_zip_header(path, {"policy_delay": "td3"})
    if origin:
        raise BadInputError(f"{path} was trained in a dream: --dream FILE says in which")
    gym.logger.warn(f"loading {path} runs code that it holds, for it is a pickle: load only what you trust")
    try:
        return getattr(stable_baselines3, algorithm.upper()).load(path, device="cpu")
    except Exception as error:  # a pickle of any version
        raise BadInputError(f"{path} cannot be loaded as {algorithm.upper()}: {error}") from error
