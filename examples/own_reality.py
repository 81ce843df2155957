"""Write a `Reality` for an environment of your own, here a corridor with a door, so that recordings cover what matters.

Without it, a random walk would make the recording, and hardly ever reach the end.
"""

import json

import gymnasium as gym
import minari
import numpy as np

from nova_gym.envs import Coverage, Reality, RealitySpec, reality_spec, record, register_reality


class Corridor(gym.Env):
    """A white dot walks left (0) or right (1); the right end pays 1. A green door is only drawn."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, length: int = 24) -> None:
        self.render_mode, self.length = render_mode, length
        self.action_space, self.observation_space = gym.spaces.Discrete(2), gym.spaces.Discrete(length)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.door, self.at = int(self.np_random.integers(4, self.length - 2)), 0
        return self.at, {}

    def step(self, action):
        self.at = int(np.clip(self.at + (1 if action == 1 else -1), 0, self.length - 1))
        there = self.at == self.length - 1
        return self.at, float(there), there, False, {}

    def render(self) -> np.ndarray:
        picture = np.zeros((self.length, self.length, 3), np.uint8)
        picture[:, self.door, 1] = 120
        picture[self.length // 2, self.at] = 255
        return picture


@register_reality
class CorridorReality(Reality):
    """What Gymnasium's API does not say of a corridor."""

    scatters = True  # `scatter` moves the agent, so there are starts `random`
    transition_classes = ("left", "right")  # `nova-gym eval` tests each of them

    @classmethod
    def knows(cls, env):
        return isinstance(env.unwrapped, Corridor)

    @classmethod
    def view(cls, env_id, env, size):  # one pixel a place, not a picture shrunk to `size`
        length = size or 24
        return RealitySpec(env_id, {"length": length}, (length, length))

    def horizon(self, env):
        return 60

    def success(self, env, reward, terminated):
        return terminated

    def layout_id(self, env):  # one door in eight is held out: only `nova-gym eval` uses it
        return bytes([env.unwrapped.door])

    def transition_class(self, env, action):
        return self.transition_classes[int(action)]

    def policy(self, env):  # the expert always walks right
        return lambda: 1

    def scatter(self, env, rng):
        env.unwrapped.at = int(rng.integers(env.unwrapped.length - 1))

    def place(self, env, kind, rng):
        self.scatter(env, rng)
        return self.transition_classes.index(kind)

    def coverage(self):
        return (
            Coverage("from the start to the end", 0.4, 60, official=True, expert=0.9),
            Coverage("anywhere, at random", 0.6, 10),
        )


gym.register("Corridor-v0", entry_point=f"{__name__}:Corridor")
name = "examples/corridor-v0"
if name in minari.list_local_datasets():
    minari.delete_dataset(name)
dataset = record(reality_spec("Corridor-v0", size=24), name, transitions=1_000)
seen = json.loads(dataset.storage.metadata["nova_gym"])
reached = sum(bool(episode.terminations[-1]) for episode in dataset.iterate_episodes())
print(f"{dataset.total_steps} transitions, {reached} ends; {seen['transition_shares']}, held out: {seen['held_out']}")
