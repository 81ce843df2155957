"""Converts between Gymnasium's NumPy arrays and the simulator's tensors, for scalar and vector environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from nova_gym.canvas import Canvas
from nova_gym.dream import Dream
from nova_gym.envs.actions import dream_actions
from nova_gym.envs.arguments import as_array, as_flag, check_words
from nova_gym.envs.frames import drawing_errors, first_states, heard_states, observation_space, observe
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.counterpart import dream_at, reality_of, restart
from nova_gym.envs.reality.unseen import cannot_draw, said, what_is_unseen
from nova_gym.errors import BadInputError
from nova_gym.model.inr import Resolution, parse_resolution
from nova_gym.simulator import DreamSimulator, Transition
from nova_gym.tensor_file import first_line

OBSERVATIONS, ACTIONS = ("latent", "pixels"), ("discrete", "latent", "codebook")

#: What `reset(options=...)` understands.
RESET_OPTIONS = ("frame", "frames", "latent", "reality")
#: What it understands beside these: to refuse a frame that the dream cannot draw, instead of warning.
STRICT = "strict"
#: Actions of more numbers than this are told by their shape in error messages.
LISTED = 16
#: Keys of `info`, beside `doubt`.
INFO = ("latent", "latent_action", "step", "lost")


class DreamInterface:
    """The spaces of a dream as an environment, and conversions between NumPy and torch.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file.
        observation: `latent` or `pixels`.
        action: `discrete`, the environment's own actions, in its own space; `latent`; or `codebook`,
            the discrete actions that the dream has learned by itself.
        starts: what a reset draws from: the name of starts in the dream's file, or of fresh resets of the real
            environment (`reality`, `official`, and `random` where agent and goal can be moved). None stands for the
            dream's `default_starts`.
        device: `auto`, `cpu`, `cuda` …
        reality: id of another real environment to dream of, None for the dream's own. Where it shows what the dream has
            never seen, a warning names that.

    Attributes:
        dream: on the device; its card names the reality.
        actions: the map of the environment's own actions; None where others are chosen.

    Raises:
        BadInputError: an argument is unknown, or the dream has no such actions.
    """

    def __init__(
        self,
        dream: Dream | str,
        observation: str,
        action: str,
        starts: str | None,
        device: str | torch.device,
        reality: str | None = None,
    ) -> None:
        check_words({"observation": observation, "action": action})
        check_words({name: said for name, said in (("starts", starts), ("reality", reality)) if said is not None})
        if observation not in OBSERVATIONS:
            raise BadInputError(f"unknown observation {observation!r}; there are {', '.join(OBSERVATIONS)}")
        if action not in ACTIONS:
            raise BadInputError(f"unknown action {action!r}; there are {', '.join(ACTIONS)}")
        own = (dream if isinstance(dream, Dream) else Dream.load(dream)).to(device)
        self.dream = dream_at(own, reality)
        self.observation, self.action, self.starts = observation, action, starts or self.dream.default_starts
        self._reality: tuple[Reality, gym.Env] | None = None
        self._seen, self._shown = Canvas(self.dream.world_model), Canvas(self.dream.world_model)
        self._check_starts()
        self.observation_space = observation_space(self.dream, observation)
        self.action_space = action_space(self.dream, action)
        self.actions = dream_actions(self.dream) if action == "discrete" else None
        if self.dream is not own:
            self._warn(what_is_unseen(self.dream))

    def _check_starts(self) -> None:
        known = dict.fromkeys([*self.dream.starts, "reality"])
        if self.starts in known:
            return
        if self.dream.card.env_id:
            known["official"] = None
            if reality_of(self.dream).scatters:
                known["random"] = None
        if self.starts not in known:
            raise BadInputError(f"unknown starts {self.starts!r}; this dream has {', '.join(known)}")

    @property
    def device(self) -> torch.device:
        """The device that the dream's tensors are on."""
        return self.dream.world_model.device

    def observe(self, states: Tensor) -> np.ndarray:
        """States (N, K + M, rows, cols) → observations, the same float32 or (N, H, W, C) uint8."""
        if self.observation == "pixels":
            return self._seen.draw(states).cpu().numpy()
        return observe(self.dream, states, self.observation)

    def to_tensor(self, actions: np.ndarray, ignored: np.ndarray | None = None) -> Tensor:
        """Actions (N, …) of the action space as the model takes them; continuous ones are clipped to the space.

        Args:
            actions: one for each dream.
            ignored: (N,) bool, the dreams whose action is replaced by zeros unread; None if all actions count.

        Returns:
            (N,) int64 or (N, length) float32 for the environment's own actions (`ActionMap.to_model`), (N, rows, cols)
            int64 for codes, (N, length) float32 for latent ones.

        Raises:
            BadInputError: an action is outside the action space. A continuous one may exceed the bounds, but must have
                the right shape and be finite.
        """
        if ignored is not None and ignored.any():
            kept = [action for action, unseen in zip(actions, ignored, strict=True) if not unseen]
            if not kept:
                return self._nothing(len(ignored))
            read = self.to_tensor(np.asarray(kept))
            whole = read.new_zeros((len(ignored), *read.shape[1:]))
            whole[torch.from_numpy(~ignored).to(self.device)] = read
            return whole
        actions = as_array(actions, "actions")
        if self.action == "discrete":
            return torch.from_numpy(self.actions.to_model(actions)).to(self.device)
        space = self.action_space
        given = repr(actions) if actions.size <= LISTED else f"array of shape {actions.shape[1:]}, {actions.dtype}"
        if actions.dtype.kind not in "iuf":
            raise BadInputError(f"invalid action {given}; each must be a member of {self._said()}")
        if not isinstance(space, spaces.Box):
            valid = actions.shape[1:] == space.shape and actions.dtype.kind in "iu"
            if not valid or actions.min() < 0 or actions.max() >= space.nvec.max():
                raise BadInputError(f"invalid action {given}; each must be a member of {self._said()}")
            return torch.from_numpy(actions.astype(np.int64)).to(self.device)
        if actions.shape[1:] != space.shape or not np.isfinite(actions).all():
            raise BadInputError(f"invalid action {given}; each must be finite and of {self._said()}")
        clipped = np.clip(actions, space.low, space.high).astype(np.float32)
        return torch.from_numpy(clipped).to(self.device)

    def _nothing(self, count: int) -> Tensor:
        """Zeros in the place of so many actions."""
        shape, kind = self.action_space.shape, torch.int64
        if self.action == "discrete":
            shape, kind = self.actions.shape, torch.int64 if self.actions.discrete else torch.float32
        elif self.action == "latent":
            kind = torch.float32
        return torch.zeros((count, *shape), dtype=kind, device=self.device)

    def _said(self) -> str:
        """The action space, in few words."""
        if isinstance(self.action_space, spaces.MultiDiscrete):
            rows, cols = self.action_space.shape
            return f"{rows} × {cols} codes below {self.action_space.nvec.max()}"
        return str(self.action_space)

    def step(self, simulator: DreamSimulator, actions: np.ndarray, ignored: np.ndarray | None = None) -> Transition:
        """Steps the simulator by actions (N, …) of the chosen kind; `ignored` as in `to_tensor`."""
        tensor = self.to_tensor(actions, ignored)
        if self.action == "codebook":
            return simulator.step_code(tensor)
        if self.action == "latent":
            return simulator.step_latent(self.dream.world_model.place(tensor, self.dream.cells))
        return simulator.step(tensor)

    def start(self, options: dict[str, Any] | None, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One state to start from: the one that `options` name, or one drawn as `starts` says.

        Returns:
            (K + M, rows, cols) float32; (rows, cols) float32, the errors that its frame is drawn with, NaN where no
            frame is known.

        Raises:
            BadInputError: an unknown option, more than one, or a value that cannot be a start; with `strict`, also a
                frame that the dream cannot draw.
        """
        if not (options is None or isinstance(options, dict)):
            raise BadInputError(f"options of a reset are a dictionary, not {type(options).__name__}")
        options = dict(options or {})
        strict = as_flag(options.pop(STRICT, False), STRICT)
        unknown = [key for key in options if key not in RESET_OPTIONS]
        if unknown or len(options) > 1:
            raise BadInputError(
                f"reset takes one option of {', '.join(RESET_OPTIONS)}, and {STRICT}, not {list(options)}"
            )
        if "frame" in options:
            return self._frame(as_array(options["frame"], "a frame"), strict)
        if "frames" in options:
            return self._clip(options["frames"], strict)
        if "latent" in options:
            return self._unknown(self._latent(options["latent"]))
        fresh = as_flag(options.get("reality", False), "the option reality")
        bank = None if fresh else self.dream.starts.get(self.starts)
        return self._from_reality(rng) if bank is None else self._unknown(bank[int(rng.integers(len(bank)))])

    def _unknown(self, state: Tensor) -> tuple[Tensor, Tensor]:
        return state, state.new_full(state.shape[1:], torch.nan)

    def keys(self, generators: list[np.random.Generator]) -> Tensor | None:
        """(N,) int64 keys of chance, one drawn from each generator; None where the dream is not random."""
        if not self.dream.is_random:
            return None
        return torch.tensor([int(rng.integers(2**62)) for rng in generators], device=self.device)

    def info(self, simulator: DreamSimulator) -> dict[str, np.ndarray]:
        """For `info`, copies.

        Returns:
            `latent` (N, K + M, rows, cols) and `latent_action` (N, U, rows, cols) float32, `step` (N,) int64, `lost`
            (N,) bool; where the simulator follows it, `doubt` (N,) float32.
        """
        shown = simulator.state, simulator.latent_action, simulator.steps, simulator.lost
        values = dict(zip(INFO, shown, strict=True))
        if simulator.follows_doubt:
            values["doubt"] = simulator.doubt
        return {key: value.contiguous().cpu().numpy().copy() for key, value in values.items()}

    def render(self, states: Tensor, resolution: Resolution | None) -> np.ndarray:
        """States → (N, H, W, 3) uint8 frames. Grey frames become RGB, which Gymnasium's tools expect."""
        frames = self._shown.draw(states, resolution).cpu().numpy()
        return frames.repeat(3, axis=-1) if frames.shape[-1] == 1 else frames

    def check_resolution(self, resolution: Resolution | None) -> tuple[int, int]:
        """(H, W) that `render()` draws, by default the size of the real frames.

        Raises:
            BadInputError: it is neither None, a number of pixels, nor (H, W).
        """
        try:
            return parse_resolution(self.dream.frame_size if resolution is None else resolution)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadInputError(first_line(error)) from error

    def _clip(self, frames: Any, strict: bool) -> tuple[Tensor, Tensor]:
        """A start whose memory has heard a clip, (T, H, W, C) of T frames, the last of which is the present one."""
        clip = as_array(frames, "a clip of frames")
        if clip.ndim != 4 or not len(clip):
            raise BadInputError(f"frames must be (T, H, W, C), one after the other, not of shape {clip.shape}")
        last, errors = self._frame(clip[-1], strict)
        return (heard_states(self.dream, clip[None])[0] if len(clip) > 1 else last), errors

    def _frame(self, frame: np.ndarray, strict: bool) -> tuple[Tensor, Tensor]:
        states = first_states(self.dream, frame[None])
        (height, width), wanted = frame.shape[:2], self.dream.frame_size
        if (height, width) != wanted:
            raise BadInputError(
                f"the frame has {height}×{width} pixels (height×width); this environment dreams frames of "
                f"{wanted[0]}×{wanted[1]}: make one with a reality of that size"
            )
        errors = drawing_errors(self.dream, states, frame[None])
        words = said(self.dream, *cannot_draw(self.dream, states, errors), "the frame")
        if strict and words:
            raise BadInputError(words)
        self._warn(words)
        return states[0], errors[0]

    def _latent(self, latent: Any) -> Tensor:
        try:
            state = torch.as_tensor(np.asarray(latent, dtype=np.float32))
        except (TypeError, ValueError, OverflowError) as error:
            raise BadInputError(f"a latent start must be numbers: {error}") from error
        config = self.dream.world_model.config
        expected = (config.rank + config.memory, *self.dream.cells)
        if state.shape == (config.rank, *self.dream.cells):
            state = self.dream.world_model.begin(state[None].to(self.device))[0]
        if state.shape != expected or not bool(state.isfinite().all()):
            raise BadInputError(
                f"a latent start must be finite numbers of shape {expected} (as info['latent'] gives them), "
                f"not an array of shape {tuple(state.shape)}"
            )
        return state.to(self.device)

    def _from_reality(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        if self._reality is None:
            reality = reality_of(self.dream)
            self._reality = reality, reality.make()
        reality, env = self._reality
        restart(reality, env, self.starts, rng)
        frame = reality.frame(env)[None]
        states = first_states(self.dream, frame, self.starts != "random")
        return states[0], drawing_errors(self.dream, states, frame)[0]

    def _warn(self, words: str) -> None:
        if words:
            gym.logger.warn(words)


def action_space(dream: Dream, action: str) -> spaces.Space:
    """The space of actions of a kind: `discrete`, `latent` or `codebook`.

    Raises:
        BadInputError: the dream has no such actions.
    """
    model, config = dream.world_model, dream.world_model.config
    if action == "discrete" and not config.actions:
        others = "'latent' or 'codebook'" if config.codes else "'latent'"
        raise BadInputError(f"this dream was made from video without actions: take action={others}")
    if action == "codebook" and not config.codes:
        others = "'discrete' or 'latent'" if config.actions else "'latent'"
        raise BadInputError(f"this dream has no codebook of learned actions: take action={others}")
    if action == "latent":
        return spaces.Box(-1.0, 1.0, (model.places + config.latent_action,), np.float32)
    if action == "codebook":
        return spaces.MultiDiscrete(np.full(dream.cells, config.codes))
    return dream_actions(dream).space
