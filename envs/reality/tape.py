"""Writes what a real environment does to a Minari dataset while it does it."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer

from nova_gym.envs.actions import environment_actions
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.coverage import Coverage
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.envs.reality.tally import Tally
from nova_gym.errors import BadInputError
from nova_gym.version import __version__

#: Bytes of frames that are held before they are written. Writing holds them twice.
HELD_BYTES = 64 * 2**20


class Tape:
    """Steps an environment and writes its frames, actions, rewards and endings to a new dataset.

    Frames are written whenever `HELD_BYTES` of them have come together, in the middle of a clip too.

    Args:
        reality: of the environment.
        env: to step; perhaps not reset yet.
        dataset_id: of the new dataset.

    Attributes:
        actions: of the environment, and as a model sees them.
        kinds: transitions by the name of their `Coverage`.
        tally: what was seen so far.
        clip: number of the present clip, from 0.
        frame: (H, W, C) uint8, the last of the present clip.

    Raises:
        BadInputError: the environment's actions are of a kind that no dream takes.
    """

    def __init__(self, reality: Reality, env: gym.Env, dataset_id: str) -> None:
        self.reality, self.env, self._id = reality, env, dataset_id
        self.actions = environment_actions(env, reality.spec.env_id)
        self.horizon = reality.horizon(env)
        self._names = self._action_names()
        self.tally, self.kinds = Tally(self.actions, self._names), Counter[str]()
        self._classes, self._things = Counter[str](), set[str]()
        self._discounted = reality.reward_discount > 0 and self.horizon > 0
        self._dataset: minari.MinariDataset | None = None
        self._waiting: list[EpisodeBuffer] = []
        self._waiting_bytes = self.clip = 0
        self._part: EpisodeBuffer | None = None
        self._parted: set[int] = set()
        self._frames: list[np.ndarray] = []
        self._length = self._before = 0

    def begin(self, seed: int, kind: Coverage, before: int = 0) -> None:
        """Begins a clip at the environment's present state, `before` steps after the episode's start."""
        self._part = self._empty(seed=seed, options={"kind": kind.name, "starts": kind.starts})
        self.frame, self._length, self._before = self.reality.frame(self.env), 0, before
        self._frames = [self.frame]
        self._things |= self.reality.things(self.env)

    def step(self, action: Any) -> tuple[Any, bool, bool]:
        """Takes an action: what the environment observes then, and whether it terminated or truncated the episode.

        Raises:
            BadInputError: the action is none of the environment's.
        """
        action = self._member(action)
        self._classes[self.reality.transition_class(self.env, action)] += 1
        observation, reward, terminated, truncated, _ = self.env.step(action)
        self.frame = self.reality.frame(self.env)
        self._frames.append(self.frame)
        self._things |= self.reality.things(self.env)
        self._length += 1
        part, reward = self._part, float(reward)
        part.actions.append(action)
        part.rewards.append(reward)
        part.terminations.append(bool(terminated))
        part.truncations.append(bool(truncated))
        self._discounted = self._discounted and self._is_due(reward)
        if self._waiting_bytes + self._frames[-1].nbytes * len(self._frames) >= HELD_BYTES:
            self._parted.add(self.clip)
            self._hand_over()
            self._write()
        return observation, bool(terminated), bool(truncated)

    def end(self, terminated: bool, truncated: bool) -> None:
        """Ends the clip."""
        self.tally.end(self._length, terminated, truncated, self._before)
        if self._part.rewards:
            self._hand_over()
        self.clip += 1
        self._part = None

    def finish(self, seed: int, coverage: Iterable[Coverage]) -> None:
        """Writes what is left, and what is known of the recording. Resets the environment."""
        self._write()
        for index in sorted(self._parted):  # Minari notes the last part's length alone
            length = self.tally.lengths[index]
            self._dataset.storage.update_episode_metadata([{"total_steps": length}], [index])
        discount = self.reality.reward_discount if self._discounted else 0.0
        horizon = int(self.horizon or self.tally.limit())  # environments may keep their time limit to themselves
        total = self.kinds.total()
        known: Counter[str] = Counter()
        for name, count in self._classes.items() if self.reality.transition_classes else ():
            known[name if name in self.reality.transition_classes else "other"] += count
        metadata = {
            "version": __version__,
            "reality": asdict(self.reality.spec),
            "seed": seed,
            "horizon": horizon,
            "action_names": self._names,
            "action_space": self.actions.to_dict(),
            "clip_shares": {k.name: round(self.kinds[k.name] / total, 4) for k in coverage if self.kinds[k.name]},
            "transition_shares": {name: round(count / total, 4) for name, count in known.items()},
            "reward_discount": discount,
            "things": sorted(self._things),
            "held_out": self.reality.held_out(self.env),
            "summary": self.tally.summary(discount, horizon),
        }
        self._dataset.storage.update_metadata({"nova_gym": json.dumps(metadata)})

    def _empty(self, **begins: Any) -> EpisodeBuffer:
        return EpisodeBuffer(id=self.clip, actions=[], rewards=[], terminations=[], truncations=[], **begins)

    def _hand_over(self) -> None:
        """Puts what has come of the present clip among that which waits to be written."""
        part, frames = self._part, np.stack(self._frames)
        space = self.env.action_space
        actions = np.asarray(part.actions, dtype=space.dtype).reshape(len(part.actions), *space.shape)
        self.tally.add(frames, actions, part.rewards, part.terminations)
        self._waiting.append(
            EpisodeBuffer(
                id=part.id,
                seed=part.seed,
                options=part.options,
                observations=frames,
                actions=actions,
                rewards=part.rewards,
                terminations=part.terminations,
                truncations=part.truncations,
            )
        )
        self._waiting_bytes += frames.nbytes
        self._part, self._frames = self._empty(), self._frames[:0]

    def _write(self) -> None:
        if self._waiting:
            self._dataset = write_episodes(self._dataset, self._id, self._waiting, self.env, self.reality.spec)
        self._waiting, self._waiting_bytes = [], 0

    def _member(self, action: Any) -> Any:
        """The action, or the same as a member of the action space."""
        space = self.env.action_space
        if space.contains(action):
            return action
        try:
            like = np.asarray(action)
            like = like.reshape(space.shape) if like.size == int(np.prod(space.shape)) else like
            like = self.actions.to_env(self.actions.to_model(like[None]))[0]
        except (BadInputError, ValueError, TypeError) as error:
            raise BadInputError(
                f"{action!r} is no action of {self.reality.spec.env_id}, which takes members of {space}"
            ) from error
        return like

    def _is_due(self, reward: float) -> bool:
        """Whether a reward is what `1 - c · step / horizon` makes of 1, or nothing, or a punishment."""
        due = 1 - self.reality.reward_discount * (self._before + self._length) / self.horizon
        return reward <= 0 or abs(reward - due) < 1e-6

    def _action_names(self) -> list[str]:
        names = self.reality.action_names(self.env)
        return names[: self.actions.count] if self.actions.discrete else []


def write_episodes(
    dataset: minari.MinariDataset | None,
    dataset_id: str,
    buffers: list[EpisodeBuffer],
    env: gym.Env,
    spec: RealitySpec,
) -> minari.MinariDataset:
    """Writes episodes, or parts of them, to a dataset.

    Args:
        dataset: to write to; None for a new one.
        dataset_id: of a new one.
        buffers: at least one, with observations (T + 1, H, W, C) uint8. One with the `id` of the last episode that was
            written, or that stands before it, goes on with that.
        env: of the new dataset.
        spec: of the new dataset's frames.

    Returns:
        The dataset.
    """
    if dataset is not None:
        dataset.storage.update_episodes(buffers)
        return dataset
    shape = (*spec.frame_size, 1 if spec.grey else 3)
    with warnings.catch_warnings():  # Minari warns that author and link are missing, but they are optional
        warnings.simplefilter("ignore", UserWarning)
        return minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            env=_portable(env.spec),
            observation_space=gym.spaces.Box(0, 255, shape, np.uint8),
            action_space=env.action_space,
            algorithm_name="nova-gym record",
            description=f"Frames of {spec.env_id} recorded by nova-gym {__version__}",
            jpeg_encoding=False,
        )


def _portable(spec: EnvSpec | None) -> EnvSpec | None:
    """The environment's spec if Minari can store it and make it again; None if it is code, such as a class."""
    try:
        if spec is None or not spec.to_json() or spec.additional_wrappers:
            return None
        return spec if spec.id in gym.registry or ":" in spec.id else None
    except Exception:  # what wrappers keep may be anything
        return None
