"""Reading Minari datasets of frames, one's own and those of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import torch

from nova_gym.data.actions import ActionMap
from nova_gym.data.clips import Clips, unlabelled_clips
from nova_gym.data.observations import ObservedFrames, check_not_codes, find_picture
from nova_gym.data.room import IN_MEMORY, room_for
from nova_gym.errors import BadInputError
from nova_gym.tensor_file import DAMAGED, first_line

#: The largest reward either way, that of 32 bits.
LARGEST_REWARD = float(np.finfo(np.float32).max)
#: Episodes that are looked at for codes that only look like pictures.
_LOOKED_AT = 8


def load_dataset(
    dataset_id: str,
    labels: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
    in_memory: int = IN_MEMORY,
) -> Clips:
    """Reads a Minari dataset of frames, such as `nova-gym record` writes.

    Datasets of others are read where their observations are pictures: (H, W, C), (C, H, W) or grey (H, W), alone or
    within a `Dict`, uint8 or floating point. Of stacked frames the last is taken. What such a dataset says of its
    environment becomes the reality of the recording.

    Args:
        dataset_id: its Minari id, found below Minari's own folder (`MINARI_DATASETS_PATH`). `ID#KEY` names one of
            several pictures in its observations, such as `robot/pick-v0#camera/left`.
        labels: whether to read actions, rewards and terminations.
        progress: called with the number of episodes read and their total.
        in_memory: bytes of frames up to which they are held in memory. More are mapped from a file beside the dataset,
            which is gone when they are no longer used.

    Raises:
        BadInputError: there is no such dataset, its observations are no frames, its actions are of a kind that no dream
            takes (`nova_gym.data.actions.ActionMap`), or the disk is full.
    """
    try:
        return _read(dataset_id, labels, progress, in_memory)
    except BadInputError:
        raise
    except (OSError, EOFError, RecursionError, *DAMAGED) as error:  # HDF5 and Minari have errors of many kinds
        raise BadInputError(f"the dataset {dataset_id!r} is damaged: {first_line(error)}") from error


def _read(dataset_id: str, labels: bool, progress: Callable[[int, int], None], in_memory: int) -> Clips:
    dataset_id, _, key = dataset_id.partition("#")
    dataset = _opened(dataset_id)
    metadata = json.loads(dataset.storage.metadata.get("nova_gym", "{}"))
    own = bool(metadata)
    if own:
        observed = ObservedFrames("", dataset.observation_space.shape, None, 2, 1.0)
    else:
        observed = find_picture(dataset.observation_space, key or None, repr(dataset_id))
        metadata = _described(dataset, observed)
    actions = _action_map(dataset, dataset_id, metadata) if labels else None
    shape = (dataset.total_steps + dataset.total_episodes, observed.colours, *observed.size)
    frames = room_for(shape, in_memory, Path(dataset.storage.data_path))
    discount, horizon = metadata.get("reward_discount", 0.0), metadata.get("horizon", 0)
    acted, rewards, terminations, lengths, filled = [], [], [], [], 0
    for index, episode in enumerate(dataset.iterate_episodes()):
        count, shown = len(episode.rewards), observed.frames_of(episode.observations)
        if index < _LOOKED_AT and not own:
            check_not_codes(shown, repr(dataset_id))
        frames[filled : filled + count + 1] = torch.from_numpy(shown).permute(0, 3, 1, 2)
        filled += count + 1
        lengths.append(count)
        if actions is not None:
            acted.append(actions.to_model(episode.actions))
        terminations.append(episode.terminations)
        rewards.append(undiscounted(np.asarray(episode.rewards, np.float64), discount, horizon))
        if labels and not (np.abs(rewards[-1]) <= LARGEST_REWARD).all():
            raise BadInputError(
                f"episode {index} of {dataset_id!r} has a reward that is no finite number of 32 bits: a dream cannot "
                "learn it"
            )
        progress(index + 1, dataset.total_episodes)
    starts = tuple(
        (meta.get("options") or {}).get("starts", "official")
        for meta in dataset.storage.get_episode_metadata(range(dataset.total_episodes))
    )
    unlabelled = unlabelled_clips(frames, torch.tensor(lengths), metadata, starts)
    if actions is None:
        return unlabelled
    return replace(
        unlabelled,
        metadata={**metadata, "action_space": actions.to_dict()},
        actions=torch.from_numpy(np.concatenate(acted)),
        rewards=torch.from_numpy(np.concatenate(rewards)).float(),
        terminations=torch.from_numpy(np.concatenate(terminations)).bool(),
        action_count=actions.count,
    )


def undiscounted(rewards: np.ndarray, discount: float, horizon: int) -> np.ndarray:
    """Rewards (T,) of an episode without what they lost over its time. A punishment, below 0, has lost nothing."""
    if not discount:
        return rewards
    return np.where(rewards > 0, rewards / (1.0 - discount * np.arange(1, len(rewards) + 1) / horizon), rewards)


def _opened(dataset_id: str) -> minari.MinariDataset:
    try:
        return minari.load_dataset(dataset_id)
    except (FileNotFoundError, ValueError) as error:
        known = ", ".join(minari.list_local_datasets()) or "none yet"
        raise BadInputError(
            f"no dataset {dataset_id!r} on this machine (known: {known}); `nova-gym record` makes one"
        ) from error


def _action_map(dataset: minari.MinariDataset, dataset_id: str, metadata: dict[str, Any]) -> ActionMap:
    try:
        kept = metadata.get("action_space")
        return ActionMap.of_dict(kept) if kept else ActionMap(dataset.action_space)
    except BadInputError as error:
        raise BadInputError(f"{dataset_id!r}: {error}; --no-actions trains without actions") from error


def _described(dataset: minari.MinariDataset, observed: ObservedFrames) -> dict[str, Any]:
    """What a dataset of others says of its environment, in the words of `nova-gym record`."""
    try:
        spec = dataset.env_spec
        if spec is None:
            return {}
        wrappers = [_wrapper(wrapper) for wrapper in spec.additional_wrappers]
        kwargs = {key: value for key, value in spec.kwargs.items() if key != "render_mode"}
        json.dumps(kwargs)
    except Exception:  # what others have written may be anything; frames and actions are read all the same
        return {}
    reality = {
        "env_id": spec.id,
        "env_kwargs": kwargs,
        "frame_size": list(observed.size),
        "wrappers": wrappers,
        "observation": observed.key,
        "grey": observed.colours == 1,
    }
    if spec.max_episode_steps is not None:
        kwargs["max_episode_steps"] = spec.max_episode_steps
    return {"reality": reality, "horizon": int(spec.max_episode_steps or 0)}


def _wrapper(wrapper: Any) -> str:
    """A wrapper of Gymnasium's spec as `RealitySpec.wrappers` has it.

    Raises:
        ValueError: its arguments are not known.
    """
    if wrapper.kwargs is None:
        raise ValueError(f"{wrapper.name} does not tell its arguments")
    return f"{wrapper.entry_point} {json.dumps(wrapper.kwargs)}" if wrapper.kwargs else wrapper.entry_point
