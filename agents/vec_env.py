"""The dream as a Stable-Baselines3 `VecEnv`: N dreams stepped as one batch."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from nova_gym.agents.actions import own_actions, plain_space
from nova_gym.agents.perception import Perception
from nova_gym.dream import Dream
from nova_gym.envs import NovaDreamVectorEnv
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.adapter import INFO
from nova_gym.envs.arguments import as_array
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.registry import find_reality
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.model.inr import Resolution
from nova_gym.simulator import NO_DOUBT
from nova_gym.tensor_file import DAMAGED, first_line

#: What becomes of steps that the dream doubts.
DOUBT = ("ignore", "truncate", "penalise")
#: Doubt from which on a step is more likely wrong than right.
DOUBTFUL = 0.5


class DreamVecEnv(VecEnv):
    """N dreams as SB3's `VecEnv`: `NovaDreamVectorEnv`, with a reset in the step that ends an episode.

    If the episode of dream i ended in a step, `infos[i]` holds:

    - `terminal_observation`, the last observation;
    - `episode`, as SB3's `Monitor` gives it: return `r`, length `l`, and seconds since the start `t`;
    - `lost`, a bool, whether the dream was lost (see `NovaDreamEnv`);
    - `TimeLimit.truncated`, a bool, True at a time limit only. SB3 estimates a value from the last state there, which
      would be wrong for a lost dream;
    - `is_success`, a bool, if the real environment tells successes (`Reality.success`): an end that pays.

    Otherwise `infos[i]` is empty. Discrete actions count from 0, as SB3 wants them.

    Of dreams with memory, latents are observed as in reality, where frames differ a little from what was foreseen
    (`Perception`). `NovaDreamVectorEnv` shows the dreams' own states.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file.
        num_dreams: how many, N.
        observation, action, starts, device, max_episode_steps, resolution, reality: as in `NovaDreamEnv`.
        doubt: what becomes of steps that the dream doubts. `ignore`: nothing. `truncate`: the episode ends before the
            step that is more likely wrong than right, which pays nothing; SB3 goes on from the value of the last state
            that was trusted. `penalise`: a reward counts by as much as the dream trusts it, a cost by as much more.
            What `episode` and `rewards` tell is what the dream paid.

    Attributes:
        rewards: (N,) float64, what the last step paid; wrappers may scale what they pass on.
        terminated: (N,) bool, which dreams ended their episodes by themselves in the last step.

    Raises:
        BadInputError: an argument is unknown or out of range.
    """

    def __init__(
        self,
        dream: Dream | str = "minigrid",
        num_dreams: int = 256,
        observation: str = "latent",
        action: str = "discrete",
        starts: str | None = None,
        device: str | torch.device = "auto",
        max_episode_steps: int | None = None,
        resolution: Resolution | None = None,
        reality: str | None = None,
        doubt: str = "ignore",
    ) -> None:
        check_doubt(doubt)
        self.doubt = doubt
        self.envs = NovaDreamVectorEnv(
            num_dreams,
            dream=dream,
            observation=observation,
            action=action,
            render_mode="rgb_array",
            resolution=resolution,
            starts=starts,
            device=device,
            max_episode_steps=max_episode_steps,
            autoreset_mode=AutoresetMode.SAME_STEP,
            reality=reality,
            doubt=doubt != "ignore",
        )
        if doubt == "truncate":
            self.envs.doubt_limit = DOUBTFUL
        self._knows_success = knows_success(self.envs.dream)
        self._actions = np.zeros(0)
        self.rewards, self.terminated = np.zeros(num_dreams), np.zeros(num_dreams, dtype=bool)
        self._returns, self._began = np.zeros(num_dreams), time.monotonic()
        self._seen: VecEnvObs = np.zeros(0)  # what the dreams showed before the step
        model = self.envs.dream.world_model
        self._perception = Perception(model) if observation == "latent" and model.has_memory else None
        self._own = dream_actions(self.envs.dream) if action == "discrete" else None
        super().__init__(num_dreams, self.envs.single_observation_space, plain_space(self.envs.single_action_space))
        self.metadata = {**self.metadata, "render_fps": self.envs.metadata["render_fps"]}

    @property
    def dream(self) -> Dream:
        """The dream behind this environment."""
        return self.envs.dream

    def reset(self) -> VecEnvObs:
        """Resets all dreams, with the seeds of `seed()` (dream i has s + i) and the options of `set_options()`.

        Returns:
            Observations (N, …).

        Raises:
            BadInputError: an option is unknown or cannot be a start.
        """
        observations, info = self.envs.reset(seed=list(self._seeds))
        for i, options in enumerate(self._options):
            said = info
            if options:
                mask = np.arange(self.num_envs) == i
                observations, said = self.envs.reset(options={**options, "reset_mask": mask})
            self._note_start(i, said)
        self._returns[:] = 0.0
        if self._perception is not None:
            if self._seeds[0] is not None:
                self._perception.seed(self._seeds[0])
            observations = self._perception.begin(observations)
        self._reset_seeds()
        self._reset_options()
        self._seen = observations
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Stores the actions (N, …) for `step_wait`."""
        actions = as_array(actions, "actions")
        if actions.shape[:1] != (self.num_envs,):
            raise BadInputError(f"actions of shape {actions.shape} for {self.num_envs} dreams")
        try:
            self._actions = own_actions(self.envs.single_action_space, actions)
        except DAMAGED as error:
            raise BadInputError(f"invalid actions of shape {actions.shape}: {first_line(error)}") from error

    def step_wait(self) -> VecEnvStepReturn:
        """Steps all dreams by the stored actions.

        Returns:
            Observations (N, …), rewards (N,) float32, ends (N,) bool, and N infos; see the class.

        Raises:
            BadInputError: the actions are not in the action space.
        """
        observations, rewards, terminated, truncated, info = self.envs.step(self._actions)
        ended = terminated | truncated
        self.rewards, self.terminated = rewards, terminated
        self._returns += rewards
        doubted = np.zeros(self.num_envs, dtype=bool)
        if self.doubt != "ignore":
            doubts = np.where(ended, info["final_info"]["doubt"] if ended.any() else 0.0, info["doubt"])
            doubted = (doubts > DOUBTFUL) & (self.doubt == "truncate")
            rewards = np.where(doubted, 0.0, rewards - np.abs(rewards) * doubts * (self.doubt == "penalise"))
            self.terminated = terminated = terminated & ~doubted  # it ends before that step, which is never made
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(ended):
            infos[i]["terminal_observation"] = self._seen[i] if doubted[i] else info["final_obs"][i]
            infos[i]["lost"] = lost = bool(info["final_info"]["lost"][i])
            infos[i]["TimeLimit.truncated"] = bool(doubted[i] or (truncated[i] and not terminated[i])) and not lost
            length = int(info["final_info"]["step"][i])
            seconds = round(time.monotonic() - self._began, 6)
            infos[i]["episode"] = {"r": float(self._returns[i]), "l": length, "t": seconds}
            self._returns[i] = 0.0
            self._note_start(i, info)
            if self._knows_success:
                infos[i]["is_success"] = bool(terminated[i] and self.rewards[i] > 0)
        if self._perception is not None:
            heard = self._perception.hear(observations, self._model_actions())
            observations = self._perception.begin(observations, ended) if ended.any() else heard
        self._seen = observations
        return observations, rewards.astype(np.float32), ended, infos

    def _model_actions(self) -> np.ndarray | None:
        """The stored actions as the model takes them; None for latent ones, which no memory hears."""
        return None if self._own is None else self._own.to_model(self._actions)

    def _note_start(self, i: int, info: dict[str, Any]) -> None:
        """Stores the `info` of dream i's reset in SB3's `reset_infos`."""
        self.reset_infos[i] = {key: info[key][i] for key in INFO}

    def close(self) -> None:
        """Closes the environment. A dream holds no window or process, so this may be left out."""
        self.envs.close()

    def get_images(self) -> tuple[np.ndarray, ...]:
        """N frames (H, W, 3) uint8, at the resolution of the environment."""
        return self.envs.render()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of `NovaDreamVectorEnv`, repeated for each dream in `indices`; spaces are of a single dream."""
        own = attr_name in ("observation_space", "action_space")
        value = getattr(self if own else self.envs, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets an attribute of `NovaDreamVectorEnv`, for all dreams at once.

        Raises:
            BadInputError: `indices` names only some of the dreams.
        """
        self._need_all(indices, f"attribute {attr_name!r}")
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any):
        """Calls a method of `NovaDreamVectorEnv` once, for all dreams.

        Returns:
            For each dream in `indices`, its item of a result with N items, otherwise the whole result.

        Raises:
            BadInputError: the method is `reset` or `step`; call those of this class.
        """
        if method_name in ("reset", "step"):
            raise BadInputError(f"call {method_name}() of the VecEnv itself: it is for all dreams together")
        value = getattr(self.envs, method_name)(*method_args, **method_kwargs)
        each = isinstance(value, (tuple, list)) and len(value) == self.num_envs
        return [value[i] if each else value for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """True for SB3's `Monitor`, since `infos` hold what it would record; False for other wrappers."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _need_all(self, indices: VecEnvIndices, what: str) -> None:
        if indices is not None and sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise BadInputError(f"{what} belongs to all {self.num_envs} dreams together; leave out the indices")


def check_doubt(doubt: str, dream: Dream | None = None) -> None:
    """Refuses an unknown word of `DOUBT`, and for a dream that cannot doubt all but `ignore`.

    Raises:
        BadInputError: it is refused.
    """
    if doubt not in DOUBT:
        raise BadInputError(f"unknown doubt {doubt!r}; there are {', '.join(DOUBT)}")
    if doubt != "ignore" and dream is not None and not dream.world_model.has_doubt:
        raise BadInputError(NO_DOUBT)


def knows_success(dream: Dream) -> bool:
    """Whether the real environment behind a dream tells successes.

    Without that environment on this machine, those are taken to do so whose rewards are a success's alone.
    """
    card = dream.card
    try:
        return bool(card.env_id) and _tells_success(card.env_id, json.dumps(card.env_kwargs), dream.frame_size)
    except BadInputError:
        return bool(card.reward_discount)


@cache
def _tells_success(env_id: str, env_kwargs: str, frame_size: tuple[int, int]) -> bool:
    reality = find_reality(RealitySpec(env_id, json.loads(env_kwargs), frame_size))
    return type(reality).success is not Reality.success
