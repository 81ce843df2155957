"""An agent's policy as plain tensors and names of layers, for programs without PyTorch, such as a web page."""

from __future__ import annotations

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from nova_gym.agents.features import FieldFeatures, PlacedFeatures, WholeFeatures
from nova_gym.agents.saving import agent_observation
from nova_gym.dream import Dream
from nova_gym.errors import BadInputError
from nova_gym.web import Policy

#: Features and activations that such programs know.
_FEATURES = (FieldFeatures, PlacedFeatures, WholeFeatures)
_ACTIVATIONS = (nn.Tanh, nn.ReLU, nn.ELU, nn.GELU, nn.SiLU, nn.LeakyReLU)


def portable_policy(agent: BaseAlgorithm, dream: Dream) -> Policy:
    """The policy of an agent, without what only training needs.

    Args:
        agent: PPO or A2C on a dream's latents, with discrete actions.
        dream: in which it acts.

    Returns:
        Its features' name and tensors, and the layers from these to the logits of actions.

    Raises:
        BadInputError: the agent is of another kind.
    """
    policy = agent.policy
    if not isinstance(policy, ActorCriticPolicy) or not dream.world_model.has_discrete_actions:
        raise BadInputError(
            f"{type(agent).__name__} agents cannot drive in a page: accepted are PPO and A2C with discrete actions"
        )
    features = policy.pi_features_extractor
    if type(features) not in _FEATURES or agent_observation(agent, dream) != "latent":
        raise BadInputError(
            f"the agent reads {type(features).__name__}, which a page does not have: accepted are agents on latents "
            f"with {', '.join(kind.__name__ for kind in _FEATURES)}"
        )
    tensors = {name.removeprefix("features."): t for name, t in features.state_dict().items()}
    layers = []
    for module in (*policy.mlp_extractor.policy_net, policy.action_net):
        if isinstance(module, nn.Linear):
            name = f"net.{len(layers)}"
            layers.append({"name": name, "activation": None})
            tensors |= {f"{name}.weight": module.weight, f"{name}.bias": module.bias}
        elif type(module) in _ACTIVATIONS and layers:
            layers[-1]["activation"] = type(module).__name__
        else:
            raise BadInputError(f"the agent's network has a {type(module).__name__}, which a page does not have")
    return Policy({"features": type(features).__name__, "layers": layers}, tensors)
