"""Random play that goes on from where it came gets about, where most of what it does is soon over."""

import gymnasium as gym
import numpy as np

from nova_gym.envs.reality.branches import Branches


def picture(env):
    """Where the cart is: a column of 96, with its neighbours."""
    frame = np.zeros((64, 96, 3), np.uint8)
    column = int(np.clip(48 + 20 * env.unwrapped.state[0], 4, 91))
    frame[:, column - 4 : column + 4] = 255
    return frame


def standing(clips, length=32):
    """Where carts are whose poles stand, in clips of random play that go on from branches."""
    env, rng = gym.make("CartPole-v1").unwrapped, np.random.default_rng(0)
    branches, found = Branches(rng, 240), []
    act = lambda: int(rng.integers(2))  # noqa: E731
    for number in range(clips):
        observation, _ = env.reset(seed=number)
        _, observation = branches.enter(env, number, observation, act)
        for _ in range(length):
            action = act()
            observation, _, ended, *_ = env.step(action)
            branches.follow(action, picture(env))
            if abs(observation[2]) < 0.1 and not ended:
                found.append(observation[0])
            if ended:
                break
        branches.leave(ended)
    return np.array(found)


def test_poles_are_seen_that_stand_on_either_side_of_the_track():
    """Nobody holds them: those that fall are left behind, and nothing leads to one side alone."""
    found = standing(1000)
    assert (found < -0.5).mean() > 0.02
    assert (found > 0.5).mean() > 0.02


def test_a_branch_leads_where_it_led():
    """What was chosen by chance is played again to the same end."""
    env, rng = gym.make("CartPole-v1").unwrapped, np.random.default_rng(1)
    branches = Branches(rng, 240)
    act = lambda: int(rng.integers(2))  # noqa: E731
    for number in range(200):
        observation, _ = env.reset(seed=number)
        before = branches.before
        _, observation = branches.enter(env, number, observation, act)
        if branches.before:
            now, ended = branches._now.play(gym.make("CartPole-v1").unwrapped)
            assert not ended
            np.testing.assert_array_equal(now, observation)
        for _ in range(20):
            action = act()
            _, _, ended, *_ = env.step(action)
            branches.follow(action, picture(env))
            if ended:
                break
        branches.leave(ended)
    assert before > 0
