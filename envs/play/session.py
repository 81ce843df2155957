"""A played session without its window: the dream, the history of what was done, and reality beside it."""

from __future__ import annotations

import itertools
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from minari.data_collector import EpisodeBuffer
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.frames import drawing_errors, first_states
from nova_gym.envs.play.by_hand import by_code, by_numbers, by_putting
from nova_gym.envs.play.history import Episode, Moment
from nova_gym.envs.play.recorded import Recording, read_recording, write_recording
from nova_gym.envs.reality.counterpart import dream_at
from nova_gym.envs.reality.real_env import RealityEnv, make_reality
from nova_gym.errors import BadInputError
from nova_gym.model.control import Memory
from nova_gym.simulator import DreamSimulator, Transition

#: Reality beside the dream is drawn at most so many times larger than its frame: some environments draw slowly.
LARGEST_SCALE = 7


class PlaySession:
    """A dream, its history and its reality. Every change goes through `do`, so a session can be recorded and replayed.

    Events are JSON-ready lists that begin with a name: `["reset"]`, `["act", a]`, `["latent", numbers]` (of one cell,
    see `WorldModel.place`), `["code", row, column, code]`, `["control"]`, `["rewind"]`, `["teleport", row, column]` and
    `["picture", bytes as hex, shape]`.

    Args:
        dream: the dream to play, on the CPU.
        seed: of all starts.

    Attributes:
        history: all moments since the last start; the last is the present.
        episode: what reality did since the last start. None if reality does not follow: the dream has no real
            counterpart, or it was changed in a way that reality cannot be.
        events: all events so far.
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
        self._simulator = DreamSimulator(dream, doubt=dream.world_model.has_doubt)
        self._memory: tuple[int, Memory] | None = None
        self.do(["reset"])

    @property
    def now(self) -> Moment:
        """The present."""
        return self.history[-1]

    @property
    def real_frame(self) -> np.ndarray | None:
        """(H, W, C) uint8, what reality looks like now; None if reality does not follow."""
        return self.episode.frames[-1] if self.episode else None

    def real_picture(self, width: int) -> np.ndarray | None:
        """Like `real_frame`, drawn natively and as large as fits into `width` pixels, in whole multiples."""
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
        """Side of a tile of reality's frames in pixels; 0 if they have no tiles."""
        return self._reality.reality.tile(self._reality) if self._reality is not None else 0

    def do(self, event: list[Any]) -> None:
        """Carries out one event and notes it.

        Raises:
            BadInputError: the event is unknown, or cannot be carried out in this dream.
        """
        name, *values = event
        if name not in _EVENTS:
            raise BadInputError(f"unknown event {name!r} in a session; there are {', '.join(_EVENTS)}")
        getattr(self, _EVENTS[name])(*values)
        self.events.append(event)

    def save(self, path: Path) -> None:
        """Writes all events, and the last state, which a replay can be checked against.

        Raises:
            BadInputError: the file cannot be written.
        """
        recording = Recording(self.seed, self.dream.card.env_id or None, self.events, self.now.state.numpy())
        write_recording(path, self.dream, recording)

    @classmethod
    def replay(cls, path: Path, dream: Dream) -> PlaySession:
        """A new session in which all events of a recorded one were carried out.

        Raises:
            BadInputError: the file is not a recorded session, or it was recorded in another dream.
        """
        recording = read_recording(path, dream)
        session = cls(dream_at(dream, recording.reality), recording.seed)
        for event in recording.events[1:]:  # the first is the reset that every session begins with
            session.do(event)
        return session

    def real_episodes(self) -> list[EpisodeBuffer]:
        """The episodes that reality followed for at least one step, for a Minari dataset.

        Episodes on held-out layouts are left out: a dream trained on them could not be evaluated.
        """
        episodes = [*self.played, *([self.episode] if self.episode else [])]
        return [episode.buffer() for episode in episodes if episode.actions and not episode.held_out]

    def _reset(self) -> None:
        self._close_episode()
        seed = int(self._rng.integers(2**31))
        if self._reality is not None:
            frame, _ = self._reality.reset(seed=seed)
            self.episode = Episode(seed, self._reality.reality.is_held_out(self._reality), [frame])
            self._begin(first_states(self.dream, frame[None], official=True), frame)
        else:
            bank = next(iter(self.dream.starts.values()))
            self._begin(bank[seed % len(bank)][None])

    def _act(self, action: int) -> None:
        if not self.discrete or not 0 <= action < self.dream.world_model.config.actions:
            raise BadInputError(f"this dream has no action {action}")
        simulator = self._resumed()
        self._advance(simulator, simulator.step(torch.tensor([action])), action)
        if self.episode and not self.episode.over:
            own = dream_actions(self.dream).to_env(np.array([action]))[0]
            self.episode.add(own, *self._reality.step(own)[:4])

    def _latent(self, numbers: list[float]) -> None:
        self._set(by_numbers(self.dream.world_model, numbers, self.dream.cells))

    def _code(self, row: int, column: int, code: int) -> None:
        self._set(by_code(self.dream.world_model, self.now.state, (row, column), code))

    def _teleport(self, row: int, column: int) -> None:
        self._set(by_putting(self.dream.world_model, self.now.state, (row, column)))

    def _set(self, latent_action: Tensor) -> None:
        """A step by a latent action (1, U, rows, cols) that a person set. Reality does not follow it.

        It pays nothing, and only a lost dream or the horizon ends the episode: the heads know what actions lead to,
        and take an agent that appears somewhere for one at the goal.
        """
        simulator = self._resumed()
        result = simulator.step_latent(latent_action)
        nothing = torch.zeros_like(result.reward)
        self._advance(simulator, result._replace(reward=nothing, terminated=nothing > 0), None, end=0.0)
        self._close_episode()

    def _control(self) -> None:
        """A step that the control model chooses, from all steps since the start.

        With discrete actions, the one whose latent action is nearest to its answer is taken, so reality can follow.
        """
        with torch.no_grad():
            action, latent_action = self.dream.world_model.choose(self._remember(), self.now.state)
        if self.discrete:
            self._act(int(action))
        else:
            simulator = self._resumed()
            self._advance(simulator, simulator.step_latent(latent_action), None)
            self._close_episode()

    def _remember(self) -> Memory:
        """The control model's memory of all steps that led here, kept up to date step by step."""
        model, history = self.dream.world_model, self.history
        known = [i for i, moment in enumerate(history) if self._memory and moment.number == self._memory[0]]
        start, memory = (known[0], self._memory[1]) if known else (0, model.fresh_memory(1, self.dream.cells))
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
            episode.cut(count)
            self._reality.env.reset(seed=episode.seed)
            for action in episode.actions:  # environments cannot step back, so it replays the episode up to here
                self._reality.env.step(action)

    def _picture(self, data: str, shape: list[int]) -> None:
        frame = np.frombuffer(bytes.fromhex(data), dtype=np.uint8).reshape(shape)
        state = first_states(self.dream, frame[None])
        self._close_episode()
        self._begin(state, frame)

    def _begin(self, state: Tensor, frame: np.ndarray | None = None) -> None:
        errors = None if frame is None else drawing_errors(self.dream, state, frame[None])
        self._simulator.reset(states=state, errors=errors)
        nothing = torch.zeros(1, self.dream.world_model.config.latent_action, *self.dream.cells)
        self.history = [Moment(next(self._numbers), state.clone(), nothing, belief=self._simulator.belief)]

    def _close_episode(self) -> None:
        if self.episode and self.episode.actions:
            self.played.append(self.episode)
        self.episode = None

    def _resumed(self) -> DreamSimulator:
        """The simulator, set to the present moment."""
        self._simulator.reset(states=self.now.state)
        self._simulator.steps = self._simulator.steps + self.now.step
        self._simulator.belief = self.now.belief
        return self._simulator

    @torch.no_grad()
    def _advance(
        self, simulator: DreamSimulator, result: Transition, action: int | None, end: float | None = None
    ) -> None:
        reward = float(result.reward[0])
        if end is None:
            actions = None if action is None else torch.tensor([action])
            outcome = self.dream.world_model.outcome(self.now.state, result.latent_action, result.state, actions)
            end = float(outcome[1][0])
        self.history.append(
            Moment(
                number=next(self._numbers),
                state=result.state,
                latent_action=result.latent_action,
                action=action,
                step=int(simulator.steps[0]),
                reward=reward,
                total=self.now.total + reward,
                end=end,
                ended=bool(result.terminated[0] | result.truncated[0]),
                belief=simulator.belief,
            )
        )


_EVENTS = {
    "reset": "_reset",
    "act": "_act",
    "latent": "_latent",
    "code": "_code",
    "control": "_control",
    "rewind": "_rewind",
    "teleport": "_teleport",
    "picture": "_picture",
}
