"""Training a dream from recorded clips."""

from nova_gym.training.fine_tuning import check_recording, fine_tune
from nova_gym.training.parts import PARTS, train_part
from nova_gym.training.sharpening import sharpen
from nova_gym.training.train import Run, train

__all__ = ["PARTS", "Run", "check_recording", "fine_tune", "sharpen", "train", "train_part"]
