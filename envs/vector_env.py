"""N dreams as one Gymnasium vector environment."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from nova_gym.dream import Dream
from nova_gym.envs.adapter import DreamInterface
from nova_gym.envs.arguments import as_array, check_numbers, checked_seed
from nova_gym.errors import BadInputError
from nova_gym.model.inr import Resolution
from nova_gym.simulator import DreamSimulator


class NovaDreamVectorEnv(VectorEnv):
    """N dreams stepped as one batch: `NovaDreamEnv` as a Gymnasium vector environment.

    Dream i with seed s behaves like the scalar environment with seed s + i. States agree to rounding (1e-3 in the
    tests), because batched matrix products round differently from single ones. Actions, observations, rewards and the
    end of episodes are those of `NovaDreamEnv`, with a leading dimension N.

    ## Information
    The keys of `NovaDreamEnv`, for all dreams: `latent` (N, K, rows, cols) float32, `latent_action` (N, U, rows, cols)
    float32, `step` (N,) int64, `lost` (N,) bool, and with `doubt=True` also `doubt` (N,) float32. Each has a mask (N,)
    bool beside it, such as `_latent`: rows outside the mask are zero. A step in which dreams end under `SAME_STEP` adds
    `final_obs`, (N,) object, the last observation or None, and `final_info`, the same keys and masks at the end of the
    episode. Their masks are `_final_obs` and `_final_info`.

    Args:
        num_envs: N.
        dream, observation, action, resolution, starts, device, max_episode_steps, reality, deterministic, doubt: as in
            `NovaDreamEnv`.
        render_mode: `rgb_array` or None.
        autoreset_mode: `NEXT_STEP`: the step after an end resets that dream and ignores its action. `SAME_STEP`: the
            step that ends an episode also resets; the last observation is in `info["final_obs"]`. `DISABLED`: call
            `reset(options={"reset_mask": mask})`. See https://farama.org/Vector-Autoreset-Mode.

    Raises:
        BadInputError: an argument is unknown or out of range; the message says what is accepted.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        dream: Dream | str = "minigrid",
        observation: str = "latent",
        action: str = "discrete",
        render_mode: str | None = None,
        resolution: Resolution | None = None,
        starts: str | None = None,
        device: str | torch.device = "auto",
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        reality: str | None = None,
        deterministic: bool = False,
        doubt: bool = False,
    ) -> None:
        check_numbers(max_episode_steps, deterministic=deterministic, doubt=doubt)
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer):
            raise BadInputError(f"num_envs is a whole number, not {num_envs!r:.80}")
        if render_mode is not None and str(render_mode) != "rgb_array":
            raise BadInputError(f"unknown render_mode {render_mode!r}; there is 'rgb_array'")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except (TypeError, ValueError) as error:
            modes = ", ".join(mode.value for mode in AutoresetMode)
            raise BadInputError(f"unknown autoreset_mode {autoreset_mode!r}; there are {modes}") from error
        self._door = DreamInterface(dream, observation, action, starts, device, reality)
        self._simulator = DreamSimulator(
            self._door.dream, num_envs, max_episode_steps, deterministic=deterministic, doubt=doubt
        )
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.resolution = resolution
        self.single_observation_space = self._door.observation_space
        self.single_action_space = self._door.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        #: Doubt from which on an episode is truncated; None for never.
        self.doubt_limit: float | None = None
        self._generators: list[np.random.Generator] | None = None
        self._ended = np.zeros(num_envs, dtype=bool)

    @property
    def dream(self) -> Dream:
        """The dream behind this environment."""
        return self._door.dream

    @property
    def simulator(self) -> DreamSimulator:
        """The simulator behind this environment."""
        return self._simulator

    @property
    def resolution(self) -> tuple[int, int]:
        """(H, W) that `render()` draws."""
        return self._resolution

    @resolution.setter
    def resolution(self, resolution: Resolution | None) -> None:
        self._resolution = self._door.check_resolution(resolution)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts episodes.

        Args:
            seed: s, which gives dream i the seed s + i, or a list of N seeds. None, for all dreams or for one, goes on
                with the present generator.
            options: those of the scalar environment, which give every dream the same start, and `reset_mask`, (N,)
                bool, which resets only the dreams where it is True.

        Returns:
            Observations of all dreams, and `info`; see the class.

        Raises:
            BadInputError: an option cannot be used, the number of seeds is not N, or the first reset has a mask.
        """
        if not (options is None or isinstance(options, dict)):
            raise BadInputError(f"options of a reset are a dictionary, not {type(options).__name__}")
        options = dict(options or {})
        mask = self._reset_mask(options.pop("reset_mask", None))
        seeds = [None] * self.num_envs if seed is None else seed
        if isinstance(seeds, (int, np.integer)):
            checked_seed(seeds)
            seeds = [int(seeds) + i for i in range(self.num_envs)]
        if not isinstance(seeds, list | tuple | np.ndarray) or np.ndim(seeds) != 1:
            raise BadInputError(f"a seed is a whole number from 0 on, or a list of them, not {seeds!r:.80}")
        seeds = [checked_seed(each) for each in seeds]
        if len(seeds) != self.num_envs:
            raise BadInputError(f"{len(seeds)} seeds for {self.num_envs} dreams; give one each, or one number")
        if self._generators is None:
            self._generators = [seeding.np_random(s)[0] for s in seeds]
        else:
            for i in np.flatnonzero(mask):
                if seeds[i] is not None:
                    self._generators[i] = seeding.np_random(seeds[i])[0]
        self._start(mask, options)
        return self._door.observe(self._simulator.state), self._info(mask)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every dream.

        Args:
            actions: (N,) for discrete actions, (N, rows, cols) for codes, otherwise (N, length).

        Returns:
            Observations (N, …), rewards (N,) float64, terminations and truncations (N,) bool, `info`; see the class.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset, or (`DISABLED`) after an end.
            BadInputError: the actions are not in the action space.
        """
        if self._generators is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        if (shape := as_array(actions, "actions").shape)[:1] != (self.num_envs,):
            raise BadInputError(f"actions of shape {shape} for {self.num_envs} dreams")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            raise gym.error.ResetNeeded(
                f'dreams {np.flatnonzero(self._ended).tolist()} have ended: reset(options={{"reset_mask": mask}})'
            )
        restarted = self._ended  # under `NEXT_STEP`; in the other modes this is all False
        result = self._door.step(self._simulator, actions, restarted)
        # copies: on the CPU, NumPy would otherwise write into the simulator's tensors
        rewards = result.reward.cpu().numpy().astype(np.float64)
        terminated, truncated = result.terminated.cpu().numpy().copy(), result.truncated.cpu().numpy().copy()
        if self.doubt_limit is not None:
            truncated |= (self._simulator.doubt > self.doubt_limit).cpu().numpy() & ~restarted
        if restarted.any():
            self._start(restarted, {})
            rewards[restarted], terminated[restarted], truncated[restarted] = 0.0, False, False
        ended = terminated | truncated
        info: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            info = self._final(ended)
            self._start(ended, {})
            ended = np.zeros_like(ended)
        self._ended = ended
        observations = self._door.observe(self._simulator.state)
        everywhere = np.ones(self.num_envs, dtype=bool)
        return observations, rewards, terminated, truncated, {**info, **self._info(everywhere)}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """N frames (H, W, 3) uint8 at `resolution`; None, with a warning, without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self.render_mode is None:
            gym.logger.warn('render() needs a render mode: gym.make_vec(..., render_mode="rgb_array")')
            return None
        if self._generators is None:
            raise gym.error.ResetNeeded("call reset() before render()")
        return tuple(self._door.render(self._simulator.state, self.resolution))

    def _start(self, mask: np.ndarray, options: dict[str, Any]) -> None:
        rows = np.flatnonzero(mask)
        states, errors = map(
            torch.stack, zip(*(self._door.start(options, self._generators[i]) for i in rows), strict=True)
        )
        keys = self._door.keys([self._generators[i] for i in rows])
        self._simulator.restart(torch.from_numpy(rows).to(self._simulator.device), states, keys, errors)
        self._ended = self._ended & ~mask

    def _final(self, ended: np.ndarray) -> dict[str, Any]:
        """The entries that Gymnasium's `SAME_STEP` adds to `info` for episodes that just ended."""
        observations = self._door.observe(self._simulator.state)
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            final[i] = observations[i]
        return {
            "final_obs": final,
            "_final_obs": ended.copy(),
            "final_info": self._info(ended),
            "_final_info": ended.copy(),
        }

    def _info(self, mask: np.ndarray) -> dict[str, Any]:
        info: dict[str, Any] = {}
        for key, array in self._door.info(self._simulator).items():
            array[~mask] = 0
            info[key], info[f"_{key}"] = array, mask.copy()
        return info

    def _reset_mask(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, dtype=bool)
        mask = as_array(mask, "reset_mask")
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise BadInputError(
                f"reset_mask must be ({self.num_envs},) bool with at least one True, "
                f"not {mask.dtype} of shape {mask.shape}"
            )
        if self._generators is None and not mask.all():
            raise BadInputError("the first reset must be of all dreams, without reset_mask")
        return mask
