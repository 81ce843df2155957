"""A played session as pure state: what a person does to a dream, with the whole history and reality beside it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from minari.data_collector import EpisodeBuffer
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.adapter import encode_frames
from nova_gym.envs.play.recorded import read_recording, write_recording
from nova_gym.envs.reality.real_env import RealityEnv, make_reality
from nova_gym.errors import BadInputError
from nova_gym.model.control import Memory
from nova_gym.simulator import DreamSimulator

#: How many times larger than its frame reality draws itself beside the dream, at most: some draw pixel by pixel.
LARGEST_SCALE = 7


@dataclass(frozen=True)
class Moment:
    """One point of the history.

    Attributes:
        number: no other moment of the session has it.
        state: (1, K) float32.
        latent_action: (1, U) float32, what led here; zero at a start.
        action: the environment's own action that led here, None where there was none.
        step: since the start of the episode.
        reward: of the step that led here.
        total: return so far.
        end: probability that the episode ends here, as the termination head says.
        ended: whether it did.
    """

    number: int
    state: Tensor
    latent_action: Tensor
    action: int | None = None
    step: int = 0
    reward: float = 0.0
    total: float = 0.0
    end: float = 0.0
    ended: bool = False


@dataclass
class Episode:
    """One played episode of reality: its seed and what was done; `frames` has one more than `actions`."""

    seed: int
    held_out: bool
    frames: list[np.ndarray]
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terminations: list[bool] = field(default_factory=list)
    truncations: list[bool] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether reality ended or truncated it."""
        return bool(self.actions) and (self.terminations[-1] or self.truncations[-1])


class PlaySession:
    """A dream, its history and its reality. Every change goes through `do`, so a session can be recorded and replayed.

    Events are lists, JSON-ready, the first item their name: `["reset"]`, `["act", a]`, `["latent", [u…]]`,
    `["control"]`, `["rewind"]`, `["teleport", y, x]` (fractions of the picture) and `["picture", bytes as hex, shape]`.

    Args:
        dream: to play, on the CPU.
        seed: of all starts.

    Attributes:
        history: all moments since the last start, the present one last.
        episode: what reality did in the meantime; None where it has no part in this (no real counterpart, or the
            dream was moved to where reality did not follow).
        events: all that was done.
    """

    def __init__(self, dream: Dream, seed: int = 0) -> None:
        self.dream, self.seed = dream, seed
        self.events: list[list[Any]] = []
        self.played: list[Episode] = []
        self.episode: Episode | None = None
        self.history: list[Moment] = []
        self._reality: RealityEnv | None = make_reality(dream, "pixels", device="cpu") if dream.card.env_id else None
        self._rng = np.random.default_rng([seed, 0x91A7])
        self._numbers = itertools.count()
        self._simulator = DreamSimulator(dream)
        self._places: tuple[Tensor, np.ndarray] | None = None
        self._memory: tuple[int, Memory] | None = None
        self.do(["reset"])

    @property
    def now(self) -> Moment:
        """The present."""
        return self.history[-1]

    @property
    def real_frame(self) -> np.ndarray | None:
        """(H, W, C) uint8, what reality looks like now; None where it has no part in this."""
        return self.episode.frames[-1] if self.episode else None

    def real_picture(self, width: int) -> np.ndarray | None:
        """(H, W, C) uint8, the same drawn by reality itself, as many times larger as fits into `width` pixels."""
        if self.episode is None:
            return None
        scale = min(width // self.real_frame.shape[1], LARGEST_SCALE)
        return self._reality.draw(scale) if scale > 1 else self.real_frame

    @property
    def discrete(self) -> bool:
        """Whether the dream takes the environment's own discrete actions."""
        return self.dream.world_model.config.discrete and self.dream.world_model.config.actions > 0

    @property
    def tile(self) -> int:
        """Pixels a side of a tile of reality's frames, 0 where these have no tiles."""
        return self._reality.reality.tile(self._reality) if self._reality is not None else 0

    def do(self, event: list[Any]) -> None:
        """Carries out one event and notes it.

        Raises:
            BadInputError: there is no such event, or its picture cannot be a start.
        """
        name, *values = event
        if name not in _EVENTS:
            raise BadInputError(f"unknown event {name!r} in a session; there are {', '.join(_EVENTS)}")
        getattr(self, _EVENTS[name])(*values)
        self.events.append(event)

    def save(self, path: Path) -> None:
        """Writes all events, with the last state to check a replay by."""
        write_recording(path, self.dream, self.seed, self.events, self.now.state.numpy())

    @classmethod
    def replay(cls, path: Path, dream: Dream) -> PlaySession:
        """Does again what a recording holds.

        Raises:
            BadInputError: the file is no recording, or of another dream.
        """
        seed, events, _ = read_recording(path, dream)
        session = cls(dream, seed)
        for event in events[1:]:  # the first is the reset that every session begins with
            session.do(event)
        return session

    def real_episodes(self) -> list[EpisodeBuffer]:
        """Episodes that reality took part in, with at least one step, for a Minari dataset.

        Held-out layouts are left out: a dream trained on them could not be evaluated.
        """
        episodes = [*self.played, *([self.episode] if self.episode else [])]
        return [
            EpisodeBuffer(
                seed=episode.seed,
                options={"kind": "played by a person", "starts": "official"},
                observations=np.stack(episode.frames),
                actions=np.asarray(episode.actions, dtype=np.int64),
                rewards=episode.rewards,
                terminations=episode.terminations,
                truncations=episode.truncations,
            )
            for episode in episodes
            if episode.actions and not episode.held_out
        ]

    def _reset(self) -> None:
        self._close_episode()
        seed = int(self._rng.integers(2**31))
        if self._reality is not None:
            frame, _ = self._reality.reset(seed=seed)
            self.episode = Episode(seed, self._reality.reality.is_held_out(self._reality), [frame])
            self._begin(encode_frames(self.dream, frame[None]))
        else:
            bank = next(iter(self.dream.starts.values()))
            self._begin(bank[seed % len(bank)][None])

    def _act(self, action: int) -> None:
        if not self.discrete or not 0 <= action < self.dream.world_model.config.actions:
            raise BadInputError(f"this dream has no action {action}")
        simulator = self._resumed()
        self._advance(simulator, simulator.step(torch.tensor([action])), action)
        if self.episode and not self.episode.over:
            frame, reward, terminated, truncated, _ = self._reality.step(action)
            self.episode.frames.append(frame)
            self.episode.actions.append(action)
            self.episode.rewards.append(reward)
            self.episode.terminations.append(bool(terminated))
            self.episode.truncations.append(bool(truncated))

    def _latent(self, values: list[float]) -> None:
        simulator = self._resumed()
        latent_action = torch.tensor([values], dtype=torch.float32).clamp(-1.0, 1.0)
        self._advance(simulator, simulator.step_latent(latent_action), None)
        self._close_episode()

    def _control(self) -> None:
        """A step of the control model's choice, from all that happened since the start.

        Where actions are discrete, the one whose latent action comes nearest to its answer: so reality can follow.
        """
        with torch.no_grad():
            action, latent_action = self.dream.world_model.choose(self._remember(), self.now.state)
        if self.discrete:
            self._act(int(action))
        else:
            self._latent(latent_action[0].tolist())

    def _remember(self) -> Memory:
        """The control model's memory of all steps that led here; a step more costs a step."""
        model, history = self.dream.world_model, self.history
        known = [i for i, moment in enumerate(history) if self._memory and moment.number == self._memory[0]]
        start, memory = (known[0], self._memory[1]) if known else (0, model.fresh_memory(1))
        for before, after in pairwise(history[start:]):
            memory = model.remember(memory, before.state, after.latent_action)
        self._memory = self.now.number, memory
        return memory

    def _rewind(self) -> None:
        if len(self.history) < 2:
            return
        self.history.pop()
        episode, count = self.episode, self.now.step
        if episode and len(episode.actions) > count:
            for values in (episode.actions, episode.rewards, episode.terminations, episode.truncations):
                del values[count:]
            del episode.frames[count + 1 :]
            self._reality.env.reset(seed=episode.seed)
            for action in episode.actions:  # an environment cannot step back: it goes there again, unseen
                self._reality.env.step(action)

    def _teleport(self, y: float, x: float) -> None:
        """Motion retargeting: the latent action of another moment, one that ends at the place asked for."""
        if not self.discrete:
            raise BadInputError("only in a dream with discrete actions can the agent be put elsewhere")
        latent_actions, places = self._known_places()
        if len(places):
            nearest = int(np.square(places - (y, x)).sum(1).argmin())
            self._latent(latent_actions[nearest].tolist())

    def _picture(self, data: str, shape: list[int]) -> None:
        frame = np.frombuffer(bytes.fromhex(data), dtype=np.uint8).reshape(shape)
        state = encode_frames(self.dream, frame[None])
        self._close_episode()
        self._begin(state)

    def _begin(self, state: Tensor) -> None:
        nothing = torch.zeros(1, self.dream.world_model.config.latent_action)
        self.history = [Moment(next(self._numbers), state.clone(), nothing)]

    def _close_episode(self) -> None:
        if self.episode and self.episode.actions:
            self.played.append(self.episode)
        self.episode = None

    def _resumed(self) -> DreamSimulator:
        """The simulator, put to the present."""
        self._simulator.reset(states=self.now.state)
        self._simulator.steps = self._simulator.steps + self.now.step
        return self._simulator

    @torch.no_grad()
    def _advance(self, simulator: DreamSimulator, result: Any, action: int | None) -> None:
        reward = float(result.reward[0])
        _, end = self.dream.world_model.outcome(self.now.state, result.latent_action, result.state)
        self.history.append(
            Moment(
                number=next(self._numbers),
                state=result.state,
                latent_action=result.latent_action,
                action=action,
                step=int(simulator.steps[0]),
                reward=reward,
                total=self.now.total + reward,
                end=float(end[0]),
                ended=bool(result.terminated[0] | result.truncated[0]),
            )
        )

    @torch.no_grad()
    def _known_places(self) -> tuple[Tensor, np.ndarray]:
        """Latent actions (n, U) and where in the picture (n, 2) they end, as fractions (y, x).

        The first action, which turns the agent where there is one, changes a picture only where the agent is. So the
        middle of the change is its place, and the latent action one that puts it there.
        """
        if self._places is None:
            model = self.dream.world_model
            states = self.dream.starts.get("random", next(iter(self.dream.starts.values())))
            latent_actions = model.translate(states, torch.zeros(len(states), dtype=torch.int64))
            after = model.step(states, latent_actions)
            change = torch.cat(
                [
                    (model.render(a) - model.render(b)).square().mean(1)
                    for a, b in zip(after.split(64), states.split(64), strict=True)
                ]
            )
            change = torch.where(change > 0.05, change, 0.0)
            height, width = change.shape[1:]
            mass = change.sum((1, 2)).clamp(min=1e-9)
            y = (change.sum(2) * (torch.arange(height) + 0.5)).sum(1) / mass / height
            x = (change.sum(1) * (torch.arange(width) + 0.5)).sum(1) / mass / width
            self._places = latent_actions, torch.stack([y, x], 1).numpy()
        return self._places


_EVENTS = {
    "reset": "_reset",
    "act": "_act",
    "latent": "_latent",
    "control": "_control",
    "rewind": "_rewind",
    "teleport": "_teleport",
    "picture": "_picture",
}
