"""Agents in `.safetensors` files: tensors and JSON, so that loading one runs no code from its file.

A file says which of SB3's algorithms an agent is, with which arguments it is made, and what it has learned: the weights
and the state of the optimiser, so that it can be trained further.
"""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common import torch_layers
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule
from torch import Tensor, nn, optim

from nova_gym.agents import features
from nova_gym.agents.hyperparameters import ALGORITHMS, BUFFER_BYTES
from nova_gym.data.actions import ActionMap
from nova_gym.errors import AgentFileError, BadInputError
from nova_gym.tensor_file import DAMAGED, FileKind, first_line, no_larger_than, read_tensors, write_tensors

KIND = FileKind("nova_gym_agent", "an agent", 1, "train it anew (`nova-gym agent train`)", AgentFileError)
#: Classes that a file may name.
KNOWN: dict[str, type] = {
    each.__name__: each
    for each in (
        *(features.FieldFeatures, features.PlacedFeatures, features.WholeFeatures, features.PatchCNN),
        *(torch_layers.FlattenExtractor, torch_layers.NatureCNN),
        *(nn.Tanh, nn.ReLU, nn.ELU, nn.GELU, nn.SiLU, nn.LeakyReLU),
        *(optim.Adam, optim.AdamW, optim.RMSprop, RMSpropTFLike),
        *(ReplayBuffer, RolloutBuffer),
    )
}
#: Arguments of an algorithm that a file does not keep: what it is given anew, and folders of this machine.
_NOT_KEPT = ("self", "policy", "env", "device", "tensorboard_log", "verbose", "_init_setup_model")
#: Numbers of an observation at most.
LARGEST = 2**24
#: How far training has come.
_PROGRESS = ("num_timesteps", "_n_updates", "_n_calls", "_episode_num", "exploration_rate")


def write_agent(agent: BaseAlgorithm, path: str | Path, header: dict[str, Any]) -> None:
    """Writes an agent to a file, atomically.

    Args:
        agent: PPO, A2C, DQN or SAC, whose policy, features and schedules are of those that such files know (`KNOWN`),
            and whose observations are numbers or pictures.
        path: where.
        header: JSON-ready, kept beside.

    Raises:
        BadInputError: the agent holds something that such a file cannot, or it cannot be written.
    """
    names = {made: name for name, made in ALGORITHMS.items()}
    aliases = {made: name for name, made in agent.policy_aliases.items()}
    if type(agent) not in names or agent.policy_class not in aliases:
        what = type(agent).__name__ if type(agent) not in names else agent.policy_class.__name__
        raise BadInputError(f"{what} cannot be kept in {path}; a name that ends in .zip makes SB3's own file, a pickle")
    seen = agent.observation_space
    tensors: dict[str, Tensor] = {}
    variables = agent._get_torch_save_params()[1]
    kept = {
        "algorithm": names[type(agent)],
        "policy": aliases[agent.policy_class],
        "arguments": {name: getattr(agent, name) for name in _arguments(type(agent)) if hasattr(agent, name)},
        "n_envs": agent.n_envs,
        "observations": {"shape": seen.shape, "low": seen.low.min(), "high": seen.high.max(), "dtype": seen.dtype.name},
        "actions": ActionMap(agent.action_space).to_dict(),
        "progress": {name: getattr(agent, name) for name in _PROGRESS if hasattr(agent, name)},
        "learned": agent.get_parameters(),
        "variables": {name: getattr(agent, name).detach() for name in variables},
    }
    write_tensors(path, tensors, {**header, **_plain(kept, tensors, "")}, KIND)


def read_agent(path: Path, device: str = "auto") -> tuple[BaseAlgorithm, dict[str, Any]]:
    """Reads an agent.

    Args:
        path: of the file.
        device: as in SB3.

    Returns:
        The agent and the header of its file.

    Raises:
        AgentFileError: the file holds no agent.
    """
    tensors, header = read_tensors(path, KIND)
    try:
        made, given = ALGORITHMS[header["algorithm"]], _restored(header["arguments"], tensors)
        if unknown := given.keys() - _arguments(made):
            raise ValueError(f"{made.__name__} has no argument {min(unknown)}")
        if isinstance(given.get("train_freq"), list):
            given["train_freq"] = tuple(given["train_freq"])
        agent = made(header["policy"], env=None, device=device, _init_setup_model=False, **given)
        agent.observation_space = _observations(header["observations"])
        agent.action_space = ActionMap.of_dict(header["actions"]).space
        agent.n_envs = header["n_envs"]
        _check_buffers(agent)
        with no_larger_than(sum(tensor.numel() for tensor in tensors.values())):
            agent._setup_model()
        agent.set_parameters(_restored(header["learned"], tensors), exact_match=True, device=agent.device)
        for name in agent._get_torch_save_params()[1]:
            with torch.no_grad():
                getattr(agent, name).copy_(tensors[f"variables/{name}"])
        for name in _PROGRESS:
            if type(header["progress"].get(name)) in (int, float):
                setattr(agent, name, header["progress"][name])
    except DAMAGED as error:
        raise AgentFileError(f"{path} does not hold what its header says: {first_line(error)}") from error
    return agent, header


def _observations(said: dict[str, Any]) -> spaces.Box:
    shape = said["shape"]
    if not all(type(side) is int and side > 0 for side in shape) or math.prod(shape) > LARGEST:
        raise ValueError(f"its observations have the shape {shape}")
    return spaces.Box(said["low"], said["high"], tuple(shape), np.dtype(said["dtype"]).type)


def _check_buffers(agent: BaseAlgorithm) -> None:
    """Checks what an agent keeps while it learns, of which SB3 makes room at once.

    Raises:
        ValueError: that is too much.
    """
    space, steps = agent.observation_space, getattr(agent, "n_steps", 0) * agent.n_envs
    steps = max(steps, 2 * getattr(agent, "buffer_size", 0))
    if agent.n_envs < 1 or steps * math.prod(space.shape) * space.dtype.itemsize > 2 * BUFFER_BYTES:
        raise ValueError(f"it keeps {steps:,} observations of {space.shape} at a time")


def _arguments(made: type) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(made.__init__).parameters if name not in _NOT_KEPT)


def _plain(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """A value as JSON. Tensors in it are put aside and named; so are known classes.

    Raises:
        BadInputError: it cannot be said so.
    """
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, FloatSchedule):
        value = value.value_schedule
    if isinstance(value, ConstantSchedule):
        value = value.val
    if isinstance(value, TrainFrequencyUnit):
        return value.value
    if isinstance(value, type) and KNOWN.get(value.__name__) is value:
        return {"class": value.__name__}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | TrainFreq):
        return [_plain(each, tensors, f"{name}/{index}") for index, each in enumerate(value)]
    if isinstance(value, dict):
        said = {str(key): _plain(each, tensors, f"{name}/{key}".lstrip("/")) for key, each in value.items()}
        return {"numbered": said} if value and all(isinstance(key, int) for key in value) else said
    raise BadInputError(
        f"{name} of this agent is {value!r:.80}, which only a pickle could keep; a name that ends in .zip makes SB3's "
        "own file"
    )


def _restored(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `_plain`, with lists for tuples."""
    if isinstance(value, list):
        return [_restored(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"tensor"}:
        return tensors[value["tensor"]]
    if value.keys() == {"class"}:
        return KNOWN[value["class"]]
    if value.keys() == {"numbered"}:
        return {int(key): _restored(each, tensors) for key, each in value["numbered"].items()}
    return {key: _restored(each, tensors) for key, each in value.items()}
