"""Recordings of worlds that are made up, small enough to be measured and trained on in a moment."""

import numpy as np
import torch

from nova_gym.data.clips import Clips


def clips_of(frames, actions, count=2, lengths=None):
    """A recording of clips (E, T + 1, C, H, W) uint8 and actions (E, T)."""
    episodes, length = np.shape(actions)[:2]
    lengths = torch.full((episodes,), length)
    clip = torch.repeat_interleave(torch.arange(episodes), lengths)
    place = torch.arange(length).repeat(episodes)
    return Clips(
        frames=torch.from_numpy(np.concatenate(frames)),
        actions=torch.as_tensor(np.asarray(actions)).flatten(),
        rewards=torch.zeros(len(clip)),
        terminations=torch.zeros(len(clip), dtype=torch.bool),
        lengths=lengths,
        starts=("official",) * episodes,
        source=torch.arange(len(clip)) + clip,
        remaining=length - place,
        metadata={},
        action_count=count,
    )


def walks(rule, episodes=60, length=20, seed=0):
    """Positions (E, T + 1) and actions (E, T) of walks in which `rule(position, velocity, action, rng)` says both next.

    Actions are 0 and 1, at random; velocities begin as -1 or 1.
    """
    rng = np.random.default_rng(seed)
    actions = rng.integers(2, size=(episodes, length))
    places = np.zeros((episodes, length + 1), int)
    for e in range(episodes):
        place, velocity = int(rng.integers(12)), int(rng.choice([-1, 1]))
        places[e, 0] = place
        for t in range(length):
            place, velocity = rule(place, velocity, int(actions[e, t]), rng)
            places[e, t + 1] = place
    return places, actions


def drawn(places, step=8, width=96):
    """Frames (E, T + 1, 3, 8, width) of a block at each place, `step` pixels apart."""
    frames = np.full((*places.shape, 3, 8, width), 30, np.uint8)
    rows, times = np.indices(places.shape)
    for pixel in range(8):
        frames[rows, times, 0, 1:7, (places * step + pixel)] = 220
    return frames


def pushed(place, velocity, action, rng):
    """A step to the left or to the right, up to the walls."""
    return min(11, max(0, place + 2 * action - 1)), velocity


def slipping(place, velocity, action, rng):
    """The same, but every fourth step goes the other way."""
    return pushed(place, velocity, action if rng.random() < 0.75 else 1 - action, rng)


def gliding(place, velocity, action, rng):
    """Action 1 turns around, and nothing shows which way it goes. The strip is a ring."""
    velocity = -velocity if action else velocity
    return (place + velocity) % 12, velocity


def teleporting(place, velocity, action, rng):
    """Beyond the right end is the left end, too far away to be seen from there."""
    return (place + 1) % 12 if action else max(0, place - 1), velocity


def flipping(place, velocity, action, rng):
    """A coin decides, whatever the action."""
    return (place + int(rng.choice([-1, 1]))) % 12, velocity


def rolling(place, velocity, action, rng):
    """Up to two pixels a step, where a place is a pixel. An action pushes, and nothing shows how fast it goes."""
    velocity = min(2, max(0, velocity + 2 * action - 1))
    return (place + velocity) % 80, velocity
