"""The door between Gymnasium's NumPy and the simulator's torch; scalar and vector environment share it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from nova_gym.dream import Dream
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.registry import find_reality
from nova_gym.envs.reality.spec import RealitySpec
from nova_gym.errors import BadInputError
from nova_gym.model.inr import Resolution, parse_resolution
from nova_gym.simulator import STATE_LIMIT, DreamSimulator, Transition

OBSERVATIONS, ACTIONS = ("latent", "pixels"), ("discrete", "latent", "codebook")

#: What `reset(options=...)` understands.
RESET_OPTIONS = ("frame", "latent", "reality")
#: What `info` says of a dream.
INFO = ("latent", "latent_action", "step", "lost")


class DreamInterface:
    """Spaces of a dream and conversions through the door.

    Args:
        dream: a `Dream`, the name of a shipped one, or the path of a file.
        observation: `latent` or `pixels`.
        action: `discrete`, the environment's own actions (a `Box` where those are continuous); `latent`; or `codebook`,
            the discrete actions that the dream has learned by itself.
        starts: which of the dream's starts a reset draws from, None for its `default_starts`, or `reality`: fresh
            resets of the real environment.
        device: where to dream.

    Raises:
        BadInputError: any of these is unknown.
    """

    def __init__(
        self, dream: Dream | str, observation: str, action: str, starts: str | None, device: str | torch.device
    ) -> None:
        if observation not in OBSERVATIONS:
            raise BadInputError(f"unknown observation {observation!r}; there are {', '.join(OBSERVATIONS)}")
        if action not in ACTIONS:
            raise BadInputError(f"unknown action {action!r}; there are {', '.join(ACTIONS)}")
        self.dream = (dream if isinstance(dream, Dream) else Dream.load(dream)).to(device)
        starts = starts or self.dream.default_starts
        if starts not in self.dream.starts and starts != "reality":
            raise BadInputError(f"unknown starts {starts!r}; this dream has {', '.join(self.dream.starts)}, reality")
        self.observation, self.action, self.starts = observation, action, starts
        self._reality: tuple[Reality, gym.Env] | None = None
        config = self.dream.world_model.config
        self.observation_space = observation_space(self.dream, observation)
        if action == "discrete" and not config.actions:
            others = "'latent' or 'codebook'" if config.codes else "'latent'"
            raise BadInputError(f"this dream was made from video without actions: take action={others}")
        if action == "codebook" and not config.codes:
            others = "'discrete' or 'latent'" if config.actions else "'latent'"
            raise BadInputError(f"this dream has no codebook of learned actions: take action={others}")
        if action == "latent":
            self.action_space: spaces.Space = spaces.Box(-1.0, 1.0, (config.latent_action,), np.float32)
        elif action == "codebook":
            self.action_space = spaces.Discrete(config.codes)
        elif config.discrete:
            self.action_space = spaces.Discrete(config.actions)
        else:
            low, high = (np.asarray(bound, np.float32) for bound in self.dream.card.action_bounds)
            self.action_space = spaces.Box(low, high, dtype=np.float32)

    @property
    def device(self) -> torch.device:
        """Where the dream is."""
        return self.dream.world_model.device

    def observe(self, states: Tensor) -> np.ndarray:
        """States (N, K) → observations (N, K) float32 or (N, H, W, C) uint8."""
        return observe(self.dream, states, self.observation)

    def to_tensor(self, actions: np.ndarray, ignored: np.ndarray | None = None) -> Tensor:
        """Actions (N,) or (N, length) → a tensor for the simulator; latent actions are clipped to the space.

        Args:
            actions: one for each dream.
            ignored: (N,) bool, dreams whose action is not looked at: they get zeros; None for no dream.

        Raises:
            BadInputError: they do not belong to the action space (a latent action: wrong shape or not finite).
        """
        if ignored is not None and ignored.any():
            kind = torch.int64 if isinstance(self.action_space, spaces.Discrete) else torch.float32
            whole = torch.zeros((len(ignored), *self.action_space.shape), dtype=kind, device=self.device)
            kept = [action for action, unseen in zip(actions, ignored, strict=True) if not unseen]
            if kept:
                whole[torch.from_numpy(~ignored).to(self.device)] = self.to_tensor(np.asarray(kept))
            return whole
        actions = np.asarray(actions)
        if actions.dtype.kind not in "iufc":
            raise BadInputError(f"invalid action {actions!r}; each must be a member of {self.action_space}")
        if isinstance(self.action_space, spaces.Discrete):
            valid = actions.ndim == 1 and actions.dtype.kind in "iu"
            if not valid or actions.min() < 0 or actions.max() >= self.action_space.n:
                raise BadInputError(f"invalid action {actions!r}; each must be an integer of {self.action_space}")
            return torch.from_numpy(actions.astype(np.int64)).to(self.device)
        if actions.shape[1:] != self.action_space.shape or not np.isfinite(actions).all():
            raise BadInputError(f"invalid action {actions!r}; each must be finite and of {self.action_space}")
        clipped = np.clip(actions, self.action_space.low, self.action_space.high).astype(np.float32)
        return torch.from_numpy(clipped).to(self.device)

    def step(self, simulator: DreamSimulator, actions: np.ndarray, ignored: np.ndarray | None = None) -> Transition:
        """Steps the simulator by actions of this door's kind; what is `ignored` is said in `to_tensor`."""
        tensor = self.to_tensor(actions, ignored)
        if self.action == "codebook":
            return simulator.step_code(tensor)
        return simulator.step_latent(tensor) if self.action == "latent" else simulator.step(tensor)

    def start(self, options: dict[str, Any] | None, rng: np.random.Generator) -> Tensor:
        """One state (K,) to start from, drawn from the dream's starts or as `options` say.

        Raises:
            BadInputError: an unknown option, more than one, or a value that cannot be a start.
        """
        options = options or {}
        unknown = [key for key in options if key not in RESET_OPTIONS]
        if unknown or len(options) > 1:
            raise BadInputError(f"reset takes one option of {', '.join(RESET_OPTIONS)}, not {list(options)}")
        if "frame" in options:
            return encode_frames(self.dream, np.asarray(options["frame"])[None])[0]
        if "latent" in options:
            return self._latent(options["latent"])
        if options.get("reality") or self.starts == "reality":
            return self._from_reality(rng)
        bank = self.dream.starts[self.starts]
        return bank[int(rng.integers(len(bank)))]

    def info(self, simulator: DreamSimulator) -> dict[str, np.ndarray]:
        """What `info` says of each dream: `latent` (N, K), `latent_action` (N, U), `step` (N,), `lost` (N,); copies."""
        values = simulator.state, simulator.latent_action, simulator.steps, simulator.lost
        return {key: value.cpu().numpy().copy() for key, value in zip(INFO, values, strict=True)}

    def render(self, states: Tensor, resolution: Resolution | None) -> np.ndarray:
        """States (N, K) → (N, H, W, 3) uint8 frames; grey ones as RGB, for Gymnasium knows no other pictures."""
        frames = self.dream.world_model.render(states, resolution, as_bytes=True).cpu().numpy()
        return frames.repeat(3, axis=-1) if frames.shape[-1] == 1 else frames

    def check_resolution(self, resolution: Resolution | None) -> tuple[int, int]:
        """(H, W) that `render()` draws, by default the size of the real frames.

        Raises:
            BadInputError: it is no resolution.
        """
        try:
            return parse_resolution(self.dream.world_model.config.frame_size if resolution is None else resolution)
        except ValueError as error:
            raise BadInputError(str(error)) from error

    def _latent(self, latent: Any) -> Tensor:
        try:
            state = torch.as_tensor(np.asarray(latent, dtype=np.float32))
        except (TypeError, ValueError) as error:
            raise BadInputError(f"a latent start must be numbers: {error}") from error
        rank = self.dream.world_model.config.rank
        if state.shape != (rank,) or not bool(state.isfinite().all()):
            raise BadInputError(
                f"a latent start must be {rank} finite numbers (as info['latent'] gives them), "
                f"not an array of shape {tuple(state.shape)}"
            )
        return state.to(self.device)

    def _from_reality(self, rng: np.random.Generator) -> Tensor:
        if self._reality is None:
            reality = reality_of(self.dream)
            self._reality = reality, reality.make()
        reality, env = self._reality
        env.reset(seed=int(rng.integers(2**31)))
        return encode_frames(self.dream, reality.frame(env)[None])[0]


def observation_space(dream: Dream, observation: str) -> spaces.Box:
    """(K,) float32 within ±`STATE_LIMIT` for `latent`, (H, W, C) uint8 for `pixels`."""
    config = dream.world_model.config
    if observation == "latent":
        return spaces.Box(-STATE_LIMIT, STATE_LIMIT, (config.rank,), np.float32)
    return spaces.Box(0, 255, (*config.frame_size, config.inr.channels), np.uint8)


def observe(dream: Dream, states: Tensor, observation: str) -> np.ndarray:
    """States (N, K) as observations of the given kind; a copy."""
    if observation == "latent":
        return states.cpu().numpy().copy()
    return dream.world_model.render(states, as_bytes=True).cpu().numpy()


@torch.no_grad()
def encode_frames(dream: Dream, frames: np.ndarray) -> Tensor:
    """Pictures as states.

    Args:
        dream: whose encoder to use.
        frames: (N, H, W, C) uint8, or floating point in [0, 1], of the dream's frame size.

    Returns:
        (N, K) float32 on the dream's device.

    Raises:
        BadInputError: another shape or type, NaN, or values outside the range.
    """
    config = dream.world_model.config
    expected = (*config.frame_size, config.inr.channels)
    if frames.shape[1:] != expected:
        raise BadInputError(f"a frame must be (height, width, channels) = {expected}, not {frames.shape[1:]}")
    if frames.dtype == np.uint8:
        frames = frames.astype(np.float32) / 255.0
    elif not np.issubdtype(frames.dtype, np.floating):
        raise BadInputError(f"a frame must be uint8, or floating point in [0, 1], not {frames.dtype}")
    elif not (np.isfinite(frames).all() and frames.min() >= 0.0 and frames.max() <= 1.0):
        raise BadInputError("a floating-point frame must be finite and within [0, 1]")
    tensor = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32)).permute(0, 3, 1, 2)
    return dream.world_model.encode(tensor.to(dream.world_model.device))


def reality_of(dream: Dream) -> Reality:
    """The real counterpart of a dream.

    Raises:
        BadInputError: its card names none, or it cannot be made here.
    """
    if not dream.card.env_id:
        raise BadInputError("this dream has no real counterpart: its card names no environment")
    size = tuple(dream.world_model.config.frame_size)
    return find_reality(RealitySpec(dream.card.env_id, dream.card.env_kwargs, size))
