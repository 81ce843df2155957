"""Agents on disk: SB3's own zip files.

SB3 pickles part of what it saves, so loading an agent runs code from its file. Load only agents that ship with the
package or that you trust.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from nova_gym.agents.actions import plain_space
from nova_gym.agents.hyperparameters import ALGORITHMS
from nova_gym.dream import Dream
from nova_gym.envs.adapter import action_space
from nova_gym.envs.frames import observation_space
from nova_gym.errors import BadInputError
from nova_gym.files import write_atomically

#: Attribute of an SB3 model, kept in its zip: what it was trained in.
_ORIGIN = "nova_gym_origin"
#: Attribute of an SB3 model, kept in its zip: by what its rewards were scaled.
_REWARDS = "nova_gym_rewards"
#: What an agent saw last. SB3 would write it, but sets it anew when training goes on.
PASSING = ("_last_obs", "_last_original_obs", "_last_episode_starts", "ep_info_buffer", "ep_success_buffer")


def save_agent(agent: BaseAlgorithm, path: str | Path, dream: Dream) -> None:
    """Writes an agent to one SB3 zip, atomically, with a note of the dream whose latents it reads.

    Raises:
        BadInputError: the file cannot be written.
    """
    setattr(agent, _ORIGIN, {"encoder": encoder_digest(dream), "env_id": dream.card.env_id})
    setattr(agent, _REWARDS, reward_scale(agent))
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        agent.save(file, exclude=PASSING)


def reward_scale(agent: BaseAlgorithm) -> tuple[float, float, float] | None:
    """Mean, variance and number of the returns by which an agent's rewards are scaled; None where they are not."""
    scaled = agent.get_vec_normalize_env()
    if scaled is not None and scaled.norm_reward:
        return tuple(float(each) for each in (scaled.ret_rms.mean, scaled.ret_rms.var, scaled.ret_rms.count))
    kept = getattr(agent, _REWARDS, None) if scaled is None else None
    return None if kept is None else tuple(kept)


def load_agent(name: str | Path, dream: Dream, device: str = "auto") -> BaseAlgorithm:
    """Reads a PPO, A2C, DQN or SAC agent that `nova-gym agent train` or SB3's `save()` wrote.

    Args:
        name: name of a shipped agent (`shipped_agents()`), or path of a zip that you trust: it is a pickle.
        dream: the dream in which, or in whose reality, the agent is to act.
        device: of the agent, as in SB3.

    Raises:
        BadInputError: there is no such agent, the file is not an SB3 zip, or the agent was made for other observations
            or actions.
    """
    path = find_agent(name)
    algorithm, origin = _read_header(path)
    try:
        agent = ALGORITHMS[algorithm].load(path, device=device)
    except Exception as error:
        raise BadInputError(f"{path} cannot be loaded as {algorithm}: {error}") from error
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
    return {path.stem: path for path in sorted(folder.glob("*.zip"))}


def find_agent(name: str | Path) -> Path:
    """The file behind a name or path.

    Raises:
        BadInputError: there is no such agent.
    """
    shipped = shipped_agents()
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name)
    if not path.is_file():
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


def _read_header(path: Path) -> tuple[str, dict[str, Any]]:
    """(algorithm, origin) from the zip's JSON, before anything is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise BadInputError(f"{path} is not an agent saved by Stable-Baselines3: {error}") from error
    told_by = {"n_epochs": "ppo", "exploration_fraction": "dqn", "target_entropy": "sac"}
    algorithm = next((name for key, name in told_by.items() if key in data), "a2c")
    return algorithm, data.get(_ORIGIN) or {}
