"""Windows of `human` environments: each is its own, whoever opens or closes another."""

import copy
import pickle
from itertools import permutations

import gymnasium as gym
import numpy as np
import pygame
import pytest

from nova_gym.envs import NovaDreamEnv
from nova_gym.envs.window import Window


@pytest.fixture
def opened(tiny):
    """Call it to get an environment with a window; all are closed in the end."""
    envs = []

    def make():
        env = NovaDreamEnv(tiny, render_mode="human", resolution=32)
        env.metadata = {**env.metadata, "render_fps": 1000}
        env._window.fps = 1000
        env.reset(seed=len(envs))
        envs.append(env)
        return env

    yield make
    for env in envs:
        env.close()


def shows(env):
    """Steps, and tells whether the environment's own window has the new picture."""
    env.step(2)
    picture = pygame.surfarray.array3d(env._window._window.get_surface()).swapaxes(0, 1)
    np.testing.assert_array_equal(picture, env._frame())
    return env._window.size == env.resolution


def test_a_window_opens_grows_and_closes(opened):
    env = opened()
    assert env._window.size == (32, 32)
    env.resolution = (40, 60)
    assert shows(env)
    assert env._window.size == (40, 60)
    env.close()
    assert env._window.size is None


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_closing_one_window_leaves_the_others_in_any_order(opened, tiny, sit_down, order):
    seats = [opened(), opened(), sit_down(tiny)]
    for closing in order:
        for seat in seats:
            if seat is not None:
                assert seat.look().any() if hasattr(seat, "look") else shows(seat)
        seats[closing].close()
        seats[closing] = None


@pytest.mark.parametrize("end", [pygame.quit, pygame.display.quit])
def test_a_window_opens_again_where_somebody_ends_pygame(opened, end):
    first, second = opened(), opened()
    for _ in range(3):
        end()
        assert shows(first)
        assert shows(second)


def test_an_environment_of_gymnasium_s_own_beside_it_may_come_and_go(opened):
    env = opened()
    for _ in range(3):
        classic = gym.make("CartPole-v1", render_mode="human")
        classic.reset(seed=0)
        assert shows(env)
        classic.close()
        assert shows(env)
        classic = gym.make("CartPole-v1", render_mode="human")
        classic.reset(seed=0)  # between two pictures of ours
        assert shows(env)
        env.close()
        classic.step(0)
        classic.close()


def test_closing_twice_and_showing_after_it_are_fine(opened):
    env = opened()
    env.close()
    env.close()
    assert env.render() is None
    assert env._window.size == (32, 32)
    assert shows(env)


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_has_a_window_of_its_own(opened, twin_of):
    env = opened()
    twin = twin_of(env)
    assert twin._window.size is None
    assert shows(twin)
    twin.close()
    assert shows(env)


def test_who_closes_the_window_by_hand_does_not_stop_the_dream(opened):
    """The events stay in pygame's queue, as with Gymnasium's own environments, for whoever asks for them."""
    env = opened()
    for event in (pygame.QUIT, pygame.WINDOWCLOSE):
        pygame.event.post(pygame.event.Event(event))
        assert shows(env)
    assert pygame.event.get(pygame.QUIT)


def test_a_window_that_never_opened_needs_no_pygame():
    window = Window("none", 10)
    window.close()
    assert window.size is None
