"""An environment of our own with the traps of those that people bring: a bead on a wire."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

#: Cells of 10 pixels along the wire.
CELLS = 6


def drawn(at: int, height: int = 24, width: int = 60) -> np.ndarray:
    """(H, W, 3) uint8: what the bead looks like at a place."""
    frame = np.full((height, width, 3), (10, 40, 90), np.uint8)
    frame[4:10, at * 10 : at * 10 + 10] = (250, 120, 7)
    return frame


class Bead(gym.Env):
    """Choice 0 goes left, 1 right; the right end pays and ends. `style` says how it draws itself."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, render_mode=None, style="plain", space=None, pays=1.0, ends_after=None, speed=1) -> None:
        self.render_mode, self.style, self.pays = render_mode, style, pays
        self.ends_after, self.speed = ends_after, speed
        self.action_space = space or gym.spaces.Discrete(2)
        self.observation_space = gym.spaces.Dict({"at": gym.spaces.Discrete(CELLS)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.time = int(self.np_random.integers(0, 3)), 0
        return {"at": self.at}, {}

    def step(self, action):
        first = float(np.ravel(action)[0]) - float(np.ravel(getattr(self.action_space, "start", 0))[0])
        self.at = int(np.clip(self.at + (self.speed if first > 0 else -self.speed), 0, CELLS - 1))
        self.time += 1
        there = self.time == self.ends_after if self.ends_after else self.at == CELLS - 1
        return {"at": self.at}, self.pays * there, bool(there), False, {}

    def render(self):
        frame = drawn(self.at)
        styles = {
            "plain": lambda: frame,
            "float32": lambda: (frame / 255.0).astype(np.float32),
            "float64": lambda: frame / 255.0,
            "int16": lambda: frame.astype(np.int16),
            "upside down": lambda: frame[::-1].copy()[::-1],
            "columns first": lambda: np.asfortranarray(frame),
            "opaque": lambda: np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)]),
            "grey": lambda: frame[..., 1],
            "grey with channel": lambda: frame[..., 1:2] / 255.0,
            "black and white": lambda: frame[..., 0] > 100,
            "nothing": lambda: None,
            "list": lambda: [frame, frame],
            "two channels": lambda: frame[..., :2],
            "bright": lambda: frame.astype(np.float32),
            "no number": lambda: np.full(frame.shape, np.nan),
            "16 bits": lambda: frame.astype(np.uint16) * 257,
            "line": lambda: frame[0, 0],
            "empty": lambda: frame[:0],
        }
        return styles[self.style]()


class Faster(gym.Wrapper):
    """Sets the speed of the bead."""

    def __init__(self, env: gym.Env, speed: int = 2) -> None:
        super().__init__(env)
        env.unwrapped.speed = speed


class Ladder(gym.Env):
    """One of two ways goes up a rung, drawn anew on each; the other way is a fall, which ends the episode."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode=None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.rung, self.way = 0, int(self.np_random.integers(2))
        return self.way, {}

    def step(self, action):
        fell = int(action) != self.way
        self.rung, self.way = self.rung + 1, int(self.np_random.integers(2))
        return self.way, 0.0, fell, False, {}

    def render(self):
        frame = np.zeros((320, 8, 3), np.uint8)
        frame[: self.rung] = 255
        return frame


def limited(steps: int = 7) -> gym.Env:
    """A bead with a limit of time, made without Gymnasium's registry."""
    return gym.wrappers.TimeLimit(Bead(render_mode="rgb_array"), steps)


def right(observation: dict[str, int], env: gym.Env) -> int:
    """A policy that reads what the environment observes."""
    assert observation["at"] == env.unwrapped.at
    return 1


class Lock(gym.Env):
    """A lock of twelve rings: one of two ways turns the next, the other lets all spring back; the last pays."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}
    opens = (0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1)

    def __init__(self, render_mode=None) -> None:
        self.render_mode = render_mode
        self.action_space = gym.spaces.Discrete(2, start=3)
        self.observation_space = gym.spaces.Discrete(13)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.turned = 0
        return self.turned, {}

    def step(self, action):
        self.turned = self.turned + 1 if action - 3 == self.opens[self.turned] else 0
        opened = self.turned == len(self.opens)
        return self.turned, float(opened), opened, False, {}

    def render(self):
        frame = np.full((8, 104, 3), 20, np.uint8)
        frame[:, : 8 * self.turned] = 200
        return frame
