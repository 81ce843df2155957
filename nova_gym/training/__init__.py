"""Training a dream from recorded clips."""

from nova_gym.training.fine_tuning import fine_tune
from nova_gym.training.train import Run, train

__all__ = ["Run", "fine_tune", "train"]
