"""What a recording has seen: rewards, endings, actions, how much of it differs; and what it lacks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from nova_gym.data.actions import ActionMap
from nova_gym.data.ambiguity import frame_ids, measure_ambiguity
from nova_gym.data.datasets import undiscounted

#: Rewards of at most so many different values are listed.
_LISTED = 16
#: Actions that were never taken are named up to this many.
_NAMED = 8


class Tally:
    """Counts what passes by while a recording is made; keeps some 40 bytes a transition.

    Args:
        actions: the map of the environment's actions.
        names: of its discrete actions, where known.
    """

    def __init__(self, actions: ActionMap, names: list[str]) -> None:
        self._actions, self._names = actions, names
        self._frames: list[np.ndarray] = []
        self._acted: list[np.ndarray] = []
        self._rewards: list[np.ndarray] = []
        self._ends: list[np.ndarray] = []
        self.lengths: list[int] = []
        self._ended: list[int] = []
        self._truncated: set[int] = set()
        self._latest = 0
        self.endings: Counter[str] = Counter()

    def add(self, frames: np.ndarray, actions: np.ndarray, rewards: list[float], terminations: list[bool]) -> None:
        """Counts a part of a clip: frames (n, H, W, C), of which the first part of a clip has one more than actions."""
        self._frames.append(frame_ids(frames))
        self._acted.append(self._actions.to_model(actions))
        self._rewards.append(np.asarray(rewards, np.float64))
        self._ends.append(np.asarray(terminations, bool))

    def end(self, length: int, terminated: bool, truncated: bool, before: int = 0) -> None:
        """Counts the end of a clip of `length` transitions that began `before` steps after its episode."""
        self.lengths.append(length)
        self._latest = max(self._latest, before + length)
        self._ended += [before + length] * terminated
        self._truncated |= {before + length} if truncated and not terminated else set()
        self.endings["terminated" if terminated else "truncated" if truncated else "cut"] += 1

    def limit(self) -> int:
        """Steps after which all truncated episodes ended, if that is one number and none was longer; else 0."""
        return next(iter(self._truncated)) if self._truncated == {self._latest} else 0

    def summary(self, discount: float, horizon: int) -> dict[str, Any]:
        """All that was seen, as plain data.

        Args:
            discount, horizon: of the rewards (`Reality.reward_discount`), so that they are compared without it.

        Returns:
            `rewards`, `endings`, `lengths` (`ended`, of nine in ten clips that terminate, at most; `longest`, of those
            that end), `actions`, `coverage`, `ambiguity`, `memory and chance` (sentences) and `warnings` (sentences).
        """
        lengths, rewards = np.array(self.lengths), np.concatenate(self._rewards)
        acted, ends, frames = np.concatenate(self._acted), np.concatenate(self._ends), np.concatenate(self._frames)
        clips = np.split(rewards, np.cumsum(lengths)[:-1])
        plain = np.concatenate([undiscounted(clip, discount, horizon) for clip in clips])
        longest = max([*self._ended, *self._truncated], default=0)
        measured = measure_ambiguity(frames, acted, plain, ends, lengths)
        seen = {
            "rewards": _rewards(plain, rewards),
            "endings": {
                "clips": len(lengths),
                **{kind: self.endings[kind] for kind in ("terminated", "truncated", "cut")},
                "steps": {"least": int(lengths.min()), "median": float(np.median(lengths)), "most": int(lengths.max())},
            },
            "lengths": {"ended": float(np.quantile(self._ended or [0], 0.9)), "longest": longest},
            "actions": self._shares(acted),
            "coverage": {"transitions": len(acted), "different frames": len(np.unique(frames))},
            "ambiguity": measured.to_dict(),
            "memory and chance": measured.lines(),
        }
        return {**seen, "warnings": self._warnings(seen)}

    def _shares(self, acted: np.ndarray) -> dict[str, Any]:
        """By action its share; of continuous ones by number the least, the mean and the largest that a model sees."""
        if self._actions.discrete:
            counts = np.bincount(acted, minlength=self._actions.count)
            return {name: float(count / len(acted)) for name, count in zip(self._named(), counts, strict=True)}
        columns = (acted.min(0), acted.mean(0), acted.max(0))
        return {str(i): [float(f"{value:.3g}") for value in row] for i, row in enumerate(zip(*columns, strict=True))}

    def _named(self) -> list[str]:
        members = self._actions.to_env(np.arange(self._actions.count))
        known = dict(enumerate(self._names))
        return [known.get(i, str(np.asarray(member).tolist())) for i, member in enumerate(members)]

    def _warnings(self, seen: dict[str, Any]) -> list[str]:
        warnings, endings = [], seen["endings"]
        if not seen["rewards"]["share of others than 0"]:
            warnings.append(
                "nothing pays: every reward is 0, so an agent can learn nothing in a dream of it; record more, or let "
                "a --policy act that reaches what pays"
            )
        if not endings["terminated"]:
            limit = "; a time limit alone ends them" if endings["truncated"] else ""
            warnings.append(f"nothing ends: no episode was terminated, so the dream will end none{limit}")
        if self._actions.discrete:
            never = [name for name, share in seen["actions"].items() if not share]
            if never:
                more = f" and {len(never) - _NAMED} more" if len(never) > _NAMED else ""
                warnings.append(f"never taken: {', '.join(never[:_NAMED])}{more}; the dream cannot know these actions")
        return warnings


def _rewards(plain: np.ndarray, rewards: np.ndarray) -> dict[str, Any]:
    """Of undiscounted and of raw rewards (T,)."""
    values, counts = np.unique(np.round(plain, 4) + 0.0, return_counts=True)
    listed = {f"{value:g}": float(count / len(plain)) for value, count in zip(values, counts, strict=True)}
    return {
        "least": float(rewards.min()),
        "mean": float(rewards.mean()),
        "most": float(rewards.max()),
        "share of others than 0": float((rewards != 0).mean()),
        "values": listed if len(values) <= _LISTED else {},
    }
