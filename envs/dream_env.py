"""The dream as a Gymnasium environment."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.adapter import DreamInterface
from nova_gym.envs.keys import ACTION_KEYS
from nova_gym.envs.window import Window
from nova_gym.errors import BadInputError
from nova_gym.model.control import Memory
from nova_gym.model.inr import Resolution
from nova_gym.simulator import DreamSimulator, Transition

#: Pixels a side of the window, unless a resolution is given.
WINDOW = 512
#: Steps of an episode that are kept for `autopilot`.
PAST = 1000


class NovaDreamEnv(gym.Env):
    """A learned simulator: a world model whose state is a picture, stepped like the environment it dreams of.

    ## Description
    The state is the weights of a tiny coordinate network, advanced by `z' = A(z) + B(u)` and drawn by evaluating
    that network (arXiv 2605.06298). Nothing of the real environment runs while it is stepped.

    ## Action Space
    `action="discrete"`: the real environment's own actions, for MiniGrid `Discrete(7)` (left, right, forward,
    pickup, drop, toggle, done); a dream of an environment with continuous actions has its `Box` instead.
    `action="latent"`: `Box(-1, 1, (U,), float32)`, the latent action `u` itself; values outside are clipped.
    `action="codebook"`: `Discrete(codes)`, the actions that the dream has learned by itself.
    A dream made from video without actions has only the last two; `autopilot` lets it go on by itself.

    ## Observation Space
    `observation="latent"`: `Box(-1000, 1000, (K,), float32)`, the standardised state.
    `observation="pixels"`: `Box(0, 255, (H, W, C), uint8)`, the state drawn at the size of the real frames, C = 1 for
    a grey dream.

    ## Rewards
    What the real environment pays, its discount in time included; for MiniGrid `1 - 0.9 · step / 324` on the goal.
    A dream made from video pays nothing.

    ## Starting State
    An encoded start of the real environment, or first frame of a clip, from a bank that ships with the dream.
    `reset(options=...)` takes one of `{"frame": image}` (H, W, C) uint8 or float in [0, 1], `{"latent": state}` (K,)
    as in `info["latent"]`, or `{"reality": True}` for a fresh reset of the real environment.

    ## Episode End
    Terminated where the termination head says so. Truncated at the real environment's horizon, or for a dream made from
    video at the length of its clips; or where the dream is lost: a number of its state left ±1000 or is none, so that
    what it shows means nothing. `info["lost"]` tells the two apart: a value may be estimated from the last state at a
    time limit, but not from that of a lost dream. Who steps on after an end dreams on, and is warned once.

    ## Information
    `reset` and `step` both give: `latent`, (K,) float32, the state; `latent_action`, (U,) float32, what moved it, zeros
    after a reset; `step`, int, steps since the reset; `lost`, bool, see above, False after a reset.

    ## Arguments
    `dream`, `observation`, `action`, `render_mode`, `resolution`, `starts`, `device`, `max_episode_steps`: see below.

    ## Version History
    v0: initial version.

    Args:
        dream: a `Dream`, the name of one that ships with the package, or the path of a file.
        observation: `latent` or `pixels`.
        action: `discrete`, `latent` or `codebook`.
        render_mode: `rgb_array`, `human` (a pygame window) or None.
        resolution: of `render()`, pixels a side or (H, W); default the size of the real frames, in a window 512.
            The attribute of the same name can be set at any time.
        starts: `official`, where the real environment starts (from a bank that ships with the dream), `random`, agent
            and goal anywhere (from a bank as well), `clips`, where the clips of a video begin, or `reality`, fresh
            resets of the real environment, encoded; None for `official` or else what the dream has.
        device: `auto`, `cpu`, `cuda` …
        max_episode_steps: steps to truncation; default the real environment's, 0 for never. `gym.make` keeps this one
            for its `TimeLimit`, which can shorten an episode but not lengthen it: to dream on beyond the real horizon,
            make `NovaDreamEnv` itself, or the vector environment.

    Raises:
        BadInputError: an argument is unknown or out of range; the message says what is accepted.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array"], "render_fps": 10}

    def __init__(
        self,
        dream: Dream | str = "minigrid",
        observation: str = "latent",
        action: str = "discrete",
        render_mode: str | None = None,
        resolution: Resolution | None = None,
        starts: str | None = None,
        device: str | torch.device = "auto",
        max_episode_steps: int | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise BadInputError(f"unknown render_mode {render_mode!r}; there are {self.metadata['render_modes']}")
        self._door = DreamInterface(dream, observation, action, starts, device)
        self._simulator = DreamSimulator(self._door.dream, 1, max_episode_steps)
        self.observation_space = self._door.observation_space
        self.action_space = self._door.action_space
        self.render_mode = render_mode
        self.resolution = WINDOW if resolution is None and render_mode == "human" else resolution
        self._window = Window("nova-gym", self.metadata["render_fps"])
        self._started = self._ended = self._warned = False
        self._memory: Memory | None = None  # the control model's, of all but the steps in `_past`
        self._past: deque[tuple[Tensor, Tensor]] = deque(maxlen=PAST)

    @property
    def dream(self) -> Dream:
        """The dream behind this environment."""
        return self._door.dream

    @property
    def simulator(self) -> DreamSimulator:
        """The simulator behind this environment, a batch of one."""
        return self._simulator

    @property
    def resolution(self) -> tuple[int, int]:
        """(H, W) that `render()` draws."""
        return self._resolution

    @resolution.setter
    def resolution(self, resolution: Resolution | None) -> None:
        self._resolution = self._door.check_resolution(resolution)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: of the choice of the start, now and in later resets.
            options: nothing, or one of `frame`, `latent`, `reality`; see the class.

        Returns:
            Observation, and `info`; see the class.

        Raises:
            BadInputError: the options make no start.
        """
        super().reset(seed=seed)
        self._simulator.reset(states=self._door.start(options, self.np_random)[None])
        self._started, self._ended, self._warned = True, False, False
        self._memory = None
        self._past.clear()
        if self.render_mode == "human":
            self._show()
        return self._observation(), self._info()

    def step(self, action: int | np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step: observation, reward, terminated, truncated, info.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
            BadInputError: the action is not in the action space.
        """
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before step()")
        self._warn_after_end()
        before = self._simulator.state
        return self._said(before, self._door.step(self._simulator, np.asarray(action)[None]))

    def autopilot(self, steps: int) -> list[tuple[np.ndarray, float, bool, bool, dict[str, Any]]]:
        """Lets the dream's control model act, from what happened in the last 1,000 steps or more.

        Wrappers do not see these steps: call it on `env.unwrapped`.

        Args:
            steps: how many; fewer where the episode ends before.

        Returns:
            What `step` returns, for each step.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
            BadInputError: the dream has no control model, or `steps` is below 1.
        """
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before autopilot()")
        self._warn_after_end()
        forgotten = len(self._past) == PAST  # there may have been more since the memory was brought up to date
        self._memory = self._simulator.remember(self._past, None if forgotten else self._memory)
        self._past.clear()
        before, results = self._simulator.state, []
        for transition in self._simulator.autopilot(steps, self._memory):
            results.append(self._said(before, transition))
            before = transition.state
            if results[-1][2] or results[-1][3]:
                break
        return results

    def render(self) -> np.ndarray | None:
        """(H, W, 3) uint8 at `resolution` for `rgb_array`; the window is kept up to date by itself for `human`.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self.render_mode is None:
            gym.logger.warn('render() needs a render mode: gym.make(..., render_mode="rgb_array")')
            return None
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before render()")
        return self._show() if self.render_mode == "human" else self._frame()

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Keys for `gymnasium.utils.play.play`: those of the player (`nova-gym play`) where actions have
        MiniGrid's names, else the digits. With MiniGrid pass `noop=6` (done), which changes nothing.

        Raises:
            BadInputError: the actions are not discrete.
        """
        if not isinstance(self.action_space, gym.spaces.Discrete):
            raise BadInputError("keys are only mapped to discrete actions: action='discrete'")
        import pygame

        names = self.dream.card.action_names if self._door.action == "discrete" else []  # codes have none
        if names and all(name in ACTION_KEYS for name in names):
            return {(getattr(pygame, ACTION_KEYS[name]),): action for action, name in enumerate(names)}
        return {(ord(str(action)),): action for action in range(min(10, int(self.action_space.n)))}

    def close(self) -> None:
        """Closes the window, if there is one; `render()` and `step()` open another."""
        self._window.close()

    def _said(self, before: Tensor, transition: Transition) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Keeps the step in mind and says what `step` returns."""
        self._past.append((before, transition.latent_action))
        terminated, truncated = transition.terminated.item(), transition.truncated.item()
        self._ended = self._ended or terminated or truncated
        if self.render_mode == "human":
            self._show()
        return (
            self._observation(),
            transition.reward.item(),
            terminated,
            truncated,
            self._info(),
        )

    def _warn_after_end(self) -> None:
        if self._ended and not self._warned:
            self._warned = True
            gym.logger.warn("this episode has ended: what comes now is dreamt beyond its end; reset() starts another")

    def _observation(self) -> np.ndarray:
        return self._door.observe(self._simulator.state)[0]

    def _info(self) -> dict[str, Any]:
        info = {key: value[0] for key, value in self._door.info(self._simulator).items()}
        return {**info, "step": int(info["step"]), "lost": bool(info["lost"])}

    def _frame(self) -> np.ndarray:
        return self._door.render(self._simulator.state, self.resolution)[0]

    def _show(self) -> None:
        self._window.show(self._frame())
