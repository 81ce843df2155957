"""Steps per second of the dream and of reality."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv

import nova_gym  # noqa: F401  registers the ids
from nova_gym.benchmarks.figures import Figure, figures_of
from nova_gym.benchmarks.speed import in_turns, step_reality, step_vector
from nova_gym.dream import Dream
from nova_gym.envs import NovaDreamVectorEnv
from nova_gym.envs.adapter import reality_of
from nova_gym.envs.reality.base import Reality

#: Processes of the vectorised reality.
PROCESSES = 8
LATENT_BATCHES, PIXEL_BATCHES = (1, 16, 256, 4096), (1, 64, 256)

Progress = Callable[[int, int], None]


class _Frames(gym.Wrapper):
    """The real environment with its frames as observations, as an agent on pixels would use it."""

    def __init__(self, env: gym.Env, reality: Reality) -> None:
        super().__init__(env)
        self.look = reality.frame
        self.observation_space = gym.spaces.Box(0, 255, (*reality.spec.frame_size, 3), "uint8")

    def reset(self, **kwargs):
        _, info = self.env.reset(**kwargs)
        return self.look(self.env), info

    def step(self, action):
        _, *rest = self.env.step(action)
        return self.look(self.env), *rest


def measure_stepping(dream: Dream, rounds: int, seconds: float, progress: Progress) -> dict[str, list[Figure]]:
    """Symbolic reality in one process against dreams in latents; frames of reality in processes against pixels."""
    reality = reality_of(dream)
    spec = reality.spec
    latent: dict[str, gym.Env | gym.vector.VectorEnv] = {
        "reality, symbolic, one process": gym.make(spec.env_id, disable_env_checker=True, **spec.env_kwargs),
        f"reality, symbolic, AsyncVectorEnv of {PROCESSES}": AsyncVectorEnv(
            [lambda: gym.make(spec.env_id, disable_env_checker=True, **spec.env_kwargs)] * PROCESSES,
            shared_memory=False,  # it has no room for MiniGrid's missions
        ),
        "dream, latents, gym.make": gym.make("nova_gym:NovaDream-v0", dream=dream),
    }
    pixels: dict[str, gym.Env | gym.vector.VectorEnv] = {
        f"reality, frames, AsyncVectorEnv of {PROCESSES}": AsyncVectorEnv(
            [lambda: _Frames(reality.make(), reality)] * PROCESSES
        ),
        "reality, frames, one process": _Frames(reality.make(), reality),
        "dream, pixels, gym.make": gym.make("nova_gym:NovaDream-v0", dream=dream, observation="pixels"),
    }
    for batch in LATENT_BATCHES:
        latent[f"dream, latents, batch {batch}"] = NovaDreamVectorEnv(batch, dream)
    for batch in PIXEL_BATCHES:
        pixels[f"dream, pixels, batch {batch}"] = NovaDreamVectorEnv(batch, dream, observation="pixels")
    figures = {}
    for part, (kind, table) in enumerate((("latents", latent), ("pixels", pixels))):
        contestants = {
            name: step_vector(env) if isinstance(env, gym.vector.VectorEnv) else step_reality(env)
            for name, env in table.items()
        }
        speeds = in_turns(
            contestants, rounds, seconds, lambda done, _, part=part: progress(part * rounds + done, 2 * rounds)
        )
        figures[f"steps per second, {kind}"] = figures_of(speeds, "steps/s")
        for env in table.values():
            env.close()
    return figures
