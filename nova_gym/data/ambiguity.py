"""How far a frame and an action say what happens next, measured on exact repeats in a recording."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nova_gym.data.clips import Clips

#: Lengths of the past, in frames and actions, by which transitions are told apart.
PASTS = (1, 2, 4, 8)
#: Repeated transitions below which nothing is concluded.
ENOUGH = 30
#: Share of transitions that have to repeat, and of these the share that has to repeat with a longer past too. Where few
#: do, they are special ones, such as the first of an episode.
MOST = 0.5


@dataclass(frozen=True)
class Ambiguity:
    """What repeats in a recording say about memory and chance.

    A transition repeats where the same frame and action are met elsewhere in the recording. All shares are in [0, 1].

    Attributes:
        transitions: of the recording.
        repeated: by length of the past, the share of transitions that repeat when as many last frames and actions have
            to be the same.
        surprising: by length of the past, of these the share whose next frame is not the commonest that follows.
        past: of those that enough transitions share to compare them, the length that explains most; 1 if only the last
            frame and action are shared.
        differs: the probability that two transitions of the same frame and action lead to different frames, over those
            that repeat with that past, so that it can be compared with the next.
        remains: the same probability where that whole past is the same.
        reward: the share of transitions whose reward is not the commonest of those between the same two frames by the
            same action.
        termination: the same for whether they end the episode.
    """

    transitions: int
    repeated: dict[int, float]
    surprising: dict[int, float]
    past: int
    differs: float
    remains: float
    reward: float
    termination: float

    @property
    def enough(self) -> bool:
        """Whether repeats speak for the recording: most of its transitions repeat, and more than a few."""
        return self.repeated[PASTS[0]] >= MOST and self.repeated[PASTS[0]] * self.transitions >= ENOUGH

    @property
    def explained(self) -> float:
        """How much of what a frame and an action leave open the past explains; 0 where they leave nothing open."""
        return _explained(self.differs, self.remains)

    def lines(self) -> list[str]:
        """What it says, a sentence each for memory and chance."""
        if not self.enough:
            return [
                f"memory and chance: {'few' if self.repeated[PASTS[0]] > MOST / 10 else 'hardly any'} frames repeat "
                f"({self.repeated[PASTS[0]]:.1%} of the transitions), so repeats cannot tell"
            ]
        first = self.surprising[PASTS[0]]
        if not first:
            return ["memory: none needed, the same frame and action always lead to the same frame", "chance: none seen"]
        usual = f"memory: the same frame and action lead to another frame than usual in {first:.1%} of the repeats; "
        if self.past == PASTS[0]:
            return [usual + "too few of them share a longer past to say what that explains", "chance: not told apart"]
        return [
            f"{usual}the past explains {self.explained:.0%} of that",
            f"chance: {1 - self.explained:.0%} of it is left when the last {self.past} frames and actions are the same",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "explained": self.explained, "enough": self.enough}


def ambiguity_of(clips: Clips) -> Ambiguity:
    """Measures a recording with actions."""
    return measure_ambiguity(
        _ids(clips), clips.actions.numpy(), clips.rewards.numpy(), clips.terminations.numpy(), clips.lengths.numpy()
    )


def frames_decide(clips: Clips, chosen: np.ndarray) -> bool:
    """Whether the same frame and action have led to the same frame wherever chosen transitions repeat, and enough do.

    Args:
        clips: a recording with actions.
        chosen: (n,) int64, transitions.
    """
    frames, acts = _ids(clips), frame_ids(clips.actions.numpy().reshape(len(clips.source), -1))
    source = clips.source.numpy()
    repeats = Repeats(_mixed([frames[source], acts]), frames[source + 1])
    shared = chosen[repeats.shared[chosen]]
    return len(shared) >= ENOUGH and not repeats.differs[shared].any()


def _ids(clips: Clips) -> np.ndarray:
    """(F,) uint64, `frame_ids` of a recording's frames, read part by part."""
    return np.concatenate([frame_ids(part.numpy()) for part in clips.frames.split(1024)])


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
        for back in range(1, past):
            before = frames[np.maximum(source - back, 0)]
            keys[past] = _mixed([keys[past], before, acts[np.maximum(np.arange(len(acts)) - back, 0)]])
    repeats = {past: Repeats(keys[past], following, position >= past - 1) for past in PASTS}
    needed = max(ENOUGH, MOST * repeats[PASTS[0]].shared.sum())
    supported = [past for past in PASTS[1:] if repeats[past].shared.sum() >= needed]
    compared = {past: _compared(repeats[PASTS[0]], repeats[past]) for past in supported or PASTS[:1]}
    past = max(compared, key=lambda past: _explained(*compared[past]))
    known = _mixed([keys[PASTS[0]], following])
    return Ambiguity(
        transitions=len(clip),
        repeated={past: _mean(found.shared) for past, found in repeats.items()},
        past=past,
        surprising={past: found.surprising for past, found in repeats.items()},
        differs=compared[past][0],
        remains=compared[past][1],
        reward=Repeats(known, frame_ids(np.round(np.asarray(rewards, np.float64), 4) + 0.0)).unusual,
        termination=Repeats(known, np.asarray(terminations).astype(np.uint64)).unusual,
    )


class Repeats:
    """Transitions in groups of the same key, and how far their outcomes differ within a group.

    Args:
        keys, outcomes: (T,) uint64.
        known: (T,) bool, the transitions that have a key; None for all.

    Attributes:
        shared: (T,) bool, whether another transition has the same key.
        differs: (T,) float64, the share of the others with the same key that have another outcome.
        surprising: the share of `shared` whose outcome is not the commonest of its key.
        unusual: the same, as a share of all transitions.
    """

    def __init__(self, keys: np.ndarray, outcomes: np.ndarray, known: np.ndarray | None = None) -> None:
        self.shared, self.differs = np.zeros(len(keys), bool), np.zeros(len(keys))
        rows = np.arange(len(keys)) if known is None else np.flatnonzero(known)
        keys, outcomes = keys[rows], outcomes[rows]
        groups, group, size = np.unique(keys, return_inverse=True, return_counts=True)
        _, first, kind, count = np.unique(
            _mixed([keys, outcomes]), return_index=True, return_inverse=True, return_counts=True
        )
        commonest = np.zeros(len(groups), np.int64)
        np.maximum.at(commonest, group[first], count)
        self.shared[rows] = size[group] > 1
        self.differs[rows] = (size[group] - count[kind]) / np.maximum(size[group] - 1, 1)
        others = int((size - commonest).sum())
        self.surprising = others / max(1, int(self.shared.sum()))
        self.unusual = others / max(1, len(self.shared))


def _mixed(parts: list[np.ndarray]) -> np.ndarray:
    """One number for several: (n,) uint64 each → (n,) uint64."""
    mixed = np.zeros(len(parts[0]), np.uint64)
    for part in parts:  # the finaliser of SplitMix64
        mixed = (mixed ^ part) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed


def _compared(short: Repeats, long: Repeats) -> tuple[float, float]:
    """How often outcomes differ after the same short and after the same long past, where the long one repeats."""
    return _mean(short.differs[long.shared]), _mean(long.differs[long.shared])


def _explained(differs: float, remains: float) -> float:
    return max(0.0, 1.0 - remains / differs) if differs else 0.0


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0
