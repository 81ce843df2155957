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
from nova_gym.envs.arguments import as_array, check_numbers, checked_seed
from nova_gym.envs.keys import ACTION_KEYS
from nova_gym.envs.window import Window
from nova_gym.errors import BadInputError
from nova_gym.model.control import Memory
from nova_gym.model.inr import Resolution
from nova_gym.simulator import DreamSimulator, Transition

#: Side of the window in pixels, unless a resolution is given.
WINDOW = 512
#: The last steps of an episode, at most so many, are kept for `autopilot`.
PAST = 1000


class NovaDreamEnv(gym.Env):
    """A learned simulator: a world model whose state is a picture, stepped like the environment it dreams of.

    ## Description
    The state is a field of tiny coordinate networks, one for each cell of the frame. A step computes
    `z' = A(z) + B(u)`, and a frame is drawn by evaluating those networks (arXiv 2605.06298). The real environment does
    not run; only a reset from `reality` makes it.

    ## Action Space
    `action="discrete"`: the real environment's own actions, for MiniGrid `Discrete(7)` (left, right, forward,
    pickup, drop, toggle, done); a dream of an environment with continuous actions has its `Box` instead.
    `action="latent"`: `Box(-1, 1, (2 + U,), float32)`, a latent action in one cell: where (y and x, -1 the first row or
    column, 1 the last), then what, the U numbers of `u` there; `u` is zero elsewhere. Values outside are clipped. Where
    one network draws the whole frame, `Box(-1, 1, (U,), float32)`.
    `action="codebook"`: `MultiDiscrete`, (rows, cols), one of the actions that the dream has learned by itself for each
    cell; code 0 means that nothing moves there.
    A dream made from video without actions has only the last two. With a control model, `autopilot` lets a dream go on
    by itself.

    ## Observation Space
    `observation="latent"`: `Box(-1000, 1000, (K + M, rows, cols), float32)`, the standardised state: K numbers of a
    cell that the frame shows, M of memory.
    `observation="pixels"`: `Box(0, 255, (H, W, C), uint8)`, the state drawn at the size of the real frames, C = 1 for
    a grey dream.

    ## Rewards
    What the real environment pays, as the reward head predicts it. On the shipped MiniGrid the goal pays
    `1 - 0.9 · step / 324`. The reward of a dream made from video is always 0.

    ## Starting State
    A state drawn from a bank in the dream's file: encoded starts of the real environment, or encoded first frames of
    video clips. Where the file has none of this reality, a fresh reset of the real environment, encoded.
    `reset(options=...)` takes another start, one of
    `{"frame": image}`, (H, W, C) uint8 or float in [0, 1];
    `{"frames": clip}`, (T, H, W, C), the frames before the start and that itself, which a dream with memory hears;
    `{"latent": state}`, (K + M, rows, cols) float32 as in `info["latent"]`, or (K, rows, cols) without memory;
    `{"reality": True}`, a fresh reset of the real environment, encoded.
    A picture with cells that the dream cannot draw, because nothing like them was in its recording, causes a warning
    that says where they are, and with `"strict": True` beside it an error.

    ## Episode End
    Terminated where the termination head says so. Truncated in two cases. The first is the time limit: the real
    environment's horizon, or for a dream made from video the length of its clips. The second is a lost dream: a number
    of its state left ±1000 or became NaN, so its frames are meaningless. `info["lost"]` tells the two apart. Bootstrap
    a value from the last state at a time limit, but not from the state of a lost dream. A `step` after an end continues
    the dream and warns once.

    ## Information
    `reset` and `step` both give:
    `latent`, (K + M, rows, cols) float32, the state, M numbers of memory included;
    `latent_action`, (U, rows, cols) float32, the latent action of the last step, zeros after a reset;
    `step`, int, steps since the reset;
    `lost`, bool, whether the last step lost the dream (see above), False after a reset;
    with `doubt=True` also `doubt`, float in [0, 1], the probability that this frame, reward or ending is wrong
    (`doubt_map` says where).

    ## Other Levels
    The rules of a dream are the same in every cell, so it can dream environments that it was not trained on, of any
    size: `reality="MiniGrid-FourRooms-v0"`. Spaces, horizon, rewards and starts are then those of that environment. It
    has to be drawn as the dream's own is, and to have the same actions. What the dream has never seen there is named in
    a warning.

    ## Arguments
    `dream`, `observation`, `action`, `render_mode`, `resolution`, `starts`, `device`, `max_episode_steps`, `reality`,
    `deterministic`, `doubt`: see below.

    ## Version History
    v0: initial version.

    Args:
        dream: a `Dream`, the name of one that ships with the package, or the path of a file.
        observation: `latent` or `pixels`.
        action: `discrete`, `latent` or `codebook`.
        render_mode: `rgb_array`, `human` (a pygame window) or None.
        resolution: size of what `render()` draws, pixels a side or (H, W). The default is the size of the real frames,
            in a window 512. The attribute of the same name can be set at any time.
        starts: what a reset draws from. `official`: starts of the real environment, from a bank in the dream's file.
            `random`: agent and goal anywhere, from a bank as well. Both are fresh resets where there is no bank.
            `clips`: first frames of video clips. `reality`: fresh resets of the real environment, encoded. None:
            `official`, or what the dream has instead.
        device: `auto`, `cpu`, `cuda` …
        max_episode_steps: steps to truncation, 0 for never; the default is the real environment's horizon. `gym.make`
            keeps this argument for its `TimeLimit`, which can shorten an episode but cannot lengthen it. For episodes
            beyond the real horizon, construct `NovaDreamEnv` itself, or use the vector environment.
        reality: id of the real environment to dream of; None for the dream's own, which its card names.
        deterministic: take the likeliest of what the dream leaves to chance, instead of drawing it.
        doubt: follow how far the dream is to be trusted, which takes time; the dream must be able to doubt.

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
        reality: str | None = None,
        deterministic: bool = False,
        doubt: bool = False,
    ) -> None:
        check_numbers(max_episode_steps, deterministic=deterministic, doubt=doubt)
        if render_mode is not None and str(render_mode) not in self.metadata["render_modes"]:
            raise BadInputError(f"unknown render_mode {render_mode!r}; there are {self.metadata['render_modes']}")
        self._door = DreamInterface(dream, observation, action, starts, device, reality)
        self._simulator = DreamSimulator(
            self._door.dream, 1, max_episode_steps, deterministic=deterministic, doubt=doubt
        )
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
    def doubt_map(self) -> np.ndarray:
        """(rows, cols) float32 in [0, 1], the probability that a cell of the present frame is wrong.

        Raises:
            BadInputError: the environment was made without `doubt`.
        """
        return self._simulator.doubt_map[0].cpu().numpy()

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
            seed: of the draws of starts, by this reset and later ones; None goes on with the present generator.
            options: None, or a dictionary with one of `frame`, `frames`, `latent`, `reality`, and `strict`; see the
                class.

        Returns:
            Observation and `info`; see the class.

        Raises:
            BadInputError: an unknown option, more than one, or a value that cannot be a start; with `strict`, a frame
                that the dream cannot draw.
        """
        super().reset(seed=checked_seed(seed))
        state, errors = self._door.start(options, self.np_random)
        self._simulator.reset(states=state[None], errors=errors[None])
        if (keys := self._door.keys([self.np_random])) is not None:
            self._simulator.keys = keys
        self._started, self._ended, self._warned = True, False, False
        self._memory = None
        self._past.clear()
        if self.render_mode == "human":
            self._show()
        return self._observation(), self._info()

    def step(self, action: int | np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step.

        Args:
            action: an int, or an array of the action space's shape, which is clipped to its bounds.

        Returns:
            Observation, reward, terminated, truncated and `info`; see the class.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
            BadInputError: the action is not in the action space.
        """
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before step()")
        self._warn_after_end()
        before = self._simulator.state
        return self._said(before, self._door.step(self._simulator, as_array(action, "an action")[None]))

    def autopilot(self, steps: int) -> list[tuple[np.ndarray, float, bool, bool, dict[str, Any]]]:
        """Lets the dream's control model act. It remembers at least the last 1,000 steps of the episode.

        Call it on `env.unwrapped`: wrappers do not see these steps.

        Args:
            steps: how many at most, at least 1; the end of the episode stops it earlier.

        Returns:
            What `step` returns, for each step.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
            BadInputError: the dream has no control model, or `steps` is below 1.
        """
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before autopilot()")
        self._warn_after_end()
        forgotten = len(self._past) == PAST  # steps since the last update of the memory may have dropped out
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
        """Draws the present state at `resolution`.

        Returns:
            (H, W, 3) uint8 for `rgb_array`; None for `human`, which shows it in the window instead. `reset` and `step`
            update the window by themselves.

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
        """Keys for `gymnasium.utils.play.play`.

        Actions with MiniGrid's names have the keys of the player (`nova-gym play`), others the digits from 0. With
        MiniGrid pass `noop=6` to `play`: the action `done` leaves the frame as it is.

        Raises:
            BadInputError: the actions are not discrete.
        """
        if not isinstance(self.action_space, gym.spaces.Discrete):
            raise BadInputError("keys are only mapped to discrete actions: action='discrete'")
        import pygame

        first, count = int(self.action_space.start), int(self.action_space.n)
        names = self.dream.card.action_names[:count]
        if names and all(name in ACTION_KEYS for name in names):
            return {(getattr(pygame, ACTION_KEYS[name]),): first + i for i, name in enumerate(names)}
        return {(ord(str(i)),): first + i for i in range(min(10, count))}

    def close(self) -> None:
        """Closes the window, if it is open. The next `render()` or `step()` opens it again."""
        self._window.close()

    def _said(self, before: Tensor, transition: Transition) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Keeps the step for `autopilot` and makes the tuple that `step` returns."""
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
            gym.logger.warn("this episode has ended: further steps dream beyond its end; reset() starts another")

    def _observation(self) -> np.ndarray:
        return self._door.observe(self._simulator.state)[0]

    def _info(self) -> dict[str, Any]:
        info = {key: value[0] for key, value in self._door.info(self._simulator).items()}
        numbers = {"doubt": float(info["doubt"])} if "doubt" in info else {}
        return {**info, "step": int(info["step"]), "lost": bool(info["lost"]), **numbers}

    def _frame(self) -> np.ndarray:
        return self._door.render(self._simulator.state, self.resolution)[0]

    def _show(self) -> None:
        self._window.show(self._frame())
