"""A block that walks, and dreams of it that are as true or as wrong as a test wants them: their state is the frame."""

from types import SimpleNamespace
from typing import ClassVar

import gymnasium as gym
import numpy as np
import torch

from nova_gym import Dream
from nova_gym.dream import Card
from nova_gym.envs.reality.environments import name_of

SIDE, PLACES = 8, 8


class Walk(gym.Env):
    """Action 0 goes left, 1 stays, 2 goes right; the right edge pays 1 and ends. A slip turns left and right round."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}
    render_mode = "rgb_array"
    action_space = gym.spaces.Discrete(3)
    observation_space = gym.spaces.Discrete(PLACES)

    def __init__(self, slip=0.0):
        self.slip = slip

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(1, 5))
        return self.place, {}

    def step(self, action):
        move = int(action) - 1
        if self.np_random.random() < self.slip:
            move = -move
        self.place = min(max(self.place + move, 0), PLACES - 1)
        ended = self.place == PLACES - 1
        return self.place, float(ended), ended, False, {}

    def render(self):
        frame = np.zeros((SIDE, SIDE * PLACES, 3), np.uint8)
        frame[:, SIDE * self.place : SIDE * (self.place + 1)] = 255
        return frame


class Model:
    """A world model that knows the rules: its state is the frame, a pixel a cell.

    Args:
        slip: the probability with which it turns round; None for a model without chance.
        moves: whether its block moves at all.
        mean: whether it draws the mean of what may happen.
    """

    device, has_actions, has_memory, has_doubt = torch.device("cpu"), True, False, False

    def __init__(self, slip=None, moves=True, mean=False):
        self.slip, self.moves, self.mean, self.has_chance = slip or 0.0, moves, mean, slip is not None
        self.config = SimpleNamespace(
            rank=3, memory=0, latent_action=1, actions=3, discrete=True, reward_values=(), cell=(SIDE, SIDE)
        )
        self.config.inr, self.config.cells_of = SimpleNamespace(channels=3), lambda height, width: (height, width)

    def encode(self, frames):
        return frames

    def begin(self, states, official=False):
        return states

    def recall(self, before, after, actions=None):
        return after

    def render(self, states, *_, **__):
        return states

    def settle(self, before, after, band):
        return after

    def draw_outcomes(self, states, actions, uniform):
        return uniform[:, 0, 0] < self.slip

    def translate(self, states, actions, outcomes=None):
        move = actions - 1
        move = move if outcomes is None else torch.where(outcomes, -move, move)
        return move.float()[:, None, None, None].expand(-1, 1, *states.shape[2:])

    def step(self, states, latent):
        place = states[:, 0, 0, ::SIDE].argmax(1)
        move = latent[:, 0, 0, 0].long() * self.moves
        ways = [self._drawn(states, place + way) for way in ((move, -move) if self.mean else (move, move))]
        return (ways[0] + ways[1]) / 2

    def outcome(self, states, latent, following, actions, drawn):
        ended = (following[:, 0, 0, -1] == 1).float()
        return ended, ended, ended - 20.0

    def _drawn(self, states, place):
        column = torch.arange(SIDE * PLACES) // SIDE == place.clamp(0, PLACES - 1)[:, None]
        return column.float()[:, None, None].expand(states.shape)


def dream_of(model, slip=0.0, horizon=60):
    """A dream of the walk that steps by this model."""
    card = Card(name_of(Walk), {"slip": slip}, [SIDE, SIDE * PLACES], horizon)
    return Dream(model, {}, card)
