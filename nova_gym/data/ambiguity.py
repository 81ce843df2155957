"""How far a frame and an action say what happens next, measured on exact repeats in a recording."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nova_gym.data.clips import Clips

#: Lengths of the past, in frames and actions, by which transitions are told apart.
PASTS = (1, 2, 4)
#: Repeated transitions below which nothing is concluded.
ENOUGH = 30


@dataclass(frozen=True)
class Ambiguity:
    """What repeats in a recording say about memory and chance.

    A transition repeats where the same frame and action are met elsewhere in the recording. All shares are in [0, 1].

    Attributes:
        transitions: of the recording.
        repeated: by length of the past, the share of transitions that repeat when as many last frames and actions have
            to be the same.
        surprising: by length of the past, of these the share whose next frame is not the commonest that follows.
        differs: the probability that two transitions of the same frame and action lead to different frames, over those
            that repeat with the longest past that enough of them share, so that it can be compared with the next.
        remains: the same probability where that whole past is the same.
        reward: the share of transitions whose reward is not the commonest of those between the same two frames by the
            same action.
        termination: the same for whether they end the episode.
    """

    transitions: int
    repeated: dict[int, float]
    surprising: dict[int, float]
    differs: float
    remains: float
    reward: float
    termination: float

    @property
    def enough(self) -> bool:
        """Whether enough transitions repeat to say anything."""
        return self.repeated[PASTS[0]] * self.transitions >= ENOUGH

    @property
    def explained(self) -> float:
        """How much of what a frame and an action leave open the past explains; 0 where they leave nothing open."""
        return max(0.0, 1.0 - self.remains / self.differs) if self.differs else 0.0

    def lines(self) -> list[str]:
        """What it says, a sentence each for memory and chance."""
        if not self.enough:
            return [
                f"memory and chance: hardly any frame repeats ({self.repeated[PASTS[0]]:.1%} of the transitions), so "
                "repeats cannot tell"
            ]
        first = self.surprising[PASTS[0]]
        if not first:
            return ["memory: none needed, the same frame and action always lead to the same frame", "chance: none seen"]
        return [
            f"memory: the same frame and action lead to another frame than usual in {first:.1%} of the repeats; the "
            f"past explains {self.explained:.0%} of that",
            f"chance: {1 - self.explained:.0%} of it is left, with the last {PASTS[-1]} frames and actions the same",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "explained": self.explained, "enough": self.enough}


def ambiguity_of(clips: Clips) -> Ambiguity:
    """Measures a recording with actions."""
    frames = np.concatenate([frame_ids(part.numpy()) for part in clips.frames.split(1024)])
    return measure_ambiguity(
        frames, clips.actions.numpy(), clips.rewards.numpy(), clips.terminations.numpy(), clips.lengths.numpy()
    )


def frame_ids(frames: np.ndarray) -> np.ndarray:
    """Numbers by which frames are told apart: (n, …) of any dtype → (n,) uint64, equal for equal frames."""
    digests = (hashlib.blake2b(np.ascontiguousarray(frame), digest_size=8).digest() for frame in frames)
    return np.frombuffer(b"".join(digests), np.uint64)


def measure_ambiguity(
    frames: np.ndarray, actions: np.ndarray, rewards: np.ndarray, terminations: np.ndarray, lengths: np.ndarray
) -> Ambiguity:
    """Measures clips that lie one after the other.

    Args:
        frames: (F,) uint64, as `frame_ids` gives them.
        actions: (T, …) of any dtype.
        rewards: (T,) undiscounted.
        terminations: (T,) bool.
        lengths: (E,) transitions in each clip; F = T + E.
    """
    clip = np.repeat(np.arange(len(lengths)), lengths)
    source = np.arange(len(clip)) + clip
    position = np.arange(len(clip)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    acts = frame_ids(np.asarray(actions).reshape(len(clip), -1)) if len(clip) else np.zeros(0, np.uint64)
    now, following = frames[source], frames[source + 1]
    keys = {past: _mixed([now, acts]) for past in PASTS}
    for past in PASTS:
        for back in range(1, past):  # before the clip's first frame there is nothing, the same for all clips
            there = position >= back
            before = np.where(there, frames[np.maximum(source - back, 0)], 0)
            acted = np.where(there, acts[np.maximum(np.arange(len(acts)) - back, 0)], 0)
            keys[past] = _mixed([keys[past], before.astype(np.uint64), acted.astype(np.uint64)])
    repeats = {past: _Repeats(keys[past], following) for past in PASTS}
    supported = [past for past in PASTS if repeats[past].shared.sum() >= ENOUGH] or [PASTS[0]]
    longest = repeats[supported[-1]]
    known = _mixed([keys[PASTS[0]], following])
    return Ambiguity(
        transitions=len(clip),
        repeated={past: _mean(found.shared) for past, found in repeats.items()},
        surprising={past: found.surprising for past, found in repeats.items()},
        differs=_mean(repeats[PASTS[0]].differs[longest.shared]),
        remains=_mean(longest.differs[longest.shared]),
        reward=_Repeats(known, frame_ids(np.round(np.asarray(rewards, np.float64), 4) + 0.0)).unusual,
        termination=_Repeats(known, np.asarray(terminations).astype(np.uint64)).unusual,
    )


class _Repeats:
    """Transitions in groups of the same key, and how far their outcomes differ within a group.

    Attributes:
        shared: (T,) bool, whether another transition has the same key.
        differs: (T,) float64, the share of the others with the same key that have another outcome.
        surprising: the share of `shared` whose outcome is not the commonest of its key.
        unusual: the same, as a share of all transitions.
    """

    def __init__(self, keys: np.ndarray, outcomes: np.ndarray) -> None:
        groups, group, size = np.unique(keys, return_inverse=True, return_counts=True)
        _, first, kind, count = np.unique(
            _mixed([keys, outcomes]), return_index=True, return_inverse=True, return_counts=True
        )
        commonest = np.zeros(len(groups), np.int64)
        np.maximum.at(commonest, group[first], count)
        self.shared = size[group] > 1
        self.differs = np.where(self.shared, (size[group] - count[kind]) / np.maximum(size[group] - 1, 1), 0.0)
        others = int((size - commonest).sum())
        self.surprising = others / max(1, int(self.shared.sum()))
        self.unusual = others / max(1, len(keys))


def _mixed(parts: list[np.ndarray]) -> np.ndarray:
    """One number for several: (n,) uint64 each → (n,) uint64."""
    mixed = np.zeros(len(parts[0]), np.uint64)
    for part in parts:  # the finaliser of SplitMix64
        mixed = (mixed ^ part) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0
