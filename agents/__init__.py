"""Stable-Baselines3 agents that learn in the dream and act in reality."""

from nova_gym.agents.control_policy import ControlPolicy
from nova_gym.agents.curve import Curve
from nova_gym.agents.diagnosis import Diagnosis, diagnose
from nova_gym.agents.dreaming import dream_of
from nova_gym.agents.evaluation import AgentReport, evaluate_agent, film, normalised_score
from nova_gym.agents.features import FieldFeatures, PlacedFeatures, WholeFeatures
from nova_gym.agents.hyperparameters import ALGORITHMS, HYPERPARAMETERS
from nova_gym.agents.improvement import improve
from nova_gym.agents.pace import Pace
from nova_gym.agents.planner import CrossEntropyPlanner
from nova_gym.agents.portable import portable_policy
from nova_gym.agents.randomly import play_at_random
from nova_gym.agents.reality_vec import make_reality_vec
from nova_gym.agents.roaming import Roaming
from nova_gym.agents.saving import agent_observation, load_agent, save_agent, shipped_agents
from nova_gym.agents.training import make_agent, train_agent
from nova_gym.agents.vec_env import DreamVecEnv

__all__ = [
    "ALGORITHMS",
    "HYPERPARAMETERS",
    "AgentReport",
    "ControlPolicy",
    "CrossEntropyPlanner",
    "Curve",
    "Diagnosis",
    "DreamVecEnv",
    "FieldFeatures",
    "Pace",
    "PlacedFeatures",
    "Roaming",
    "WholeFeatures",
    "agent_observation",
    "diagnose",
    "dream_of",
    "evaluate_agent",
    "film",
    "improve",
    "load_agent",
    "make_agent",
    "make_reality_vec",
    "normalised_score",
    "play_at_random",
    "portable_policy",
    "save_agent",
    "shipped_agents",
    "train_agent",
]
