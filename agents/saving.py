"""Agents on disk: `.safetensors` files, which run nothing, or by choice SB3's own zip files.

SB3 pickles part of what it saves, so loading a zip runs code from it. Load only zips that you trust.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from nova_gym.agents.actions import plain_space
from nova_gym.agents.hyperparameters import ALGORITHMS
from nova_gym.agents.policy_file import read_agent, write_agent
from nova_gym.dream import Dream
from nova_gym.envs.adapter import action_space
from nova_gym.envs.frames import observation_space
from nova_gym.errors import AgentFileError, BadInputError
from nova_gym.files import find_file, write_atomically
from nova_gym.tensor_file import DAMAGED, first_line

#: Suffixes of an agent's file: the safe one, and that of SB3's own.
SAFE, ZIP = ".safetensors", ".zip"
#: What a zip may hold, in bytes: its JSON, and all of it.
_JSON, _ALL = 2**24, 2**29
#: Attribute of an SB3 model, kept in its zip: what it was trained in.
_ORIGIN = "nova_gym_origin"
#: Attribute of an SB3 model, kept in its zip: by what its rewards were scaled.
_REWARDS = "nova_gym_rewards"
#: What an agent saw last. SB3 would write it, but sets it anew when training goes on.
PASSING = ("_last_obs", "_last_original_obs", "_last_episode_starts", "ep_info_buffer", "ep_success_buffer")


def save_agent(agent: BaseAlgorithm, path: str | Path, dream: Dream) -> None:
    """Writes an agent to one file, atomically, with a note of the dream whose latents it reads.

    Args:
        agent: PPO, A2C, DQN or SAC.
        path: ending in `.safetensors`, or in `.zip` for SB3's own file: loading that can run code.
        dream: in which it acts.

    Raises:
        BadInputError: the file cannot be written, has another suffix, or the agent does not fit the dream.
    """
    check_agent_file(path)
    origin, rewards = {"encoder": encoder_digest(dream), "env_id": dream.card.env_id}, reward_scale(agent)
    setattr(agent, _ORIGIN, origin)
    setattr(agent, _REWARDS, rewards)
    if Path(path).suffix == ZIP:
        with write_atomically(path) as temporary, temporary.open("wb") as file:
            agent.save(file, exclude=PASSING)
        return
    write_agent(agent, path, {"origin": origin, "rewards": rewards})


def beside(dream: Path) -> Path:
    """The file of an agent that belongs to a dream's file: `lake.policy.safetensors` for `lake.safetensors`."""
    return dream.with_suffix(f".policy{SAFE}")


def check_agent_file(path: str | Path) -> None:
    """Checks a name that an agent is to be saved by.

    Raises:
        BadInputError: it has another suffix.
    """
    if Path(path).suffix not in (SAFE, ZIP):
        raise BadInputError(f"an agent's file ends in {SAFE}, or in {ZIP} for SB3's own file, unlike {path}")


def reward_scale(agent: BaseAlgorithm) -> tuple[float, float, float] | None:
    """Mean, variance and number of the returns by which an agent's rewards are scaled; None where they are not."""
    scaled = agent.get_vec_normalize_env()
    if scaled is not None and scaled.norm_reward:
        return tuple(float(each) for each in (scaled.ret_rms.mean, scaled.ret_rms.var, scaled.ret_rms.count))
    kept = getattr(agent, _REWARDS, None) if scaled is None else None
    return None if kept is None else tuple(kept)


def load_agent(name: str | Path, dream: Dream, device: str = "auto") -> BaseAlgorithm:
    """Reads a PPO, A2C, DQN or SAC agent that `nova-gym agent train`, `save_agent` or SB3's `save()` wrote.

    Args:
        name: name of a shipped agent (`shipped_agents()`), or path of a file. A `.safetensors` file runs nothing. A
            zip is a pickle: a warning says so.
        dream: the dream in which, or in whose reality, the agent is to act.
        device: of the agent, as in SB3.

    Raises:
        BadInputError: there is no such agent, the file holds none, or the agent was made for other observations or
            actions.
    """
    path = find_agent(name)
    agent, origin = (_read_zip if path.suffix == ZIP else _read_safe)(path, device)
    read = agent_observation(agent, dream)
    actions = plain_space(action_space(dream, "discrete"))
    if type(agent.action_space) is not type(actions) or agent.action_space != actions:
        raise BadInputError(f"{path} acts in {agent.action_space}; the dream takes {actions}")
    if read == "latent" and origin.get("encoder") not in (None, encoder_digest(dream)):
        raise BadInputError(f"{path} was trained on the latents of another dream, which differ from those of this one")
    return agent


def agent_observation(agent: Any, dream: Dream) -> str:
    """The kind of observations that an agent reads: `latent` or `pixels`.

    An agent whose features know no size (`FieldFeatures`) is set to the size of this dream's fields.

    Raises:
        BadInputError: its observations have the shape of neither.
    """
    space = agent.observation_space
    latent = observation_space(dream, "latent")
    if space.shape != latent.shape and _any_size(agent) and space.shape[0] == latent.shape[0]:
        agent.observation_space = agent.policy.observation_space = latent
        return "latent"
    for kind in ("latent", "pixels"):
        expected = observation_space(dream, kind).shape
        if space.shape == expected or (kind == "pixels" and space.shape == (expected[2], *expected[:2])):
            return kind
    raise BadInputError(
        f"the agent reads observations of shape {space.shape}; this dream has "
        f"{latent.shape} (latent) and {observation_space(dream, 'pixels').shape} (pixels)"
    )


def _any_size(agent: Any) -> bool:
    features = getattr(getattr(agent, "policy", None), "features_extractor_class", None)
    return getattr(features, "any_size", False)


def shipped_agents() -> dict[str, Path]:
    """Names and files of the agents that come with the package."""
    folder = Path(str(resources.files("nova_gym.agents"))) / "policies"
    return {path.stem: path for path in sorted(folder.glob(f"*{SAFE}"))}


def find_agent(name: str | Path) -> Path:
    """The file behind a name or path.

    Raises:
        BadInputError: there is no such agent.
    """
    shipped = shipped_agents()
    if str(name) in shipped:
        return shipped[str(name)]
    if (path := find_file(name)) is None:
        raise BadInputError(f"no agent {str(name)!r}: neither a file nor one of {', '.join(shipped) or 'none shipped'}")
    return path


def encoder_digest(dream: Dream) -> str:
    """Hash of what makes latents: the encoder's weights, and those of the memory where there is one.

    An agent on latents can be used in all dreams with the same hash.

    The weights are hashed in half precision, as on disk, so saving and loading a dream keeps its hash.
    """
    digest = hashlib.sha256()
    parts = ("encoder", "memory") if getattr(dream.world_model.config, "memory", 0) else ("encoder",)
    for part in parts:
        for name, tensor in sorted(dream.world_model.part(part).state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().numpy().astype(np.float16).tobytes())
    return digest.hexdigest()[:16]


def _read_safe(path: Path, device: str) -> tuple[BaseAlgorithm, dict[str, Any]]:
    """The agent in a `.safetensors` file, and what it was trained in."""
    agent, header = read_agent(path, device)
    origin, rewards = header.get("origin"), header.get("rewards")
    plain = isinstance(origin, dict) and (rewards is None or isinstance(rewards, list))
    if not plain or (rewards and [type(each) for each in rewards] != [float] * 3):
        raise AgentFileError(f"{path} does not say what it was trained in")
    setattr(agent, _ORIGIN, origin)
    setattr(agent, _REWARDS, rewards)
    return agent, origin


def _read_zip(path: Path, device: str) -> tuple[BaseAlgorithm, dict[str, Any]]:
    """The agent in SB3's zip, and what it was trained in, if that is known."""
    algorithm, origin = read_zip_header(path)
    gym.logger.warn(f"loading {path} runs code that it holds, for it is a pickle: load only what you trust")
    try:
        agent = ALGORITHMS[algorithm].load(path, device=device)
        if not all(tensor.isfinite().all() for tensor in agent.policy.state_dict().values()):
            raise ValueError("it holds numbers that are not finite")
        space = agent.observation_space
        agent.predict(np.ones(space.shape, space.dtype), deterministic=True)  # no checksum says that it can act
    except Exception as error:  # a pickle of any version
        raise BadInputError(f"{path} cannot be loaded as {algorithm}: {first_line(error)}") from error
    return agent, origin


def read_zip_header(path: Path, others: dict[str, str] | None = None) -> tuple[str, dict[str, Any]]:
    """What SB3's zip says in its JSON, before anything is unpickled.

    Args:
        path: of the zip.
        others: more algorithms, by an argument that tells them.

    Returns:
        The algorithm's name, and what the agent was trained in; {} if that is not known.

    Raises:
        AgentFileError: it is no such zip, or would fill the memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if sizes["data"] > _JSON or sum(sizes.values()) > _ALL:
                raise ValueError(f"it would unpack to {sum(sizes.values()):,} bytes")
            data = json.loads(archive.read("data"))
            origin = data.get(_ORIGIN) or {}
            told_by = {"n_epochs": "ppo", "exploration_fraction": "dqn", "target_entropy": "sac", **(others or {})}
            return next((name for key, name in told_by.items() if key in data), "a2c"), dict(origin)
    except (zipfile.BadZipFile, NotImplementedError, RecursionError, OSError, EOFError, *DAMAGED, zlib.error) as error:
        raise AgentFileError(f"{path} is not an agent saved by Stable-Baselines3: {first_line(error)}") from error
