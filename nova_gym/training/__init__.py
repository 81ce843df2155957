"""Training a dream from recorded clips."""

from nova_gym.training.train import Run, train

__all__ = ["Run", "train"]
